"""The client's other tests run without PyArrow too; those of Parquet need it."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("pyarrow") is None:
    collect_ignore = ["test_parquet.py"]
