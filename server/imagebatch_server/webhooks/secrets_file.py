"""The file of the tenants' secrets, by which receivers know that a notification is this service's.

{"secrets": [{"tenant": "acme", "secret": "whsec_...", "created_at": "2030-01-01T00:00:00Z"}]}

A tenant's newest secret has no `expires_at`; the one before it signs too until its own comes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from imagebatch_server.access.file_changes import exclusively, problems
from imagebatch_server.access.principal import TENANT
from imagebatch_server.webhooks.signing import key_of


def _checked(secret: str) -> str:
    key_of(secret)
    return secret


class TenantSecret(BaseModel):
    """One secret of a tenant."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    tenant: Annotated[str, StringConstraints(pattern=f"^{TENANT.pattern}$")]
    secret: Annotated[str, AfterValidator(_checked)]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    def signs(self, now: datetime) -> bool:
        """Whether notifications are signed with it."""
        return self.expires_at is None or now < self.expires_at


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    secrets: tuple[TenantSecret, ...] = ()


def read(path: Path) -> Sequence[TenantSecret]:
    """Read the secrets. Raises OSError, and ValueError that names each thing wrong and quotes nothing of the file."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("others may write it, and so sign in this service's name; chmod 600 it")
        data = file.read()
    try:
        return _File.model_validate_json(data).secrets
    except ValidationError as error:
        raise ValueError(problems(error)) from None


@contextmanager
def changing(path: Path) -> Iterator[list[TenantSecret]]:
    """Hand out the secrets of the file, which may be missing, and write what the block made of them.

    One at a time, and readers see the old file or the new one. Raises OSError, ValueError.
    """
    with exclusively(path) as write:
        secrets = list(read(path)) if path.exists() else []
        yield secrets
        write(_File(secrets=tuple(secrets)).model_dump_json(indent=2, exclude_none=True) + "\n")
