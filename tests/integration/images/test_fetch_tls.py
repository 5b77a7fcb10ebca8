"""What is said where TLS fails, and whom the operator's own authorities let in."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from tests.integration.images.hosts import Host, fetching, refusal, serving

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.app.authority import Authority

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with serving() as host:
        yield host


def context_of(issued: tuple[Path, Path]) -> ssl.SSLContext:
    """Make what a server needs that has this certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued)
    return context


def issued(authority: Authority, host: str = "127.0.0.1", *, days: int = 1) -> tuple[Path, Path]:
    return authority.issue("server", hosts=[host], lifetime=timedelta(days=days))


def self_signed(authority: Authority) -> tuple[Path, Path]:
    """Let an authority that nobody trusts answer itself."""
    folder = authority.certificate.parent
    own, key = Authority(folder, "own"), folder / "own.key"
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(own._key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return own.certificate, key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def https(context: ssl.SSLContext) -> AsyncIterator[str]:
    """Run a server that says hi over TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


SORTS: dict[str, tuple[Callable[[Authority], tuple[Path, Path]], str]] = {
    "expired": (lambda authority: issued(authority, days=-1), "has expired"),
    "self-signed": (self_signed, "self-signed"),
    "another name": (lambda authority: issued(authority, "127.0.0.9"), "for another name"),
}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("redirected", [False, True])
async def test_a_certificate_that_is_refused_is_told_by_its_url_and_kind(
    authority: Authority, host: Host, sort: str, redirected: bool
) -> None:
    make, words = SORTS[sort]
    async with https(context_of(make(authority))) as url, fetching(ca_pem=authority.certificate.read_text()) as fetcher:
        first = f"{host.url}/redirect/302?to={url}" if redirected else f"{url}?secret"
        message = await refusal(fetcher, first, ItemErrorCode.FETCH_FAILED)
    assert words in message
    assert repr(url) in message
    assert host.url not in message


async def test_an_authority_of_the_operator_is_trusted_beside_the_systems(authority: Authority) -> None:
    async with https(context_of(issued(authority))) as url:
        async with fetching(ca_pem=authority.certificate.read_text()) as fetcher:
            assert (await fetcher.fetch(url, timeout_s=20)).data == b"hi"
        async with fetching() as fetcher:
            message = await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED)
    assert "IMAGEBATCH_FETCH_CA_FILE" in message


async def test_what_speaks_no_tls_fails_in_the_handshake(host: Host) -> None:
    async with fetching() as fetcher:
        url = f"https://127.0.0.1:{host.port}/"
        message = await refusal(
            fetcher, f"{host.url}/redirect/302?to={url}", ItemErrorCode.FETCH_FAILED, transient=True
        )
    assert "TLS handshake failed" in message
    assert repr(url) in message


async def test_the_systems_trust_follows_ssl_cert_file(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    async with https(context_of(issued(authority))) as url, fetching() as fetcher:
        assert (await fetcher.fetch(url, timeout_s=20)).data == b"hi"
