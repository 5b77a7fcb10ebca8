"""The page on a batch of 100,000 items, in a real Chromium: from an action to the frame that shows what came of it."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Mapping

from PIL import Image
from playwright.async_api import Page, async_playwright
from tests.server import free_port

from benchmarks.measure import Line, Mark, Report, Scale, Series, Skipped, interleave, percentile
from benchmarks.rows.finished import serving_finished
from benchmarks.rows.folders import data_folder

ROW = "browser"
ITEMS = 100_000
PICTURES = 300
WITHIN_MS = Series((100.0,))
P50, P95 = "p50", "p95"
FLAGS = ("--disable-background-networking", "--disable-gpu", "--no-first-run", "--no-sandbox")

_SHOWN = "document.querySelectorAll('.card:not(.unknown)').length > 5 && !document.querySelector('.card.unknown')"
_ROWS = "document.querySelectorAll('.row > a').length > 5 && !document.querySelector('.row:empty')"
_LAST = f"document.querySelector('[data-position=\"{ITEMS - 1}\"]') && {_SHOWN}"
_PICTURES = f"{_SHOWN} && seen('.card img').every((image) => image.complete && image.naturalWidth > 0)"
_TITLE = "document.querySelector('dialog h2').textContent"
_ANYWHERE = "scrollTo(0, Math.random() * (document.body.scrollHeight - innerHeight))"

_IN_LIST = "document.querySelector('.batches a')"
_DIALOG = "document.querySelector('dialog .facts')"

STEPS: Mapping[str, tuple[str, str, str, str]] = {
    "the batch opened from the list": ("location.hash = '/batches'", _IN_LIST, f"{_IN_LIST}.click()", _SHOWN),
    "the gallery scrolled by a screen": ("scrollTo(0, 40_000)", _SHOWN, "scrollBy(0, innerHeight)", _SHOWN),
    "the gallery scrolled to anywhere": ("scrollTo(0, 0)", _SHOWN, _ANYWHERE, _SHOWN),
    "the gallery scrolled to anywhere, and the pictures": ("scrollTo(0, 0)", _PICTURES, _ANYWHERE, _PICTURES),
    "the key End in the gallery": ("key('Home')", _SHOWN, "key('End')", _LAST),
    "gallery to table": ("press('Gallery')", _SHOWN, "press('Table')", _ROWS),
    "the table scrolled by a screen": (
        "press('Table'), scrollTo(0, 40_000)",
        _ROWS,
        "scrollBy(0, innerHeight)",
        _ROWS,
    ),
    "the table scrolled to anywhere": ("press('Table'), scrollTo(0, 0)", _ROWS, _ANYWHERE, _ROWS),
    "only what succeeded": ("press('All')", _SHOWN, "press('Succeeded')", _SHOWN),
    "an item opened": (
        "document.querySelector('dialog [aria-label=Close]')?.click()",
        f"!{_DIALOG}",
        "document.querySelector('.card').click()",
        _DIALOG,
    ),
    "the next item": (
        f"{_DIALOG} ?? document.querySelector('.card').click()",
        _DIALOG,
        f"window.before = {_TITLE}, document.querySelector('dialog [aria-label=\"Next item\"]').click()",
        f"{_TITLE} !== window.before",
    ),
}
"""Each by name, in JavaScript: where to begin, what shows that one is there, what is done, what shows that it is."""

_TIMED = """
const frame = () => new Promise(requestAnimationFrame);
const press = (name) => [...document.querySelectorAll('.toolbar button')]
  .find((button) => button.textContent.trim().startsWith(name)).click();
const key = (name) => document.querySelector('.gallery')
  .dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true }));
const seen = (selector) => [...document.querySelectorAll(selector)].filter((element) => {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
});
const until = async (holds) => { for (const by = performance.now() + 10_000; !holds(); ) {
  if (performance.now() > by) throw new Error('it did not come');
  await frame();
} };
window.step = async () => {
  %(first)s;
  await frame();
  await until(() => %(ready)s);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const began = performance.now();
  %(act)s;
  await frame();
  await until(() => %(holds)s);
  await frame();
  return performance.now() - began;
};
"""


async def measure(scale: Scale, report: Report) -> None:
    found = shutil.which("chromium")
    if found is None:
        report.add(Skipped(ROW, "the page", "Chromium is not installed: make chromium"))
        return
    address = f"127.0.0.1:{free_port()}"
    with data_folder() as folder:
        async with (
            serving_finished(
                folder, ITEMS, settings={"http_address": address}, previews=[_photograph(at) for at in range(PICTURES)]
            ) as (_ours, batch_id),
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=found, args=list(FLAGS))
            page = await browser.new_page(viewport={"width": 1280, "height": 860})
            steps = {}
            for name in STEPS:

                async def one_round(name: str = name) -> Mapping[str, float]:
                    await page.goto(f"http://{address}/#/batches/{batch_id}")
                    return await _round(page, scale.page_steps, name)

                steps[name] = one_round
            times = await interleave(steps, scale.long_rounds)
            await browser.close()
    for name in STEPS:
        figure = f"a batch of {ITEMS:,}: {name}"
        for share in (P50, P95):
            report.add(
                Line(ROW, f"{figure}, {share}", "ms", times[name][share], "allowed", WITHIN_MS, Mark(at_most=1.0))
            )


def _photograph(seed: int) -> bytes:
    """Make a preview of the size that photographs' previews have, 10 kB, unlike all others."""
    chance = random.Random(seed)  # of a picture, and no secret
    coarse = Image.frombytes("RGB", (24, 18), chance.randbytes(24 * 18 * 3))
    file = io.BytesIO()
    coarse.resize((256, 192), Image.Resampling.BICUBIC).save(file, "JPEG", quality=80)
    return file.getvalue()


async def _round(page: Page, count: int, name: str) -> Mapping[str, float]:
    await page.reload()
    await page.wait_for_selector(".card:not(.unknown)")
    parts = dict(zip(("first", "ready", "act", "holds"), STEPS[name], strict=True))
    await page.evaluate(_TIMED % parts)
    times_ms = [float(await page.evaluate("step()")) for _ in range(count)]
    return {P50: percentile(times_ms, 0.5), P95: percentile(times_ms, 0.95)}
