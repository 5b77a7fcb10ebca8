"""URLs into the private network, in every disguise, through a whole server: each item fails, nobody inside is asked.

Names whose answers change between the check and the connection are tried in tests/integration/images/
test_fetch_addresses.py, where a test can decide what they resolve to.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from tests.faults.conftest import Tell
from tests.faults.operations import OPERATIONS
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, refused
from tests.server import ServerProcess, running_server
from tests.unit.images.test_guard import BROKEN, FORBIDDEN, TRICKS

from imagebatch.v1.types_pb2 import (
    ITEM_ERROR_CODE_FETCH_FAILED,
    ITEM_ERROR_CODE_FETCH_FORBIDDEN,
    BatchItemResult,
)
from imagebatch_server.urls import host_of

OPEN_ADDRESS = "127.0.0.2"
"""The one host that a server of these tests may fetch from; it answers what its URLs say."""

REDIRECTS = (300, 301, 302, 303, 304, 305, 307, 308)
FOLLOWED = frozenset({301, 302, 303, 307, 308})


class _DualStack(ThreadingHTTPServer):
    """Listen at every address of this machine."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class Site:
    """A web server: `/redirect/CODE?to=URL` redirects, all else is a picture; `asked` is what it was asked."""

    def __init__(self, address: str) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"{self.command} {self.path}")
                url = urlsplit(self.path)
                is_redirect = url.path.startswith("/redirect/")
                body = b"" if is_redirect else pictures.drawn()
                self.send_response(int(url.path.split("/")[2]) if is_redirect else 200)
                if is_redirect:
                    self.send_header("Location", parse_qs(url.query)["to"][0])
                self.send_header("Content-Type", "image/png")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = _DualStack if ":" in address else ThreadingHTTPServer
        self._server = server((address, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.asked = asked
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def canary() -> Iterator[Site]:
    """Whom nobody may ask: it listens at every address of this machine."""
    site = Site("::" if _has_ipv6() else "0.0.0.0")
    yield site
    site.close()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[ServerProcess]:
    """Run a server as it comes: no network is opened to it."""
    with running_server(tmp_path / "data", {"fetch_allowed_networks": ""}, OPERATIONS) as running:
        yield running


def outcomes(server: ServerProcess, urls: list[str]) -> list[BatchItemResult]:
    """How items with these URLs end, in order."""
    raw = Raw(server.address)
    batch_id = raw.submit([item(image_url=url) for url in urls], "noop", max_attempts=1).batch_id
    watched = raw.watch_to_end(batch_id)
    raw.close()
    return sorted(watched.results, key=lambda result: result.item_index)


def test_the_canary_hears(canary: Site) -> None:
    """It would notice: a request to any address of this machine reaches it."""
    addresses = ["127.0.0.1", "127.0.0.3", *(["::1"] if _has_ipv6() else [])]
    for address in addresses:
        connection = http.client.HTTPConnection(address, canary.port, timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
    assert len(canary.asked) == len(addresses)


def test_no_disguise_of_an_address_is_fetched(closed: ServerProcess, canary: Site, tell: Tell) -> None:
    addresses = [f"[{address}]" if ":" in address else address for address in FORBIDDEN.values()]
    names = ["localhost", "LOCALHOST", "localhost.", socket.gethostname()]
    hosts = [f"http://{host}:{canary.port}/{{}}" for host in [*addresses, *names]]
    tricks = [*TRICKS.values(), *BROKEN.values()]
    urls = [*tricks, *(_with_port(url, canary.port) for url in tricks), *hosts]
    urls = [url for url in dict.fromkeys(urls) if _fits_the_contract(url)]
    ends: Counter[int] = Counter()
    for url, result in zip(urls, outcomes(closed, urls), strict=True):
        ends[result.error_code] += 1
        assert result.error_code in (ITEM_ERROR_CODE_FETCH_FORBIDDEN, ITEM_ERROR_CODE_FETCH_FAILED), (url, result)
        if result.error_code == ITEM_ERROR_CODE_FETCH_FAILED:
            is_name = url.split("/")[2].rpartition(":")[0] in names
            assert is_name or not host_of(url), ("only what leads nowhere, or a name, may be unknown", url, result)
        assert result.error_message
    assert canary.asked == []
    tell(
        f"{len(urls)} URLs into the private network: {ends[ITEM_ERROR_CODE_FETCH_FORBIDDEN]} FETCH_FORBIDDEN, "
        f"{ends[ITEM_ERROR_CODE_FETCH_FAILED]} that lead nowhere FETCH_FAILED; the canary heard nothing"
    )


def test_what_is_no_web_url_is_refused_at_once(closed: ServerProcess, tell: Tell) -> None:
    raw = Raw(closed.address)
    urls = [url for url in TRICKS.values() if not re.match("(?i)https?://", url)]
    for url in urls:
        refusal = refused(lambda: raw.submit([item(image_url=url)], "noop"))  # noqa: B023 - called here
        assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST"), url
        assert list(refusal.violations) == ["items[0].image_url"], url
    tell(f"{len(urls)} URLs that are not http(s) refused with INVALID_ARGUMENT")
    raw.close()


def test_no_redirect_leads_inside(tmp_path: Path, canary: Site, tell: Tell) -> None:
    site = Site(OPEN_ADDRESS)
    start = f"http://{OPEN_ADDRESS}:{site.port}"
    inside = [
        f"http://127.0.0.1:{canary.port}/x",
        f"//127.0.0.1:{canary.port}/x",
        f"http://[::1]:{canary.port}/x",
        f"http://[::ffff:127.0.0.1]:{canary.port}/x",
        f"http://2130706433:{canary.port}/x",
        f"http://0x7f.1:{canary.port}/x",
        f"http://localhost:{canary.port}/x",
        f"http://{OPEN_ADDRESS}@127.0.0.1:{canary.port}/x",
        f"\\\\127.0.0.1:{canary.port}/x",
        f"/\\127.0.0.1:{canary.port}/x",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
    ]
    urls = [f"{start}/redirect/{code}?to={quote(target, safe='')}" for code in REDIRECTS for target in inside]
    twice = f"{start}/redirect/302?to={quote(inside[0], safe='')}"
    urls += [f"{start}/redirect/{code}?to={quote(twice, safe='')}" for code in FOLLOWED]
    with running_server(tmp_path / "data", {"fetch_allowed_networks": f"{OPEN_ADDRESS}/32"}, OPERATIONS) as server:
        results = outcomes(server, urls)
        good = outcomes(server, [f"{start}/redirect/{code}?to=/picture" for code in FOLLOWED])
    site.close()
    for url, result in zip(urls, results, strict=True):
        is_followed = int(url.split("/")[4].partition("?")[0]) in FOLLOWED
        code = ITEM_ERROR_CODE_FETCH_FORBIDDEN if is_followed else ITEM_ERROR_CODE_FETCH_FAILED
        assert result.error_code == code, (url, result)
    assert all(result.error_code == 0 for result in good), "redirects are followed where they may be"
    assert canary.asked == []
    tell(f"{len(urls)} redirects of {len(REDIRECTS)} codes into the private network: all failed, canary unheard")


def test_proxies_of_the_environment_are_not_asked(
    tmp_path: Path, canary: Site, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
        monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{canary.port}")
    monkeypatch.setenv("no_proxy", "")
    site = Site(OPEN_ADDRESS)
    with running_server(tmp_path / "data", {"fetch_allowed_networks": f"{OPEN_ADDRESS}/32"}, OPERATIONS) as server:
        # The calls of this test's own client would go through the proxy as well.
        monkeypatch.undo()
        good, bad = outcomes(server, [f"http://{OPEN_ADDRESS}:{site.port}/picture", "http://169.254.169.254/"])
    site.close()
    assert (good.error_code, bad.error_code) == (0, ITEM_ERROR_CODE_FETCH_FORBIDDEN)
    assert canary.asked == []
    tell("proxies named by the environment: not asked")


def _with_port(url: str, port: int) -> str:
    """Try the same trick at the canary's port, where that is easily said."""
    return re.sub(r"^(https?:/+)([^/?#:\\]+)(?=/)", rf"\1\2:{port}", url)


def _fits_the_contract(url: str) -> bool:
    """Whether a request can carry it, so that the guard is what judges it."""
    return re.match(r"(?i)https?://", url) is not None and not re.search("[\ud800-\udfff]", url) and "\0" not in url
