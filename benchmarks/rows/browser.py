"""The page on a batch of 100,000 items, in a real Chromium: from an action to the frame that shows what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from playwright.async_api import Page, async_playwright
from tests.server import free_port

from benchmarks.measure import Line, Mark, Report, Scale, Series, Skipped, interleave, percentile
from benchmarks.rows.finished import serving_finished
from benchmarks.rows.folders import data_folder

ROW = "browser"
ITEMS = 100_000
WITHIN_MS = Series((100.0,))
P50, P95 = "p50", "p95"
FLAGS = ("--disable-background-networking", "--disable-gpu", "--no-first-run", "--no-sandbox")

_SHOWN = "document.querySelectorAll('.card:not(.unknown)').length > 5 && !document.querySelector('.card.unknown')"
_ROWS = "document.querySelectorAll('.row > a').length > 5"
_TITLE = "document.querySelector('dialog h2').textContent"
_ANYWHERE = "Math.random() * (document.body.scrollHeight - innerHeight)"

_IN_LIST = "document.querySelector('.batches a')"
_DIALOG = "document.querySelector('dialog .facts')"

STEPS: Mapping[str, tuple[str, str, str, str]] = {
    "the batch opened from the list": ("location.hash = '/batches'", _IN_LIST, f"{_IN_LIST}.click()", _SHOWN),
    "the gallery scrolled by a screen": ("scrollTo(0, 40_000)", _SHOWN, "scrollBy(0, innerHeight)", _SHOWN),
    "the gallery scrolled to anywhere": ("scrollTo(0, 0)", _SHOWN, f"scrollTo(0, {_ANYWHERE})", _SHOWN),
    "gallery to table": ("press('Gallery')", _SHOWN, "press('Table')", _ROWS),
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
            serving_finished(folder, ITEMS, settings={"http_address": address}) as (_ours, batch_id),
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=found, args=list(FLAGS))
            page = await browser.new_page(viewport={"width": 1280, "height": 860})
            steps = {}
            for name in STEPS:

                async def one_round(name: str = name) -> Mapping[str, float]:
                    await page.goto(f"http://{address}/#/batches/{batch_id}")
                    return await _round(page, scale.pages, name)

                steps[name] = one_round
            times = await interleave(steps, scale.long_rounds)
            await browser.close()
    for name in STEPS:
        figure = f"a batch of {ITEMS:,}: {name}"
        for share in (P50, P95):
            report.add(
                Line(ROW, f"{figure}, {share}", "ms", times[name][share], "allowed", WITHIN_MS, Mark(at_most=1.0))
            )


async def _round(page: Page, count: int, name: str) -> Mapping[str, float]:
    await page.reload()
    await page.wait_for_selector(".card:not(.unknown)")
    parts = dict(zip(("first", "ready", "act", "holds"), STEPS[name], strict=True))
    await page.evaluate(_TIMED % parts)
    times_ms = [float(await page.evaluate("step()")) for _ in range(count)]
    return {P50: percentile(times_ms, 0.5), P95: percentile(times_ms, 0.95)}
