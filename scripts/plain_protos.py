"""Write the contract without its validation rules, as .proto files that any generator takes: `make protos` runs it.

Some generators can't read `buf/validate` at all (PHP's), and for others it doubles the generated code. The annotated
files in `protos/` stay the source. What is left out is cut from their text, so that comments and layout stay.
"""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
PACKAGE = Path("imagebatch/v1")
ARCHIVE = "imagebatch-protos.zip"

_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/"""  # comments
    r"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'"""
    r"""|\s+|[\w.]+|.""",
    re.DOTALL,
)
_OPENING, _CLOSING = "([{", ")]}"
_RULES = "(buf.validate."


def plain(text: str) -> str:
    """Cut validation rules, and the import that they need, from the text of a .proto file."""
    tokens = _TOKEN.findall(text)
    kept: list[str] = []
    position = 0
    while position < len(tokens):
        if _is_rule_statement(tokens, position):
            position = _after(tokens, position, ";")
            _cut_line(kept)
        elif tokens[position] == "[":
            end = _after(tokens, position, "]")
            _add_options(kept, tokens[position:end])
            position = end
        else:
            kept.append(tokens[position])
            position += 1
    # Where a rule was a message's first line, an empty one is left.
    return re.sub(r"\{\n\n+", "{\n", "".join(kept))


def _is_rule_statement(tokens: Sequence[str], position: int) -> bool:
    if tokens[position] not in ("option", "import") or not _begins_statement(tokens, position):
        return False
    following = "".join(token for token in tokens[position + 1 : position + 8] if not token.isspace())
    return following.startswith((_RULES, '"buf/validate/'))


def _begins_statement(tokens: Sequence[str], position: int) -> bool:
    before = [token for token in tokens[:position] if not token.isspace() and not token.startswith(("//", "/*"))]
    return not before or before[-1] in ("{", "}", ";")


def _after(tokens: Sequence[str], position: int, end: str) -> int:
    """Find the position that follows `end`, passing over brackets in between as wholes."""
    depth = 0
    for at in range(position, len(tokens)):
        if tokens[at] in _OPENING:
            depth += 1
        elif tokens[at] in _CLOSING:
            depth -= 1
        if tokens[at] == end and not depth:
            return at + 1
    raise ValueError(f"{''.join(tokens[position : position + 9])!r} has no {end!r}")


def _cut_line(kept: list[str]) -> None:
    """Drop the indentation and the line's begin of what was cut."""
    if kept and kept[-1].isspace():
        kept[-1] = kept[-1].rpartition("\n")[0]


def _add_options(kept: list[str], bracketed: Sequence[str]) -> None:
    """Add a field's options in brackets, without rules; without any other, not even the space before them."""
    options = ["".join(option).strip() for option in _split(bracketed[1:-1])]
    others = [option for option in options if not option.replace(" ", "").startswith(_RULES)]
    if len(others) == len(options):
        kept.extend(bracketed)
    elif others:
        kept.append(f"[{', '.join(others)}]")
    else:
        while kept and kept[-1].isspace():
            kept.pop()


def _split(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Split at the commas that stand in no bracket."""
    part: list[str] = []
    depth = 0
    for word in tokens:
        depth += word in _OPENING
        depth -= word in _CLOSING
        if word == "," and not depth:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def write(out: Path) -> list[Path]:
    """Write the plain files below `out`, as imports name them."""
    written = []
    for source in sorted((SOURCES / PACKAGE).glob("*.proto")):
        target = out / PACKAGE / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(plain(source.read_text(encoding="utf-8")), encoding="utf-8")
        written.append(target)
    return written


def pack(folder: Path, archive: Path) -> None:
    """Pack the plain files and the licence; the same files give the same bytes."""
    with zipfile.ZipFile(archive, "w") as packed:
        for path in [*sorted(folder.rglob("*.proto")), ROOT / "LICENSE"]:
            name = path.relative_to(folder if path.is_relative_to(folder) else ROOT)
            entry = zipfile.ZipInfo(f"imagebatch-protos/{name.as_posix()}")  # without a time of its own
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def main() -> None:
    """Write the files below one folder, and pack them."""
    parser = argparse.ArgumentParser(description="Write the contract's .proto files without validation rules.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder to write to (default: dist/)")
    out: Path = parser.parse_args().out
    write(out / "protos")
    pack(out / "protos", out / ARCHIVE)
    print(f"{out}/protos has the files, {out / ARCHIVE} the same as one")


if __name__ == "__main__":
    main()
