"""Which failures are taken for the same."""

from __future__ import annotations

import time

import pytest

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.failure_clusters import MOST_CHARACTERS, cluster_of, rest_of, template
from imagebatch_server.batches.model import Item, Outcome

MESSAGES = {
    "https://a.example/img/17.jpg?x answered with status 404; check that the URL is right": (
        "* answered with status 404; check that the URL is right"
    ),
    "20000 x 30000 pixels are above the limit of 100,000,000; send the image scaled down": (
        "* x * pixels are above the limit of *; send the image scaled down"
    ),
    "the PNG can't be decoded (broken data stream when reading image file); check that it is whole": (
        "the PNG can't be decoded (broken data stream when reading image file); check that it is whole"
    ),
    "s3://bucket/a/b.jpg can't be read; check the host's name": "* can't be read; check the host's name",
    "operation x failed: KeyError: 'cat-17'": "operation x failed: KeyError: *",
    'no such file: "/tmp/a b/17.png" (errno 2)': "no such file: * (errno *)",
    "can't open /var/tmp/upload-3: No such file": "can't open *: No such file",
    "object 0f9a2c77d1e84b6c is gone": "object * is gone",
    "batch 0195d2f0-0000-7000-8000-000000000001-9 at 0xdeadbeef": "batch *-* at *",
    "the content looks like a JPEG2000 file\n\nor JFIF 1.2": "the content looks like a JPEG2000 file or JFIF *",
    "the attempt took longer than 1.5 s; raise item_timeout": "the attempt took longer than * s; raise item_timeout",
    "": "",
}


@pytest.mark.parametrize(("message", "told"), MESSAGES.items())
def test_what_changes_is_left_out(message: str, told: str) -> None:
    assert template(message) == told
    assert template(told) == told, "what is left out already stays so"


def test_the_host_is_told_beside_the_message() -> None:
    assert (
        template("img.example has had too much to do for 3600 s", "img.example") == "* has had too much to do for * s"
    )


def failure(message: str, code: ItemErrorCode = ItemErrorCode.FETCH_FAILED, image_format: str | None = None) -> Outcome:
    return Outcome(0, BatchItemStatus.FAILED, code, message, image_format=image_format)


def item(url: str | None) -> Item:
    return Item(0, None, url, None if url else "k", None, None, None, None)


def test_a_cluster_has_one_code_host_format_and_message() -> None:
    first = cluster_of(
        item("https://USER:pw@A.example:8443/1.jpg"), failure("https://a.example/1.jpg answered with status 404")
    )
    assert first[1:] == (ItemErrorCode.FETCH_FAILED, "a.example", "", "* answered with status 404")
    assert cluster_of(item("http://a.example/2"), failure("https://a.example/2 answered with status 404")) == first
    others = [
        cluster_of(item("http://b.example/2"), failure("https://b.example/2 answered with status 404")),
        cluster_of(item("http://a.example/2"), failure("https://a.example/2 answered with status 500")),
        cluster_of(item("http://a.example/2"), failure("x answered with status 404", ItemErrorCode.TIMEOUT)),
        cluster_of(item(None), failure("broken", ItemErrorCode.DECODE_FAILED, "png")),
        cluster_of(item(None), failure("broken", ItemErrorCode.DECODE_FAILED, "jpeg")),
        rest_of(ItemErrorCode.TIMEOUT),
    ]
    ids = {cluster.cluster_id for cluster in (first, *others)}
    assert len(ids) == 7
    assert all(len(cluster_id) == 16 for cluster_id in ids)


HOSTILE = ["'" * 2_000, "a-" * 1_000, "1." * 1_000, "/" * 2_000, "a" * 2_000, "\0\ud800" * 900, "x://" * 500]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_no_message_takes_long(hostile: str) -> None:
    began = time.process_time()
    told = template(hostile)
    assert time.process_time() - began < 0.2
    assert len(told) <= MOST_CHARACTERS
    assert "\0" not in told
    told.encode()
