"""An HTTP port that others are to reach needs a name, before anything is opened."""

from __future__ import annotations

import pytest

from imagebatch_server.app.http_port import HttpPort
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.errors import CannotStart


@pytest.mark.parametrize("address", ["0.0.0.0:8080", "images.example.com:80", "[::]:8080"])
def test_an_address_of_many_machines_needs_a_name(address: str) -> None:
    with pytest.raises(CannotStart, match="give --public-url"):
        HttpPort(Settings(http_address=address), address, None)


@pytest.mark.parametrize(
    "url", ["images.example.com", "ftp://images.example.com", "https://", "https://a/?b", "https://a/#b", "https://u@a"]
)
def test_the_public_url_is_one_that_urls_can_begin_with(url: str) -> None:
    with pytest.raises(ValueError, match="must be an http"):
        Settings(public_url=url)


def test_the_public_url_may_have_a_path() -> None:
    assert Settings(public_url="https://example.com/imagebatch/").public_url == "https://example.com/imagebatch"
