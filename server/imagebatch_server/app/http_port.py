"""The HTTP port: its address is taken first, as URLs begin with it; then it is opened, and answers."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import structlog

from imagebatch_server.access.tls import Identity, LiveContext
from imagebatch_server.access.watched_files import WatchedFiles
from imagebatch_server.app.endpoint import SERVICES
from imagebatch_server.app.metrics import Metrics
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.awaited_uploads import AwaitedUploads
from imagebatch_server.batches.errors import SettingsClash
from imagebatch_server.batches.uploads import Uploads
from imagebatch_server.http.app import HttpApp
from imagebatch_server.http.exports import EXPORTS, Exports
from imagebatch_server.http.gateway import Gateway
from imagebatch_server.http.guard import HostNames, Origins, is_loopback
from imagebatch_server.http.health import Health
from imagebatch_server.http.images import StoredImages
from imagebatch_server.http.packaged import PackagedFile
from imagebatch_server.http.page import page
from imagebatch_server.http.server import HttpServer, listen
from imagebatch_server.http.signed import SignedUrls
from imagebatch_server.http.signing import IMAGES, UPLOADS, UrlSigner
from imagebatch_server.http.uploads import UploadedImages
from imagebatch_server.images.media_type import media_type
from imagebatch_server.rpc.call_limits import CallLimits
from imagebatch_server.rpc.calls import Calls

log = structlog.get_logger(__name__)

_UNDER_ANY_NAME = ("healthz", "readyz", "metrics")


class HttpPort:
    """`open`, then `stop`, which is all right without the former too. Raises SettingsClash, OSError."""

    def __init__(self, settings: Settings, address: str, identity: WatchedFiles[Identity] | None) -> None:
        self._settings = settings
        self._tls = None if identity is None else LiveContext.of(identity)
        host = address.rpartition(":")[0]
        if settings.public_url is None and not is_loopback(host.strip("[]")):
            raise SettingsClash(
                f"--http-address {address} is not of this machine alone, so callers need a name for it: give "
                "--public-url (IMAGEBATCH_PUBLIC_URL), such as https://images.example.com"
            )
        self._listening = listen(address)
        self._port: int = self._listening.getsockname()[1]
        self._server: HttpServer | None = None
        scheme = "http" if identity is None else "https"
        self.base_url = settings.public_url or f"{scheme}://{host}:{self._port}"
        """What the URLs begin with that this port answers."""

    async def open(
        self,
        calls: Calls,
        limits: CallLimits,
        signer: UrlSigner,
        uploads: Uploads,
        awaited: AwaitedUploads,
        metrics: Metrics,
        draining: Callable[[], bool],
        trouble: Callable[[], str | None],
    ) -> None:
        """Answer from now on."""
        health = Health(calls, draining, trouble, metrics.exposition)
        signed = SignedUrls(signer, limits)
        gateway = Gateway(calls)
        described = files("imagebatch_rules").joinpath("v1.openapi.json").read_bytes()
        app = HttpApp(
            {
                "healthz": health.alive,
                "readyz": health.ready,
                "metrics": health.metrics,
                "openapi.json": PackagedFile(described, "application/json"),
                IMAGES: StoredImages(signed, uploads, media_type),
                UPLOADS: UploadedImages(signed, awaited, calls.audit),
                EXPORTS: Exports(calls, limits),
                **dict.fromkeys(SERVICES, gateway),
                **(page(self.base_url) if self._settings.page else {}),
            },
            HostNames(self._settings.public_url),
            Origins(self._settings.http_origins),
            under_any_name=_UNDER_ANY_NAME,
        )
        self._server = HttpServer(app, tls=self._tls)
        await self._server.start(self._listening)
        limits.connections.listen_on(self._port)
        log.info("http.listening", url=self.base_url)

    async def stop(self, grace_s: float = 0.0) -> None:
        """Answer no more; what has not ended after `grace_s` is cut off."""
        if self._server is not None:
            await self._server.stop(grace_s)
        self._listening.close()
