"""The port `ObjectRows`."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError
from tests.integration.ports.values import TENANT, stored

from imagebatch_server.batches.errors import ObjectNotFound
from imagebatch_server.store.objects import SqlObjectRows


async def test_an_object_reads_back_as_it_was_added(objects: SqlObjectRows) -> None:
    image = stored("one/upload")
    await objects.add(image)
    assert await objects.get(TENANT, "one/upload") == image


async def test_an_object_is_unknown_to_another_tenant(objects: SqlObjectRows) -> None:
    await objects.add(stored("one/upload"))
    with pytest.raises(ObjectNotFound, match="one/upload"):
        await objects.get("two", "one/upload")
    with pytest.raises(ObjectNotFound, match="one/other"):
        await objects.get(TENANT, "one/other")


async def test_a_key_is_taken_once(objects: SqlObjectRows) -> None:
    await objects.add(stored("one/upload"))
    with pytest.raises(IntegrityError):
        await objects.add(stored("one/upload"))
