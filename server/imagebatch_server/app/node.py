"""What a node of a cluster is made of: the executor of its machine, as a server there would have it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from imagebatch_server.app import execution, logs
from imagebatch_server.app.cluster import RAY_NAMES, lane, versions
from imagebatch_server.app.folder import OBJECTS_NAME
from imagebatch_server.app.limits import usual_quotas
from imagebatch_server.app.objects import object_store_place, open_object_store, opened_buckets
from imagebatch_server.app.settings import Settings, settings_with
from imagebatch_server.app.tenants_file import TenantsFile
from imagebatch_server.batches.errors import CannotStart, StoreUnavailable
from imagebatch_server.executors.local.lanes import Lane, Lanes, with_resources
from imagebatch_server.executors.protocol.cluster import Home
from imagebatch_server.executors.ray.agent import Refusal
from imagebatch_server.executors.supply.events import OnFetch
from imagebatch_server.operations.registry import OperationRegistry, installed_settings

_MOST_WORKERS = 256


async def open_node(
    home: Home,
    resources: Mapping[str, float],
    opened: AsyncExitStack,
    nodes: Callable[[], int],
    on_fetch: OnFetch,
) -> Lanes:
    """Make the executor of a node that Ray says has these resources; `opened` closes what it stands on.

    Raises Refusal where the node can't be used.
    """
    os.umask(0o077)
    settings = _settings(home, int(resources["CPU"]), Path(opened.enter_context(tempfile.TemporaryDirectory())))
    logs.configure("json", settings.log_level)
    registry = OperationRegistry.load(settings.of_operations())
    _compare(home.versions, versions(registry))
    try:
        folder = settings.data_dir / OBJECTS_NAME
        await _recognise(home, settings, folder)
        blobs = open_object_store(settings, folder)
        opened.push_async_callback(blobs.close)
        quotas = TenantsFile(settings.tenants_file, usual_quotas(settings)).quotas
        buckets = opened_buckets(settings, quotas)
        fetcher, _ = execution.fetch_stage(settings, settings.fetch_memory_bytes)
    except (CannotStart, StoreUnavailable) as error:
        raise Refusal(str(error)) from error
    await fetcher.start()
    opened.push_async_callback(fetcher.stop)
    return execution.executor(
        settings,
        2 * settings.ready_memory_bytes,
        registry,
        fetcher,
        buckets,
        blobs,
        blobs,
        nodes,
        on_fetch,
        lanes=_lanes(registry, resources, settings.workers),
        lane=lambda operation, parameters: lane(registry, operation, parameters),
    )


def _settings(home: Home, workers: int, folder: Path) -> Settings:
    """Take the server's settings, and files of its texts."""
    given: dict[str, Any] = dict(home.settings)
    for name, text in home.files.items():
        given[name] = folder / name
        given[name].write_text(text, "utf-8")
    try:
        return settings_with(installed_settings())(**given, workers=min(workers, _MOST_WORKERS))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Refusal(
            f"it can't take the server's setting {where}: {first['msg']}; install the same packages"
        ) from error


def _compare(at_server: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Refuse a node that has other versions than the server, or lacks an operation."""
    for what, wanted in at_server.items():
        found = here.get(what)
        if found != wanted:
            is_here = f"is {found}" if found else "is missing"
            raise Refusal(
                f"{what} {is_here} on this node and {wanted} at the server; install the same packages on both"
            )


async def _recognise(home: Home, settings: Settings, folder: Path) -> None:
    """See that the node's object store is the server's."""
    place = object_store_place(settings, folder)
    found = await asyncio.to_thread(place.id)
    if found != home.store_id:
        remedy = "run it on the server's machine, or give --object-store-url (IMAGEBATCH_OBJECT_STORE_URL) a bucket"
        if settings.object_store_url is not None:
            remedy = "give the node the endpoint and the credentials that the server has"
        raise Refusal(f"{place} is not the server's object store as this node sees it; {remedy}")


def _lanes(registry: OperationRegistry, resources: Mapping[str, float], workers: int) -> Mapping[str, int]:
    """Say how many workers each lane has: as many as the node has what their operations ask for."""
    lanes = {}
    for demand in registry.demands():
        at_once = [resources.get(RAY_NAMES.get(name, name), 0) / amount for name, amount in demand.items()]
        most = int(min([workers, *at_once]))
        if most >= 1:
            lanes[with_resources(Lane.WORKERS, demand)] = most
            lanes[with_resources(Lane.ASYNCHRONOUS, demand)] = 1
    return lanes
