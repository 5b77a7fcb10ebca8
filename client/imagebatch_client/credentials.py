"""Who calls: the token as it is now, and the metadata that every call carries."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from imagebatch_client.errors import ImagebatchError, InvalidRequestError, UnauthenticatedError
from imagebatch_client.settings import ConnectionSettings

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")

Metadata = tuple[tuple[str, str], ...]


class Credentials:
    """The caller's token and tenant. A token that comes from a file is read anew when the file changes.

    Raises InvalidRequestError if that file has no token when the client is made. Later, while it can't be read (it may
    be being replaced), the last one is used.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self._tenant: Metadata = () if settings.tenant is None else (("imagebatch-tenant", settings.tenant),)
        self._file = None if settings.token_file is None else Path(settings.token_file)
        self._token = settings.token
        self._state: tuple[int, ...] | None = None
        if self._file is not None:
            self._state, self._token = _state(self._file), _read(self._file)

    def token(self) -> str | None:
        """Answer the token to use now."""
        if self._file is not None:
            try:
                state = _state(self._file)
                if state != self._state:
                    self._token, self._state = _read(self._file), state
            except InvalidRequestError:
                pass  # it was there, and will be
        return self._token

    def metadata(self) -> Metadata:
        """Make the metadata of a call that begins now."""
        token = self.token()
        shown = self._tenant if token is None else (("authorization", f"Bearer {token}"), *self._tenant)
        return (*shown, *_trace())

    def is_renewed(self, failure: ImagebatchError, used: str | None) -> bool:
        """Whether there is another token than the one that was `used` by a call which failed for it."""
        if not isinstance(failure, UnauthenticatedError):
            return False
        self._state = None  # a file system's times may be too coarse to show the change
        return self.token() != used


def _trace() -> Metadata:
    """Tell which trace the caller is in, if its program uses OpenTelemetry; else nothing of it is imported."""
    if "opentelemetry.trace" not in sys.modules:
        return ()
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple((name.lower(), value) for name, value in carrier.items())


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError.of_field("token_file", f"{path} is no text; write the token into it") from error
    if not _PRINTABLE.fullmatch(token):
        what = "is empty" if not token else "holds what no token can"
        raise InvalidRequestError.of_field("token_file", f"{path} {what}; write the token alone into it")
    return token


def _unreadable(path: Path, error: OSError) -> InvalidRequestError:
    return InvalidRequestError.of_field("token_file", f"{path} can't be read: {error.strerror}")
