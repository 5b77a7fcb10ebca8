"""The port `ObjectRows`: reading objects, and sweeping those that nothing refers to."""

from __future__ import annotations

import pytest
from msgspec import structs
from sqlalchemy.exc import IntegrityError
from tests.integration.ports.values import (
    NOON,
    TENANT,
    at,
    created,
    failed,
    item,
    made,
    new_batch,
    record,
    stored,
    success,
)

from imagebatch_server.batches.errors import ObjectNotFound
from imagebatch_server.batches.model import RetryRequest
from imagebatch_server.store import insert_items
from imagebatch_server.store import object_rows as objects_module
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.object_rows import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore


async def test_an_object_reads_back_as_it_was_added(objects: SqlObjectRows) -> None:
    image = stored("one.upload")
    await objects.add(image)
    assert await objects.get(TENANT, "one.upload") == image


async def test_an_object_is_unknown_to_another_tenant(objects: SqlObjectRows) -> None:
    await objects.add(stored("one.upload"))
    with pytest.raises(ObjectNotFound, match=r"one\.upload"):
        await objects.get("two", "one.upload")
    with pytest.raises(ObjectNotFound, match=r"one\.other"):
        await objects.get(TENANT, "one.other")


async def test_a_key_is_taken_once(objects: SqlObjectRows) -> None:
    await objects.add(stored("one.upload"))
    with pytest.raises(IntegrityError):
        await objects.add(stored("one.upload"))


async def test_an_object_exists_whichever_tenant_it_is_of(objects: SqlObjectRows) -> None:
    await objects.add(stored("two.upload", tenant="two"))
    assert await objects.known(["two.upload"])
    assert not await objects.known(["one.upload"])


async def test_digests_are_those_of_the_tenant(objects: SqlObjectRows) -> None:
    for key in ("one.a", "one.b"):
        await objects.add(stored(key))
    await objects.add(stored("two.a", tenant="two"))
    asked = ["one.b", "two.a", *(f"one.{number}" for number in range(2_500)), "one.a"]
    assert await objects.digests(TENANT, asked) == {"one.a": "5" * 64, "one.b": "5" * 64}
    assert await objects.digests(TENANT, []) == {}


async def test_known_content_is_the_same_object_each_time(objects: SqlObjectRows) -> None:
    for key, tenant in (("one.b", TENANT), ("one.a", TENANT), ("two.a", "two")):
        await objects.add(stored(key, tenant=tenant))
    await objects.add(stored("one.0", content_type="image/png"))
    for second in (10, 20):
        found = await objects.reuse(TENANT, "5" * 64, "image/jpeg", at(second))
        assert found == stored("one.a", created_at=at(second))
        assert await objects.get(TENANT, "one.a") == found
    assert await objects.get(TENANT, "one.b") == stored("one.b")
    assert await objects.reuse(TENANT, "6" * 64, "image/jpeg", at(30)) is None
    assert await objects.reuse("three", "5" * 64, "image/jpeg", at(30)) is None


async def test_what_is_reused_while_it_is_swept_stays(objects: SqlObjectRows) -> None:
    await objects.add(stored("one.old"))
    assert list(await objects.unreferenced(at(50), 10)) == ["one.old"]
    await objects.reuse(TENANT, "5" * 64, "image/jpeg", at(60))
    assert list(await objects.remove(["one.old"], at(50))) == []
    assert await objects.known(["one.old"])


@pytest.fixture(params=[1, 2, 1_000])
def part(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a list is cut into queries, the answer is the same."""
    monkeypatch.setattr(insert_items, "VALUES_A_QUERY", request.param)
    monkeypatch.setattr(objects_module, "VALUES_A_QUERY", request.param)
    monkeypatch.setattr(objects_module, "_OLD", objects_module._OLD.limit(request.param))


@pytest.mark.usefixtures("part")
async def test_what_nothing_refers_to_is_swept(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, objects: SqlObjectRows
) -> None:
    for name in ("free", "given", "staged", "young", "zfree"):
        await objects.add(stored(f"one.{name}", created_at=at(50 if name == "young" else 0)))
    await objects.add(stored("two.free", tenant="two"))
    batch = await created(
        batches,
        new_batch(),
        [item(0, object_key="one.given"), item(1, object_key="one.inline")],
        [stored("one.inline")],
    )
    staged = new_batch()
    await batches.stage(staged)
    await batches.stage_items(staged, [item(0, object_key="one.staged")], [])
    await record(outcomes, batch, success(0, stored_object_key="one.result"))

    free = ["one.free", "one.zfree", "two.free"]
    assert list(await objects.unreferenced(at(50), 10)) == free
    assert list(await objects.unreferenced(at(50), 2)) == free[:2]
    assert list(await objects.unreferenced(at(50), 2, "one.free")) == free[1:]
    assert list(await objects.unreferenced(at(0), 10)) == []
    assert list(await objects.unreferenced(at(51), 10)) == ["one.free", "one.young", "one.zfree", "two.free"]

    removed = await objects.remove(
        ["two.free", "one.given", "one.result", "one.inline", "one.staged", *free, "one.no"], at(50)
    )
    assert sorted(removed) == free
    for name in ("free", "zfree"):
        assert not await objects.known([f"one.{name}"])
    for name in ("given", "inline", "result", "staged", "young"):
        assert await objects.known([f"one.{name}"])
    assert list(await objects.remove([], at(50))) == []


async def test_what_a_removed_batch_referred_to_is_swept(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, objects: SqlObjectRows
) -> None:
    batch = await created(batches, new_batch(), [item(0, object_key="one.inline")], [stored("one.inline")])
    await record(outcomes, batch, success(0, stored_object_key="one.result"))
    await batches.hide(TENANT, batch.batch_id)
    assert list(await objects.unreferenced(at(1), 10)) == []
    assert list(await objects.remove(["one.inline", "one.result"], at(1))) == []
    while await batches.remove_hidden(1_000):
        pass
    assert list(await objects.unreferenced(at(1), 10)) == ["one.inline", "one.result"]
    assert list(await objects.remove(["one.inline", "one.result"], at(1))) == ["one.inline", "one.result"]
    assert sorted(await objects.removed(10)) == ["one.inline", "one.result"]
    assert len(await objects.removed(1)) == 1
    await objects.forget_removed(["one.inline", "one.unknown"])
    assert list(await objects.removed(10)) == ["one.result"]


async def test_a_result_that_a_retry_drops_is_swept(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore, objects: SqlObjectRows
) -> None:
    batch = await made(batches, 1)
    await record(
        outcomes, batch, structs.replace(failed(0), stored_object_key="one.partial", preview_object_key="one.preview")
    )
    assert await objects.stored_bytes(TENANT) == 2 * stored("one.preview").size_bytes
    assert list(await objects.unreferenced(at(1), 10)) == []
    await batches.retry(TENANT, batch.batch_id, RetryRequest(), NOON)
    assert list(await objects.unreferenced(at(1), 10)) == ["one.partial", "one.preview"]
