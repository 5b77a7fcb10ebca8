"""The executor of a server whose operations run on a Ray cluster; `app.node` makes what is at its other end."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from imagebatch_server.app.image_urls import makes_previews
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.executors.local.lanes import Lane, with_resources
from imagebatch_server.executors.protocol.cluster import Home
from imagebatch_server.executors.supply.events import OnFetch
from imagebatch_server.operations.registry import OperationRegistry

if TYPE_CHECKING:
    from imagebatch_server.executors.ray.executor import RayExecutor

FILES = ("fetch_ca_file", "fetch_headers", "tenants_file")
"""Settings that name files whose texts nodes are given."""

_OF_NODES = (
    *("fetches", "fetches_per_batch", "fetches_per_tenant", "fetches_per_network", "fetch_memory_bytes"),
    *("fetch_allowed_hosts", "fetch_allowed_networks", "fetch_proxy", "max_redirects"),
    *("max_image_bytes", "max_image_pixels", "ready_memory_bytes", "worker_memory_bytes", "warm_operations"),
    *("object_store_url", "log_level"),
)
"""Settings that hold for nodes as they were set at the server; where they were not, a node has its machine's."""

RAY_NAMES = {"num_gpus": "GPU"}
"""What Ray calls resources that operations call otherwise."""


def cluster_executor(
    settings: Settings, registry: OperationRegistry, server: str, store_id: str | None, on_fetch: OnFetch
) -> RayExecutor:
    """Make it. Raises CannotStart where Ray is not installed."""
    address = settings.ray_address or ""
    if find_spec("ray") is None:
        raise CannotStart(
            f"--ray-address {address} needs a package that is not installed: pip install 'imagebatch[ray]'"
        )
    from imagebatch_server.executors.ray.executor import RayExecutor

    return RayExecutor(
        address,
        f"imagebatch-{store_id}",
        server,
        lambda operation, parameters: lane(registry, operation, parameters),
        lambda: home(settings, registry, store_id),
        on_fetch,
        one_node=settings.object_store_url is None,
    )


def lane(registry: OperationRegistry, operation: str, parameters: bytes | None) -> str:
    """Name the lane that an operation with these parameters runs in, on nodes that have what it asks for."""
    kind = Lane.ASYNCHRONOUS if registry.is_asynchronous(operation, parameters) else Lane.WORKERS
    return with_resources(kind, registry.resources(operation, parameters))


def versions(registry: OperationRegistry) -> Mapping[str, str]:
    """Say of which versions a server or a node is."""
    return {"the package imagebatch": version("imagebatch")} | {
        f"the operation {name}": found for name, found in registry.versions().items()
    }


def home(settings: Settings, registry: OperationRegistry, store_id: str | None) -> Home:
    """Say what agents are made of. Raises OSError for a file that can't be read."""
    names = [name for name in _OF_NODES if name in settings.model_fields_set]
    given: dict[str, Any] = settings.model_dump(mode="json", include=set(names))
    if settings.object_store_url is None:
        given["data_dir"] = str(settings.data_dir.absolute())
    given["previews"] = makes_previews(settings)  # which is told by settings that are none of a node's
    files = {name: path for name in FILES if (path := getattr(settings, name)) is not None}
    asked = {RAY_NAMES.get(name, name) for demand in registry.demands() for name in demand}
    return Home(
        opener="imagebatch_server.app.node:open_node",
        versions=dict(versions(registry)),
        settings=given | settings.of_operations().sections,
        files={name: path.read_text("utf-8") for name, path in files.items()},
        reserved=sorted(asked),
        store_id=store_id,
    )
