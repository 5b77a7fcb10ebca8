"""A server's data folder and database, and `imagebatch store`, which works on them while no server runs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

import typer
from pydantic import ValidationError

from imagebatch_server.app.folder import DATABASE_NAME, DataFolder
from imagebatch_server.app.objects import object_store_place
from imagebatch_server.app.options import of_setting
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart, StoreUnavailable
from imagebatch_server.batches.ports.objects import ObjectStorePlace
from imagebatch_server.store.database import Database
from imagebatch_server.store.file_space import compact
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.pairing import move

store = typer.Typer(
    help="Look after a server's database and images while the server is stopped.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[tuple[DataFolder, Database]]:
    """Open the data folder, with every other server locked out, and the database while the block runs.

    Raises CannotStart, StoreUnavailable, OSError.
    """
    folder = DataFolder(settings.data_dir)
    try:
        database = Database(settings.database_url or folder.database_url, direct_url=settings.database_direct_url)
        try:
            yield folder, database
        finally:
            database.close()
    finally:
        folder.close()


@store.command("move")
def move_store(
    data_dir: Annotated[str | None, of_setting("data_dir")] = None,
    database_url: Annotated[str | None, of_setting("database_url")] = None,
    database_direct_url: Annotated[str | None, of_setting("database_direct_url")] = None,
    object_store_url: Annotated[str | None, of_setting("object_store_url")] = None,
) -> None:
    """Have the database belong with the images that are in the data folder, or the object store, now.

    A server refuses to start on a database and images that don't belong together. This tells the database that they do
    from now on: the images were moved, or a new database is to begin beside them. Images that the database does not
    know are set aside, not removed, and return when their database does.
    """
    flags = {
        "data_dir": data_dir,
        "database_url": database_url,
        "database_direct_url": database_direct_url,
        "object_store_url": object_store_url,
    }
    try:
        settings = Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]  # texts, which the settings convert
        before, after, place = asyncio.run(_move(settings))
    except (ValidationError, CannotStart, StoreUnavailable, OSError) as error:
        typer.echo(f"imagebatch store move: {error}", err=True)
        raise typer.Exit(1) from error
    if before == after:
        typer.echo(f"the database belonged with the images in {place} before: nothing was changed")
    else:
        typer.echo(f"the database belongs with the images in {place} now ({after}; before: {before or 'none'})")


@store.command("compact")
def compact_store(data_dir: Annotated[str | None, of_setting("data_dir")] = None) -> None:
    """Shrink the SQLite database to what it holds, which takes as much free disk space for a while.

    Databases that were made by 0.1.0 never shrink by themselves; after this they do. PostgreSQL has VACUUM FULL for it.
    """
    try:
        settings = Settings(**({} if data_dir is None else {"data_dir": data_dir}))  # type: ignore[arg-type]  # a text, which the settings convert
        if not (settings.data_dir / DATABASE_NAME).exists():
            raise CannotStart(f"there is no database in {settings.data_dir}; give its folder with --data-dir")
        folder = DataFolder(settings.data_dir)
        before, after = compact(folder.database)
        folder.close()
    except (ValidationError, CannotStart, sqlite3.Error, OSError) as error:
        typer.echo(f"imagebatch store compact: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{folder.database} had {before:,} bytes and has {after:,} now")


async def _move(settings: Settings) -> tuple[str | None, str, ObjectStorePlace]:
    async with opened_store(settings) as (folder, database):
        await database.lock()
        place = object_store_place(settings, folder.objects)
        before = await migrate(database, partial(move, place=place))
        return before, place.make_id(), place
