"""TLS, and what is said where two don't understand each other, for both clients and the command line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import BATCH_ID, Attempt, ScriptedServer, status
from tests.integration.client.terminal import run, started

from imagebatch_client import UnavailableError
from imagebatch_server.app.authority import Authority

Connect = Callable[..., Any]
Serve = Callable[..., ScriptedServer]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def issued(authority: Authority, host: str = "127.0.0.1", *, days: int = 1) -> tuple[Path, Path]:
    return authority.issue("server", hosts=[host], lifetime=timedelta(days=days))


def caller(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("caller", uris=["spiffe://tests/caller"])


def credentials_of(issued: tuple[Path, Path], *, clients: Authority | None = None) -> grpc.ServerCredentials:
    certificate, key = issued
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        None if clients is None else clients.certificate.read_bytes(),
        clients is not None,
    )


def answering() -> list[Attempt]:
    return [Attempt([status()])]


def test_a_server_is_trusted_by_its_authority(serve: Serve, connect: Connect, authority: Authority) -> None:
    server = serve(credentials=credentials_of(issued(authority)), GetBatchStatus=answering())
    client = connect(server, tls_ca=authority.certificate, token="t0ken", tenant="cats")
    assert client.get_status(BATCH_ID).batch_id == BATCH_ID
    assert server.metadata[0]["authorization"] == "Bearer t0ken"
    assert server.metadata[0]["imagebatch-tenant"] == "cats"


def test_a_certificate_may_have_another_name(serve: Serve, connect: Connect, authority: Authority) -> None:
    server = serve(credentials=credentials_of(issued(authority, "images.internal")), GetBatchStatus=answering())
    with pytest.raises(UnavailableError, match=r"the certificate of 127\.0\.0\.1:\d+ has another name; call it by"):
        connect(server, tls_ca=authority.certificate).get_status(BATCH_ID)
    client = connect(server, tls_ca=authority.certificate, tls_server_name="images.internal")
    assert client.get_status(BATCH_ID).batch_id == BATCH_ID


def test_a_caller_is_known_by_its_certificate(serve: Serve, connect: Connect, authority: Authority) -> None:
    server = serve(credentials=credentials_of(issued(authority), clients=authority), GetBatchStatus=answering())
    with pytest.raises(UnavailableError, match="it may ask for a client's certificate: give one that it trusts"):
        connect(server, tls_ca=authority.certificate).get_status(BATCH_ID)
    certificate, key = caller(authority)
    client = connect(server, tls_ca=authority.certificate, tls_client_certificate=certificate, tls_client_key=str(key))
    assert client.get_status(BATCH_ID).batch_id == BATCH_ID


@pytest.mark.parametrize("days", [1, -1])
def test_who_is_not_trusted_is_said(serve: Serve, connect: Connect, authority: Authority, days: int) -> None:
    server = serve(credentials=credentials_of(issued(authority, days=days)))
    given = {"tls_ca": authority.certificate} if days < 0 else {"tls": True}
    why = "certificate has expired" if days < 0 else ".*"
    with pytest.raises(UnavailableError, match=rf"the certificate of .* is not trusted \({why}\); give the PEM file"):
        connect(server, **given).get_status(BATCH_ID)


def test_tls_to_a_server_without_it_is_said(serve: Serve, connect: Connect) -> None:
    with pytest.raises(UnavailableError, match="speaks plain text, and was asked for TLS; call it without TLS"):
        connect(serve(), tls=True).get_status(BATCH_ID)


def test_plain_text_to_a_server_with_tls_is_said(serve: Serve, connect: Connect, authority: Authority) -> None:
    server = serve(credentials=credentials_of(issued(authority)))
    with pytest.raises(UnavailableError, match="closed the connection before it answered; it may expect TLS: set it"):
        connect(server).get_status(BATCH_ID)


def test_nothing_but_the_command_lines_own_words_is_said(serve: Serve) -> None:
    process = started(serve(), "list", "--tls", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert stderr.decode().startswith("imagebatch: the server at 127.0.0.1:")
    assert stderr.count(b"\n") == 1


def test_the_command_line_has_an_option_for_each(serve: Serve, authority: Authority, tmp_path: Path) -> None:
    server = serve(
        credentials=credentials_of(issued(authority, "images.internal"), clients=authority), GetBatchStatus=answering()
    )
    certificate, key = caller(authority)
    (tmp_path / "token").write_text("of-file\n")
    by: list[str | Path] = [
        "--tls-ca",
        authority.certificate,
        "--tls-client-certificate",
        certificate,
        "--tls-client-key",
        key,
    ]
    who: list[str | Path] = [
        "--token-file",
        tmp_path / "token",
        "--tenant",
        "cats",
        "--tls-server-name=images.internal",
    ]
    result = run(server, "status", BATCH_ID, *by, *who)
    assert result.exit_code == 0, result.stderr
    assert server.metadata[0]["authorization"] == "Bearer of-file"
    assert server.metadata[0]["imagebatch-tenant"] == "cats"


def test_the_command_line_sends_no_token_in_plain_text(serve: Serve) -> None:
    result = run(serve(), "list", "--address", "images.example:50051", "--token", "s3cret")
    assert result.exit_code == 2
    assert "token: would travel to images.example:50051 in plain text" in result.stderr
    assert "s3cret" not in result.stderr
