"""The command line as it is used against a server that speaks TLS and asks who calls."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.access.secured import Secured
from tests.integration.client.terminal import COMMAND, environment
from tests.integration.server import pictures
from tests.integration.server.calls import eventually
from typer.testing import CliRunner

from imagebatch_client.cli.app import app
from imagebatch_client.cli.exits import REFUSED, UNREACHABLE
from imagebatch_server.access.principal import Role
from imagebatch_server.app.authority import Authority


@pytest.fixture
def token(secured: Secured, folder: Path) -> Iterator[Path]:
    """Give the token of a writer, in a file."""
    file = folder / "token"
    file.touch(0o600)
    file.write_text(secured.grant("typist", "acme", Role.WRITER))
    eventually(lambda: _run(secured, file, "info").exit_code == 0)
    yield file
    secured.revoke("typist")


def _run(secured: Secured, token: Path | None, *arguments: str | Path, ca: Path | None = None) -> Any:
    given = {
        "IMAGEBATCH_ADDRESS": secured.server.address,
        "IMAGEBATCH_TLS_CA": str(ca or secured.authority.certificate),
        "IMAGEBATCH_TOKEN_FILE": "" if token is None else str(token),
        "IMAGEBATCH_CONFIG": os.devnull,
    }
    return CliRunner().invoke(app, list(map(str, arguments)), env=given)


def lines(result: Any) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_images_are_submitted_watched_and_read(secured: Secured, token: Path, folder: Path) -> None:
    (folder / "pictures").mkdir()
    names = [f"{number}.png" for number in range(3)]
    for number, name in enumerate(names):
        (folder / "pictures" / name).write_bytes(pictures.drawn(number))
    submitted = lines(_run(secured, token, "submit", folder / "pictures", "-o", "noop", "--watch", "--json"))
    assert sorted(outcome["item_id"] for outcome in submitted) == names
    (listed,) = lines(_run(secured, token, "list", "--limit", "1", "--json"))
    batch_id = listed["batch_id"]
    assert [result["item_id"] for result in lines(_run(secured, token, "results", batch_id, "--json"))] == names
    assert len(lines(_run(secured, token, "watch", batch_id, "--json"))) == 3
    (uploaded,) = lines(_run(secured, token, "upload", folder / "pictures" / names[0], "--json"))
    assert uploaded["object_key"].startswith("acme.")


def test_who_is_not_let_in_is_told_why_and_how_to(secured: Secured, token: Path, folder: Path) -> None:
    nobody = _run(secured, None, "list")
    assert nobody.exit_code == REFUSED
    assert "IMAGEBATCH_TOKEN" in nobody.stderr
    strange = _run(secured, token, "list", ca=Authority(folder, "strange").certificate)
    assert strange.exit_code == UNREACHABLE
    assert "is not trusted" in strange.stderr
    (folder / "wrong").write_text("imagebatch_wrong")
    wrong = _run(secured, folder / "wrong", "list")
    assert wrong.exit_code == REFUSED
    assert "the token does not count here" in wrong.stderr
    for result in (nobody, strange, wrong):
        assert result.stderr.count("\n") == 1
        assert token.read_text() not in result.stderr


def test_a_token_that_is_renewed_in_its_file_counts_under_a_watch(secured: Secured, token: Path, folder: Path) -> None:
    """The first token is revoked while the command watches; the second is there before it is missed."""
    image, gate = folder / "a.png", folder / "gate"
    image.write_bytes(pictures.drawn())
    waits = {"do": "wait", "until": str(gate), "begun": str(folder / "begun")}
    (folder / "manifest.jsonl").write_text(json.dumps({"path": "a.png", "metadata": waits}))
    given = environment(IMAGEBATCH_TLS_CA=str(secured.authority.certificate), IMAGEBATCH_TOKEN_FILE=str(token))
    arguments = ["submit", "--manifest", str(folder / "manifest.jsonl"), "-o", "scripted", "--watch", "--json"]
    watching = subprocess.Popen(
        [*COMMAND, "--address", secured.server.address, *arguments],
        cwd=folder, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    eventually((folder / "begun").exists)
    renewed = secured.grant("typist-renewed", "acme", Role.WRITER)
    old = token.with_name("old")
    old.write_text(token.read_text())
    new = token.with_name("new")
    new.write_text(renewed)
    eventually(lambda: _run(secured, new, "info").exit_code == 0)
    token.write_text(renewed)  # now that it counts: the watch may begin only here
    secured.revoke("typist")
    eventually(lambda: _run(secured, old, "info").exit_code != 0)
    gate.touch()
    output, said = watching.communicate(timeout=60)
    assert watching.returncode == 0, said
    assert [json.loads(line)["status"] for line in output.splitlines()] == ["success"]


@pytest.mark.parametrize("by", ["IMAGEBATCH_TOKEN", "IMAGEBATCH_TOKEN_FILE"])
def test_no_token_travels_in_plain_text(tmp_path: Path, by: str) -> None:
    (tmp_path / "token").write_text("imagebatch_s3cret")
    value = "imagebatch_s3cret" if by == "IMAGEBATCH_TOKEN" else str(tmp_path / "token")
    given = {by: value, "IMAGEBATCH_ADDRESS": "images.example:50051", "IMAGEBATCH_CONFIG": os.devnull}
    result = CliRunner().invoke(app, ["list"], env=given)
    assert result.exit_code == REFUSED
    assert "would travel to images.example:50051 in plain text" in result.stderr
    assert "s3cret" not in result.output
