"""All images that a batch has stored, into a folder: some at a time, and again from where it was."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

import typer

from imagebatch_client.cli import exits, render
from imagebatch_client.cli.connection import Stopped, usage_error
from imagebatch_client.cli.saving import PART, safe_name, write_file
from imagebatch_client.cli.terminal import note
from imagebatch_client.sync import BatchClient
from imagebatch_client.threads import apart
from imagebatch_client.types import BatchItemResult, BatchItemStatus, DownloadedImage

_AT_A_TIME: Final = 8

_WHOSE: Final = ".imagebatch"
"""The file in the folder that tells whose images it has: those of another batch have the same names."""


def download_batch(client: BatchClient, batch_id: str, folder: Path, *, replaces: bool) -> None:
    """Write `<item_index>-<name>` for each image, whole or not at all, and say what became of the others."""
    there = _there(batch_id, folder, replaces=replaces)
    items = list(client.get_all_results(batch_id, page_size=1000))
    stored = [item for item in items if item.stored_object_key is not None]
    missing = [item for item in stored if str(item.item_index) not in there]
    others = Counter(item.status for item in items if item.stored_object_key is None)
    written: list[BatchItemResult] = []
    try:
        # Closing the client ends the downloads under way.
        apart(lambda: _write_all(client, missing, folder, written, replaces=replaces), client.close)
    except KeyboardInterrupt:
        raise Stopped(
            f"Stopped after {len(written)} of {len(missing)} images; repeat the command, and it goes on."
        ) from None
    if stored:
        wrote = render.counted(len(written), "image", "images")
        note(f"Wrote {wrote} to {folder}; {len(stored) - len(missing)} were there already.")
    _tell_others(batch_id, others)
    if not stored and not _waiting(others):
        note(f"Batch {batch_id} has stored no image; what it has is text: imagebatch results {batch_id}")
        raise typer.Exit(exits.REFUSED)


def _waiting(others: Counter[BatchItemStatus]) -> int:
    return others[BatchItemStatus.PENDING] + others[BatchItemStatus.PROCESSING]


def _tell_others(batch_id: str, others: Counter[BatchItemStatus]) -> None:
    if failed := others[BatchItemStatus.FAILED]:
        note(f"{render.counted(failed, 'item', 'items')} failed: imagebatch results {batch_id} --failed-only")
    if skipped := others[BatchItemStatus.SKIPPED]:
        note(f"{render.counted(skipped, 'item was', 'items were')} skipped.")
    if waiting := _waiting(others):
        note(f"{render.counted(waiting, 'item is', 'items are')} not done yet; repeat the command for the rest.")


def _there(batch_id: str, folder: Path, *, replaces: bool) -> set[str]:
    """Find the indexes of this batch's items whose images are there, and mark the folder as this batch's.

    Raises InvalidRequestError for a folder that can't be used, or, unless it `replaces`, has another batch's images.
    """
    mark = folder / _WHOSE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        whose = mark.read_text(encoding="utf-8").strip() if mark.exists() else None
        if whose == batch_id and not replaces:
            return {path.name.partition("-")[0] for path in folder.iterdir() if path.suffix != PART}
        if whose is not None and whose != batch_id and not replaces:
            raise usage_error("--output", f"{folder} has images of batch {whose}; give another folder, or --force")
        mark.write_text(f"{batch_id}\n", encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise usage_error("--output", f"{folder} can't be used: {reason}; give another folder") from error
    return set()


def _write_all(
    client: BatchClient, items: list[BatchItemResult], folder: Path, written: list[BatchItemResult], *, replaces: bool
) -> None:
    """Download some at a time, and never hold more than those; `written` gets those that are there."""
    waiting = iter(items)
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="imagebatch-download") as threads:
        running: set[Future[BatchItemResult]] = set()
        try:
            while True:
                for item in waiting:
                    running.add(threads.submit(_write_item, client, item, folder, replaces))
                    if len(running) == _AT_A_TIME:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                written.extend(future.result() for future in done)
        except BaseException:
            client.close()
            raise


def _write_item(client: BatchClient, item: BatchItemResult, folder: Path, replaces: bool) -> BatchItemResult:
    image = client.download_image(str(item.stored_object_key))
    write_file(folder / f"{item.item_index}-{_item_name(item, image)}", image.content, replaces=replaces)
    return item


def _item_name(item: BatchItemResult, image: DownloadedImage) -> str:
    """Take the item's own name, with the ending of what is stored, which an operation may have changed."""
    name = Path(safe_name(item.item_id, ""))
    return f"{name.stem}{Path(safe_name(image.file_name, image.content_type)).suffix}"
