"""Which object store the database belongs with: on another one, its objects would be missing or taken for rubbish."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.batches.ports.objects import ObjectStorePlace
from imagebatch_server.store.tables import object_store, objects

LOOKED_FOR = 100
"""Objects whose blobs tell that an object store is the database's own, where no id does."""

REMEDY = (
    "put back the database and the images that belong together; or, if this pair is meant to be one from now on, "
    "run `imagebatch store move` with the settings of this server"
)


class WrongObjectStore(CannotStart):
    """The database belongs with another object store."""


def pair(connection: Connection, place: ObjectStorePlace) -> None:
    """Hold the database and the object store to belong together; at their first meeting, have them remember it.

    Where the database remembers no store, they belong together if it knows images that are there, or if there are none
    on either side. Raises WrongObjectStore, StoreUnavailable.
    """
    remembered = connection.execute(select(object_store.c.id)).scalar()
    if remembered is None:
        newest = connection.execute(_NEWEST).scalars().all()
        if not (place.holds_any(newest) if newest else place.is_empty()):
            knows = "the images of another object store" if newest else "no image"
            raise WrongObjectStore(f"the database knows {knows}, and {place} holds others: {REMEDY}")
        connection.execute(insert(object_store), {"id": place.make_id()})
    elif remembered != place.id():
        raise WrongObjectStore(
            f"the database belongs with object store {remembered}, and {place} is "
            f"{place.id() or 'none that has been used before'}: {REMEDY}"
        )


def move(connection: Connection, place: ObjectStorePlace) -> str | None:
    """Have the database belong with this object store from now on; answers the id of the one before, if any."""
    before: str | None = connection.execute(select(object_store.c.id)).scalar()
    connection.execute(delete(object_store))
    connection.execute(insert(object_store), {"id": place.make_id()})
    return before


_NEWEST = select(objects.c.object_key).order_by(objects.c.created_at.desc()).limit(LOOKED_FOR)
