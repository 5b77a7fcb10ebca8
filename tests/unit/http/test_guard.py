from __future__ import annotations

import pytest

from imagebatch_server.http.guard import HostNames


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:80", "Images.Example.com:443"]
)
def test_the_port_answers_to_this_machines_names_and_the_public_one(host: str) -> None:
    assert HostNames("https://images.example.com/base").allow(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "images.example.com.evil.example",
        "10.0.0.1",
        "localhost.evil.example",
        "127.0.0.1.evil",
        "[::1",
        "a@b:c",
        "evil@localhost",
        "localhost/evil",
        "localhost#evil",
        "evil.example\\@localhost",
    ],
)
def test_it_answers_to_no_other(host: str) -> None:
    assert not HostNames("https://images.example.com").allow(host)
    assert not HostNames(None).allow(host)


def test_a_refusal_names_what_to_do() -> None:
    assert "call it by a name of this machine or as a.example, or set IMAGEBATCH_PUBLIC_URL" in HostNames(
        "https://a.example"
    ).refusal("b.example")
