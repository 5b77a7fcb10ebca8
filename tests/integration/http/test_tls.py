"""The HTTP port speaks the same TLS as gRPC, knows the same callers, and takes new certificates as soon."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx
import pytest
from tests.integration.access.secured import Secured
from tests.integration.server.calls import eventually
from tests.operations_for_tests import OPERATIONS
from tests.server import free_port, running_server

from imagebatch_server.access.principal import Role
from imagebatch_server.app.authority import Authority

EDGE = "spiffe://acme.example/edge"
ADDRESS = f"127.0.0.1:{free_port()}"
LIST = f"https://{ADDRESS}/imagebatch.v1.BatchService/ListBatches"


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Run a server that asks every client for a certificate."""
    made = Secured(tmp_path_factory.mktemp("mutual"), mutual=True)
    made.grant("edge", "acme", Role.READER, certificate=EDGE)
    with running_server(made.folder / "data", {**made.settings, "http_address": ADDRESS}, OPERATIONS) as server:
        made.server = server
        yield made
        made.close()


def context(secured: Secured, *, shown: bool) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(secured.authority.certificate))
    if shown:
        certificate, key = secured.authority.issue("edge", hosts=[], uris=[EDGE])
        made.load_cert_chain(certificate, key)
    return made


def seen_certificate(secured: Secured) -> str:
    host, port = ADDRESS.split(":")
    return ssl.get_server_certificate((host, int(port)), ca_certs=str(secured.authority.certificate))


def test_a_certificate_names_the_caller(mutual: Secured) -> None:
    with httpx.Client(verify=context(mutual, shown=True), trust_env=False) as client:
        assert client.post(LIST, json={}).status_code == 200
        refused = client.post(
            LIST.replace("ListBatches", "DeleteBatch"), json={"batchId": "0195d2f0-0000-7000-8000-000000000001"}
        )
        assert refused.json()["code"] == "permission_denied"
    with (
        httpx.Client(verify=context(mutual, shown=False), trust_env=False) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post(LIST, json={})


def test_plain_text_is_not_answered(mutual: Secured) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{ADDRESS}/healthz", trust_env=False)


def test_urls_are_https(mutual: Secured) -> None:
    assert f'"url": "https://{ADDRESS}"' in mutual.server.log


def test_a_new_authority_of_clients_counts_for_the_next_connections(mutual: Secured) -> None:
    """What is open goes on; the health service asks for certificates too."""
    other = Authority(mutual.folder, "other")
    stranger = ssl.create_default_context(cadata=mutual.trusted.decode())
    stranger.load_cert_chain(*other.issue("edge-of-other", uris=[EDGE]))
    before = mutual.authority.certificate.read_bytes()
    with httpx.Client(verify=context(mutual, shown=True), trust_env=False) as client:
        assert client.post(LIST, json={}).status_code == 200
        assert not _answers(stranger)
        mutual.authority.certificate.write_bytes(other.certificate.read_bytes())
        eventually(lambda: _answers(stranger))
        assert client.post(LIST, json={}).status_code == 200  # on the connection of before
    mutual.authority.certificate.write_bytes(before)
    eventually(lambda: not _answers(stranger))


def _answers(shown: ssl.SSLContext) -> bool:
    try:
        return httpx.post(LIST, json={}, verify=shown, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
