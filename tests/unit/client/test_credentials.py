from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagebatch_client.credentials import Credentials
from imagebatch_client.errors import InvalidRequestError, UnauthenticatedError, UnavailableError
from imagebatch_client.settings import ConnectionSettings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


def test_who_calls_is_told_with_every_call() -> None:
    assert Credentials(ConnectionSettings()).metadata() == ()
    assert Credentials(ConnectionSettings(token="t", tenant="cats")).metadata() == (
        ("authorization", "Bearer t"),
        ("imagebatch-tenant", "cats"),
    )


def test_a_token_is_read_anew_when_its_file_changes(file: Path) -> None:
    credentials = Credentials(ConnectionSettings(token_file=file))
    assert credentials.token() == "first"
    file.write_text("the-second")
    assert credentials.metadata() == (("authorization", "Bearer the-second"),)
    renewed = file.with_name("renewed")  # as Kubernetes replaces it
    renewed.write_text("the-third")
    renewed.replace(file)
    assert credentials.token() == "the-third"


def test_the_last_token_is_used_while_its_file_is_away(file: Path) -> None:
    credentials = Credentials(ConnectionSettings(token_file=file))
    file.unlink()
    assert credentials.token() == "first"
    file.write_text("")  # being written
    assert credentials.token() == "first"
    file.write_text("second")
    assert credentials.token() == "second"


def test_a_refused_token_is_looked_for_again_whatever_the_files_times_say(file: Path) -> None:
    credentials = Credentials(ConnectionSettings(token_file=file))
    refused = UnauthenticatedError("expired")
    assert not credentials.is_renewed(refused, "first")
    before = file.stat()
    file.write_text("again\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not credentials.is_renewed(UnavailableError("away"), "first")
    assert credentials.is_renewed(refused, "first")
    assert not credentials.is_renewed(refused, "again")


def test_a_token_that_does_not_come_from_a_file_stays() -> None:
    assert not Credentials(ConnectionSettings(token="t")).is_renewed(UnauthenticatedError("expired"), "t")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is empty; write the token alone"), (b"a b", "holds what no token can"), (b"\xff\xfe", "is no text")],
)
def test_a_file_without_a_token_is_named_at_once(file: Path, content: bytes, told: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=f"token_file: .*token {told}"):
        Credentials(ConnectionSettings(token_file=file))
    file.unlink()
    with pytest.raises(InvalidRequestError, match=r"token_file: .*token can't be read: No such file"):
        Credentials(ConnectionSettings(token_file=file))


def test_a_program_without_opentelemetry_pays_nothing_for_it() -> None:
    program = (
        "import sys; from imagebatch_client.credentials import Credentials\n"
        "from imagebatch_client.settings import ConnectionSettings\n"
        "assert Credentials(ConnectionSettings('localhost:1')).metadata() == ()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
