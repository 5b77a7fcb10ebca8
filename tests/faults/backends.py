"""The processes of PostgreSQL that serve one database."""

from __future__ import annotations

import psutil
from sqlalchemy import make_url
from tests.faults.stores import Store


def backends(store: Store) -> list[psutil.Process]:
    """None for a store without PostgreSQL."""
    if store.postgres is None:
        return []
    title = f"postgres: imagebatch {make_url(store.url).database} "
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if " ".join(process.info["cmdline"] or ()).startswith(title)
    ]
