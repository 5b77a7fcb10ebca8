"""TLS of a real server: files replaced under open streams, halves of files, and clients' certificates."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from tests.integration.access.secured import Secured
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refused, watched
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2
from imagebatch_server.access.principal import Role
from imagebatch_server.app.authority import Authority

INFO = batch_service_pb2.GetServerInfoRequest()
EDGE = "spiffe://acme.example/edge"


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Run a server that asks every client for a certificate."""
    made = Secured(tmp_path_factory.mktemp("mutual"), mutual=True)
    made.grant("edge", "acme", Role.WRITER, certificate=EDGE)
    with running_server(made.folder / "data", made.settings, OPERATIONS) as server:
        made.server = server
        yield made
        made.close()


def waiting(secured: Secured, raw: Raw, gate: Path) -> str:
    """Submit a batch that runs until the gate is there."""
    waits = {"do": "wait", "until": str(gate), "begun": str(gate.with_suffix(".begun"))}
    image = pictures.data_url(pictures.drawn())
    batch_id = raw.submit([item(image_base64=image, metadata=waits)], max_attempts=1).batch_id
    eventually(gate.with_suffix(".begun").exists)
    return batch_id


def test_a_certificate_is_replaced_under_an_open_watch(secured: Secured, folder: Path) -> None:
    raw = secured.client(secured.grant("watcher", "acme"))
    eventually(lambda: _admits(raw))
    batch_id = waiting(secured, raw, folder / "gate")
    watch = raw.watch(batch_id)
    next(watch)
    before = secured.seen_certificate()
    secured.renew()
    eventually(lambda: secured.seen_certificate() != before)
    assert secured.seen_certificate().strip() == secured.certificate.read_text().strip()
    (folder / "gate").touch()
    assert [result.item_index for result in watched(watch).results] == [0]


def test_half_a_pair_changes_nothing_until_the_other_half_is_there(secured: Secured, folder: Path) -> None:
    before = secured.seen_certificate()
    certificate, key = Authority(folder, "another").issue("server", hosts=["127.0.0.1"])
    old = secured.certificate.read_bytes(), secured.key.read_bytes()
    secured.certificate.write_bytes(certificate.read_bytes())
    eventually(lambda: secured.server.log.count("access.files_refused") == 1)
    assert secured.seen_certificate() == before
    secured.key.write_bytes(key.read_bytes()[:100])
    eventually(lambda: secured.server.log.count("access.files_refused") == 2)
    assert secured.seen_certificate() == before
    secured.key.write_bytes(key.read_bytes())
    eventually(lambda: secured.seen_certificate() != before)
    secured.certificate.write_bytes(old[0])
    secured.key.write_bytes(old[1])
    eventually(lambda: secured.seen_certificate() == before)
    assert "PRIVATE KEY" not in secured.server.log


def test_neither_old_tls_nor_plain_text_is_spoken(secured: Secured) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    host, port = secured.server.address.split(":")
    with socket.create_connection((host, int(port))) as connection, pytest.raises((ssl.SSLError, OSError)):
        old.wrap_socket(connection)
    with grpc.insecure_channel(secured.server.address) as channel, pytest.raises(grpc.RpcError):
        Raw(secured.server.address, channel).batches.GetServerInfo(INFO, timeout=5)


def test_a_certificate_names_its_caller(mutual: Secured) -> None:
    raw = mutual.client(certificate=mutual.authority.issue("edge", uris=[EDGE]))
    batch_id = raw.submit([item(image_base64=pictures.data_url(pictures.drawn()))]).batch_id
    assert raw.watch_to_end(batch_id).results


def test_a_certificate_of_nobody_known_or_of_another_authority_lets_nobody_in(mutual: Secured, folder: Path) -> None:
    unknown = mutual.client(certificate=mutual.authority.issue("other", uris=["spiffe://acme.example/other"]))
    assert refused(lambda: unknown.batches.GetServerInfo(INFO)).code is grpc.StatusCode.UNAUTHENTICATED
    for strange in (None, Authority(folder).issue("edge", uris=[EDGE])):
        with pytest.raises(grpc.RpcError) as caught:
            mutual.client(certificate=strange).batches.GetServerInfo(INFO, timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_an_authority_is_replaced_under_an_open_watch(folder: Path) -> None:
    """A new client authority counts for the next connections, and no open one is cut."""
    secured = Secured(folder, mutual=True)
    secured.grant("edge", "acme", Role.WRITER, certificate=EDGE)
    before = secured.authority.issue("edge", uris=[EDGE])
    with running_server(folder / "data", secured.settings, OPERATIONS) as server:
        secured.server = server
        watching = secured.client(certificate=before)
        batch_id = waiting(secured, watching, folder / "gate")
        watch = watching.watch(batch_id)
        next(watch)
        other = Authority(folder, "other")
        after = other.issue("edge-of-other", uris=[EDGE])
        assert not _admits(secured.client(certificate=after))
        old, new = secured.authority.certificate.read_bytes(), other.certificate.read_bytes()
        secured.authority.certificate.write_bytes(old + new)
        eventually(lambda: _admits(secured.client(certificate=after)))
        assert _admits(secured.client(certificate=before))
        secured.authority.certificate.write_bytes(new)
        eventually(lambda: not _admits(secured.client(certificate=before)))
        assert _admits(secured.client(certificate=after))
        (folder / "gate").touch()
        assert [result.item_index for result in watched(watch).results] == [0]
        secured.close()


def test_a_token_beside_a_certificate_says_who_calls(mutual: Secured) -> None:
    pair = mutual.authority.issue("edge", uris=[EDGE])
    raw = mutual.client(mutual.grant("reads", "acme", Role.READER), certificate=pair)
    eventually(lambda: _admits(raw))
    image = item(image_base64=pictures.data_url(pictures.drawn()))
    assert refused(lambda: raw.submit([image])).code is grpc.StatusCode.PERMISSION_DENIED


def test_a_watch_ends_with_the_certificate_that_opened_it(mutual: Secured, folder: Path) -> None:
    lasting = mutual.client(certificate=mutual.authority.issue("edge", uris=[EDGE]))
    batch_id = waiting(mutual, lasting, folder / "gate")
    brief = mutual.client(certificate=mutual.authority.issue("edge", uris=[EDGE], lifetime=timedelta(seconds=5)))
    watch = brief.watch(batch_id)
    refusal = refused(lambda: list(watch))
    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
    assert "has expired" in refusal.message
    (folder / "gate").touch()
    lasting.watch_to_end(batch_id)


def test_a_server_that_would_be_open_to_all_does_not_start(folder: Path) -> None:
    server = ServerProcess(folder / "data", {"address": "0.0.0.0:0"})
    server.spawn()
    assert server.wait() == 2
    assert "--address 0.0.0.0:0 can be reached from other machines" in server.log
    assert "Traceback" not in server.log


def test_both_halves_may_be_left_to_others(folder: Path) -> None:
    settings = {"address": "0.0.0.0:0", "insecure_plaintext": "1", "insecure_anonymous": "1"}
    with running_server(folder / "data", settings):
        pass


def _admits(raw: Raw) -> bool:
    try:
        raw.batches.GetServerInfo(INFO, timeout=10)
    except grpc.RpcError:
        return False
    return True
