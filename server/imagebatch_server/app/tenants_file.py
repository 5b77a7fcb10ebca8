"""The file that says what tenants may have that differs from the settings: TOML, a table for each tenant.

[acme]
weight = 3
max_stored_bytes = "50GiB"
max_waiting_items = "none"
read_buckets = ["s3://photos/catalogue"]
write_buckets = ["s3://photos/thumbnails"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from imagebatch_server.access.watched_files import WatchedFiles
from imagebatch_server.app.settings import Bytes
from imagebatch_server.batches.quotas import Quotas
from imagebatch_server.urls import BadUrl, read_bucket


def _is_a_bucket(text: str) -> str:
    try:
        read_bucket(text)
    except BadUrl as error:
        raise ValueError(f"{text!r} {error}") from error
    return text


_Bucket = Annotated[str, AfterValidator(_is_a_bucket)]


def _limit(value: object) -> object:
    """TOML has no null: the text "none" is no limit, where the settings have one."""
    return None if value == "none" else value


class _Table(BaseModel):
    """A tenant's table; what it leaves out is as in the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(default=1.0, gt=0, le=1_000)
    max_running_batches: int = Field(default=1_000, ge=0)
    max_waiting_items: Annotated[int | None, Field(ge=0), BeforeValidator(_limit)] = None
    max_stored_bytes: Annotated[Bytes | None, Field(ge=0), BeforeValidator(_limit)] = None
    max_requests_per_s: Annotated[float | None, Field(gt=0), BeforeValidator(_limit)] = None
    max_requests_burst: Annotated[int | None, Field(ge=1), BeforeValidator(_limit)] = None
    read_buckets: tuple[_Bucket, ...] = ()
    write_buckets: tuple[_Bucket, ...] = ()


_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
_FILE: TypeAdapter[dict[_Name, _Table]] = TypeAdapter(dict[_Name, _Table])


class TenantsFile:
    """Tell tenants' quotas as the file has them, if there is one."""

    def __init__(self, path: Path | None, usual: Quotas) -> None:
        """`usual` is what holds for a tenant that has no table. Raises CannotStart."""
        self._usual = usual
        self.watched: Sequence[WatchedFiles[Mapping[str, Quotas]]] = ()
        if path is not None:
            self.watched = (WatchedFiles([path], partial(_read, path, usual)),)

    def quotas(self, tenant: str) -> Quotas:
        """Tell a tenant's quotas."""
        for file in self.watched:  # no generator: the scheduler asks twice for every item
            if tenant in file.value:
                return file.value[tenant]
        return self._usual


def _read(path: Path, usual: Quotas) -> Mapping[str, Quotas]:
    """Read the file. Raises OSError, and ValueError that says what is wrong."""
    try:
        tables = _FILE.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise ValueError(f"{where}: {first['msg']}") from error
    return {name: replace(usual, **table.model_dump(exclude_unset=True)) for name, table in tables.items()}
