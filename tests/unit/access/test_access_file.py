"""The file that says who may call: what it may hold, and how it is changed."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imagebatch_server.access import access_file
from imagebatch_server.access.access_file import Caller, KnownCallers
from imagebatch_server.access.principal import Role

LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "callers.json"


def caller(**others: Any) -> Caller:
    good = {"name": "ci", "tenant": "acme", "roles": ["writer"], "expires_at": LATER, "sha256": "0" * 64}
    return Caller.model_validate({name: value for name, value in (good | others).items() if value is not None})


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": None},
        {"tenant": "Acme"},
        {"tenant": "a/b"},
        {"tenant": "acme\n"},
        {"roles": []},
        {"roles": ["root"]},
        {"expires_at": None},
        {"expires_at": "2100-01-01T00:00:00"},
        {"sha256": "0" * 63},
        {"sha256": None},
        {"certificate": "spiffe://acme/edge"},
        {"secret": "x"},
    ],
)
def test_a_wrong_entry_is_refused_with_its_place_and_without_its_values(wrong: dict[str, Any], path: Path) -> None:
    good = json.loads(caller().model_dump_json(exclude_none=True))
    entry = {name: value for name, value in (good | wrong).items() if value is not None}
    path.write_text(json.dumps({"callers": [entry]}))
    path.chmod(0o600)
    with pytest.raises(ValueError, match=r"callers\[0\]") as refused:
        access_file.read(path)
    assert "0000" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"callers": 1}', '{"tokens": []}'])
def test_what_is_no_such_file_is_refused(text: str, path: Path) -> None:
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ValueError, match=r"Invalid JSON|the file|callers|tokens"):
        access_file.read(path)


def test_what_must_be_one_s_own_stands_once(path: Path) -> None:
    with access_file.changing(path) as callers:
        callers += [caller(), caller(name="other")]
    with pytest.raises(ValueError, match="sha256 stands in several entries"):
        access_file.read(path)


def test_a_file_that_others_may_write_is_refused(path: Path) -> None:
    with access_file.changing(path):
        pass
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o620)
    with pytest.raises(ValueError, match="chmod 600"):
        access_file.read(path)


def test_a_token_is_found_by_its_hash_alone() -> None:
    token = access_file.new_token()
    known = KnownCallers([caller(sha256=access_file.token_sha256(token))])
    found = known.of_token(token)
    assert found is not None
    assert (found.tenant, found.name, found.roles) == ("acme", "ci", frozenset({Role.WRITER}))
    assert known.of_token(token[:-1]) is None
    assert known.of_token(access_file.token_sha256(token)) is None
    assert known.of_token("\udcff") is None
    assert len({access_file.new_token() for _ in range(100)}) == 100


def test_a_certificate_is_found_by_any_of_its_names() -> None:
    known = KnownCallers([caller(sha256=None, certificate="edge.example")])
    found = known.of_certificate(["spiffe://x", "edge.example"])
    assert found is not None
    assert found.name == "ci"
    assert known.of_certificate(["edge.example.evil"]) is None


def test_changes_at_one_time_are_all_kept(path: Path) -> None:
    def add(number: int) -> None:
        with access_file.changing(path) as callers:
            callers.append(caller(name=f"n{number}", sha256=f"{number:064x}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(access_file.read(path)) == 20
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_change_that_fails_changes_nothing(path: Path) -> None:
    with access_file.changing(path) as callers:
        callers.append(caller())
    before = path.read_bytes()

    def failing() -> None:
        with access_file.changing(path) as callers:
            callers.clear()
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert path.read_bytes() == before
