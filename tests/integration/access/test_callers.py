"""Who is let in by a real server, what it may do, and what is written of it."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.integration.access.secured import Secured
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refused

from imagebatch.v1 import batch_service_pb2
from imagebatch_server.access.principal import Role

INFO = batch_service_pb2.GetServerInfoRequest()


def admitted(raw: Raw) -> None:
    """Wait until a token that was just written counts."""
    eventually(lambda: _answers(raw))


def _answers(raw: Raw) -> bool:
    try:
        raw.batches.GetServerInfo(INFO, timeout=10)
    except grpc.RpcError:
        return False
    return True


def granted(secured: Secured, name: str, *roles: Role, tenant: str = "acme", **known: Any) -> Raw:
    raw = secured.client(secured.grant(name, tenant, *roles, **known))
    admitted(raw)
    return raw


def audited(secured: Secured, **fields: str | None) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in secured.audit_log.read_text().splitlines()]
    return [line for line in lines if fields.items() <= line.items()]


def test_who_shows_nothing_is_refused_with_words(secured: Secured) -> None:
    refusal = refused(lambda: secured.client().batches.GetServerInfo(INFO))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert "authorization: Bearer TOKEN" in refusal.message


def test_what_is_no_token_here_is_refused_and_repeated_nowhere(secured: Secured) -> None:
    refusal = refused(lambda: secured.client("s3cret-but-wrong").batches.GetServerInfo(INFO))
    assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
    assert "s3cret" not in refusal.message + secured.server.log


def test_each_role_may_what_it_may(secured: Secured) -> None:
    reader, writer = granted(secured, "reads", Role.READER), granted(secured, "writes", Role.WRITER)
    image = item(image_base64=pictures.data_url(pictures.drawn()))
    refusal = refused(lambda: reader.submit([image]))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    assert "SubmitBatch needs the role writer, and reads has reader" in refusal.message
    batch_id = writer.submit([image]).batch_id
    assert reader.watch_to_end(batch_id).results
    delete = batch_service_pb2.DeleteTenantRequest(tenant="other")
    assert refused(lambda: writer.batches.DeleteTenant(delete)).code is grpc.StatusCode.PERMISSION_DENIED


def test_an_operator_acts_for_a_tenant_and_nobody_else_does(secured: Secured) -> None:
    writer, token = granted(secured, "owner", tenant="shop"), secured.grant("ops", "default", Role.OPERATOR)
    batch_id = writer.submit([item(image_base64=pictures.data_url(pictures.drawn()))]).batch_id
    acting = secured.client(token, tenant="shop")
    admitted(acting)
    assert acting.status(batch_id).batch_id == batch_id
    assert refused(lambda: secured.client(token).status(batch_id)).code is grpc.StatusCode.NOT_FOUND
    denied = refused(lambda: secured.client(secured_token(secured), tenant="shop").status(batch_id))
    assert (denied.code, denied.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    malformed = refused(lambda: secured.client(token, tenant="Shop").status(batch_id))
    assert list(malformed.violations) == ["imagebatch-tenant"]


def test_who_shows_two_tokens_or_names_two_tenants_has_shown_none_that_counts(secured: Secured) -> None:
    """Whoever stands between, and adds or checks one of them, and the server would otherwise go by different ones."""
    first, second = (secured.grant(name, "ops", Role.OPERATOR) for name in ("first", "second"))
    admitted(secured.client(first))
    admitted(secured.client(second))
    raw = secured.client()
    shown = (("authorization", f"Bearer {first}"), ("authorization", f"Bearer {second}"))
    code = refused(lambda: raw.batches.GetServerInfo(INFO, metadata=shown)).code
    assert code is grpc.StatusCode.UNAUTHENTICATED
    named = (("imagebatch-tenant", "acme"), ("imagebatch-tenant", "rival"))
    refusal = refused(lambda: raw.batches.GetServerInfo(INFO, metadata=(shown[0], *named)))
    assert (refusal.code, list(refusal.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, ["imagebatch-tenant"])
    raw.batches.GetServerInfo(INFO, metadata=(shown[0], named[0]))


def secured_token(secured: Secured) -> str:
    token = secured.grant("plain-writer", "shop", Role.WRITER)
    admitted(secured.client(token))
    return token


def test_a_revoked_token_is_refused_from_then_on(secured: Secured) -> None:
    raw = granted(secured, "leaver")
    secured.revoke("leaver")
    eventually(lambda: not _answers(raw))
    assert refused(lambda: raw.batches.GetServerInfo(INFO)).code is grpc.StatusCode.UNAUTHENTICATED


def test_an_expired_token_says_so(secured: Secured) -> None:
    token = secured.grant("brief", "acme", lifetime_s=-1)
    raw = secured.client(token)
    eventually(lambda: "has expired" in refused(lambda: raw.batches.GetServerInfo(INFO)).message)


def test_a_broken_file_changes_nothing_and_is_told_once(secured: Secured) -> None:
    raw = granted(secured, "stays")
    before = secured.access_file.read_text()
    secured.access_file.write_text(before[:-20])
    eventually(lambda: "access.files_refused" in secured.server.log)
    assert _answers(raw)
    secured.access_file.write_text(before)
    granted(secured, "comes")


def test_health_is_open_and_reflection_is_not(secured: Secured) -> None:
    anonymous, reader = secured.client(), granted(secured, "looks", Role.READER)
    health: Any = health_pb2_grpc.HealthStub(anonymous.channel)
    assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING

    def reflected(raw: Raw) -> object:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(raw.channel)
        return next(stub.ServerReflectionInfo(iter([request])))

    assert refused(lambda: reflected(anonymous)).code is grpc.StatusCode.UNAUTHENTICATED
    assert "imagebatch.v1.BatchService" in str(reflected(reader))


def test_each_change_and_each_refused_one_has_a_line(secured: Secured) -> None:
    writer = granted(secured, "told")
    batch_id = writer.submit([item(image_base64=pictures.data_url(pictures.drawn()))]).batch_id
    writer.watch_to_end(batch_id)
    writer.batches.CancelBatch(batch_service_pb2.CancelBatchRequest(batch_id=batch_id))
    key = writer.upload(pictures.drawn()).object_key
    refused(lambda: secured.client("wrong").submit([item(image_url="https://example.com/a.png?secret=1")]))
    eventually(lambda: audited(secured, rpc="SubmitBatch", code="UNAUTHENTICATED", principal=None))
    submitted = audited(secured, principal="told", rpc="SubmitBatch")
    assert [(line["tenant"], line["code"], line["of_batch_id"]) for line in submitted] == [("acme", "OK", batch_id)]
    assert audited(secured, principal="told", rpc="CancelBatch", of_batch_id=batch_id, code="OK")
    assert audited(secured, principal="told", rpc="UploadImage", of_object_key=key, code="OK")
    assert not audited(secured, rpc="WatchBatch")
    assert "secret" not in secured.audit_log.read_text()
    assert secured.audit_log.stat().st_mode & 0o077 == 0


def test_a_log_that_was_moved_away_is_made_anew(secured: Secured) -> None:
    writer = granted(secured, "rotated")
    writer.upload(b"1")
    eventually(lambda: audited(secured, principal="rotated"))
    secured.audit_log.rename(secured.audit_log.with_suffix(".1"))
    writer.upload(b"2")
    eventually(lambda: secured.audit_log.exists() and len(audited(secured, principal="rotated")) == 1)


@pytest.mark.parametrize("words", ["Basic YTpi", "Bearer", "", "Bearer a b"])
def test_other_words_than_a_bearer_token_are_refused(secured: Secured, words: str) -> None:
    call = secured.client().batches.GetServerInfo
    assert refused(lambda: call(INFO, metadata=(("authorization", words),))).reason == "UNAUTHENTICATED"
