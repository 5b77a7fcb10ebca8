"""The command line's tests need its dependencies; the library's, beside this folder, run without them."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("typer") is None:
    collect_ignore_glob = ["test_*.py"]
