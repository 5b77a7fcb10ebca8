"""Write `docs/settings.md` from the settings themselves: `make settings` runs it, and a test compares."""

from __future__ import annotations

from pathlib import Path

from imagebatch_server.app.serve import SETTINGS
from imagebatch_server.app.settings import Named, named

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
HEAD = """\
# Settings

`make settings` writes this page from `imagebatch_server.app.settings`. Each setting is an environment variable and a
flag of `imagebatch serve`: `IMAGEBATCH_DATA_DIR` is `--data-dir`. A flag goes before the variable. Sizes are in bytes,
times in seconds, unless a unit says otherwise: `50MiB`, `2m`. Lists are written with commas between.

| variable | default | meaning |
|---|---|---|
"""


def render() -> str:
    """Render the whole page."""
    return HEAD + "".join(_row(one) for one in named(SETTINGS))


def _row(one: Named) -> str:
    shown = f"`{one.default}`" if one.default else ""
    meaning = one.description.replace("|", r"\|")
    return f"| `{one.variable}` | {shown} | {meaning} |\n"


if __name__ == "__main__":
    PAGE.write_text(render())
