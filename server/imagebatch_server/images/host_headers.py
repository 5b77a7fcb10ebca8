"""Headers for private image hosts, which are the operator's: never a batch's, and shown nowhere.

The file is TOML with a table for each host, or for all hosts below a domain:

    ["images.example.com"]
    Authorization = "Bearer ..."

    ["*.cdn.example.com"]
    X-Api-Key = "..."

They are sent over https. Where plain http is meant, it is said: `["http://minio.internal"]`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from imagebatch_server.images.guard import host_alone
from imagebatch_server.urls import WebUrl

Tables = Mapping[str, Mapping[str, str]]
"""Headers by `scheme://host` or `scheme://*.domain`."""

NO_HEADERS: Tables = {}

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[\x20-\x7e]{1,8000}")
_OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "range", "te", "transfer-encoding", "upgrade"}
)
"""What the connection itself is made of."""


def read_tables(text: str) -> Tables:
    """Read the file. Raises ValueError that says what is wrong, and no value."""
    return {_key(host): _headers(host, table) for host, table in tomllib.loads(text).items()}


def headers_for(tables: Tables, url: WebUrl) -> Mapping[str, str]:
    """Tell the headers of a URL's host: those of its own table, else of the nearest domain's."""
    if not tables:
        return {}
    host = url.host.removesuffix(".")
    labels = host.split(".")
    domains = ["*." + ".".join(labels[at:]) for at in range(1, len(labels))] if url.address is None else []
    return next((tables[key] for name in (host, *domains) if (key := f"{url.scheme}://{name}") in tables), {})


def _key(host: str) -> str:
    scheme, separator, name = host.rpartition("://")
    if separator and scheme not in ("http", "https"):
        raise ValueError(f"[{host!r}]: give a host, or http:// and a host for one that is asked without TLS")
    wildcard = "*." if name.startswith("*.") else ""
    return f"{scheme or 'https'}://{wildcard}{host_alone(name.removeprefix('*.'))}"


def _headers(host: str, table: object) -> Mapping[str, str]:
    if not isinstance(table, dict):
        raise ValueError(  # noqa: TRY004 - of a file's content
            f"{host!r} is no table; write [{host!r}], and below it a line for each header"
        )
    for name, value in table.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"[{host!r}]: {name[:100]!r} is no header that can be set")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ValueError(f"[{host!r}]: the value of {name} is no text of printable ASCII characters")
    return table
