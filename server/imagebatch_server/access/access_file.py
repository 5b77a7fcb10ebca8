"""The file that says who may call: tokens by their SHA-256, and certificates by their names. No secret stands in it.

{"callers": [
  {"name": "ci", "tenant": "acme", "roles": ["writer"], "expires_at": "2030-01-01T00:00:00Z", "sha256": "9f86d0..."},
  {"name": "edge", "tenant": "acme", "roles": ["reader"], "certificate": "spiffe://acme.example/edge"}
]}
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from imagebatch_server.access.file_changes import exclusively, problems
from imagebatch_server.access.principal import TENANT, Principal, Role

log = structlog.get_logger(__name__)

TOKEN_PREFIX = "imagebatch_"  # noqa: S105 - no secret: what a scanner for leaked ones looks for
NAME = r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}"


class Caller(BaseModel):
    """One entry: who shows a token, or a certificate, is this principal."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
    tenant: Annotated[str, StringConstraints(pattern=f"^{TENANT.pattern}$")]
    roles: Annotated[frozenset[Role], Field(min_length=1)]
    expires_at: AwareDatetime | None = None
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = None
    """Of the whole token, in UTF-8. It must be of 256 random bits: a plain hash keeps nothing shorter secret."""
    certificate: Annotated[str, Field(min_length=1)] | None = None
    """An alternative name (SAN): a URI, a DNS name or an e-mail address."""

    @model_validator(mode="after")
    def _shows_one_thing(self) -> Caller:
        if (self.sha256 is None) == (self.certificate is None):
            raise ValueError("needs either sha256, of a token, or certificate")
        if self.sha256 is not None and self.expires_at is None:
            raise ValueError("needs expires_at: a token without an end is never missed when it leaks")
        return self

    @property
    def principal(self) -> Principal:
        """Whom the entry names."""
        return Principal(self.tenant, self.name, self.roles, self.expires_at)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    callers: tuple[Caller, ...] = ()


class KnownCallers:
    """Everybody whom the file names, found by what they show."""

    def __init__(self, callers: Sequence[Caller]) -> None:
        self._by_sha256 = {each.sha256: each for each in callers if each.sha256 is not None}
        self._by_certificate = {each.certificate: each for each in callers if each.certificate is not None}

    def of_token(self, token: str) -> Principal | None:
        """Find whose token it is."""
        digest = token_sha256(token)
        caller = self._by_sha256.get(digest)
        # The digest was looked up, which takes no constant time; but nobody can choose a digest, so that its first
        # characters tell nothing of the secret. The comparison that decides takes it.
        if caller is None or caller.sha256 is None or not secrets.compare_digest(caller.sha256, digest):
            return None
        return caller.principal

    def of_certificate(self, names: Sequence[str]) -> Principal | None:
        """Find whose certificate it is, by the first of its names that the file has."""
        return next((self._by_certificate[name].principal for name in names if name in self._by_certificate), None)


def token_sha256(token: str) -> str:
    """Hash a token as the file has it."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def new_token() -> str:
    """Make a token of 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def read(path: Path) -> Sequence[Caller]:
    """Read the entries. Raises OSError, and ValueError that names each thing wrong and quotes nothing of the file."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("others may write it, and so give themselves any right; chmod 600 it")
        data = file.read()
    try:
        callers = _File.model_validate_json(data).callers
    except ValidationError as error:
        raise ValueError(problems(error)) from None
    for field in ("name", "sha256", "certificate"):
        twice = [value for value, count in Counter(getattr(each, field) for each in callers).items() if count > 1]
        if [value for value in twice if value is not None]:
            raise ValueError(f"callers: {field} stands in several entries; it must be in one")
    return callers


def read_known(path: Path) -> KnownCallers:
    """Read the entries for looking up. Raises OSError, ValueError."""
    return KnownCallers(read(path))


@contextmanager
def changing(path: Path) -> Iterator[list[Caller]]:
    """Hand out the entries of the file, which may be missing, and write what the block made of them.

    One at a time, and readers see the old file or the new one. Raises OSError, ValueError.
    """
    with exclusively(path) as write:
        callers = list(read(path)) if path.exists() else []
        yield callers
        write(_File(callers=tuple(callers)).model_dump_json(indent=2, exclude_none=True) + "\n")
