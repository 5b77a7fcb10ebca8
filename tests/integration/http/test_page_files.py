"""The page's files: what goes with them, and that they can be left out."""

from __future__ import annotations

from pathlib import Path

import httpx
from tests.integration.http.conftest import Site
from tests.server import free_port, running_server


def test_the_page_may_load_and_call_nothing_but_its_own_server(site: Site, http: httpx.Client) -> None:
    for path, media_type in {"/": "text/html", "/page.js": "text/javascript", "/page.css": "text/css"}.items():
        answer = http.get(site.url + path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(media_type)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert http.get(site.url + path, headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_an_operator_can_leave_it_out(tmp_path: Path, http: httpx.Client) -> None:
    address = f"127.0.0.1:{free_port()}"
    with running_server(tmp_path / "data", {"http_address": address, "page": "false"}):
        assert http.get(f"http://{address}/").status_code == 404
        assert http.get(f"http://{address}/page.js").status_code == 404
        assert http.get(f"http://{address}/healthz").status_code == 200
