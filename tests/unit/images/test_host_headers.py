from __future__ import annotations

import pytest

from imagebatch_server.images.host_headers import headers_for, read_tables
from imagebatch_server.urls import read

FILE = """
["images.example"]
Authorization = "Bearer s3cr3t"
X-More = "1"

["*.cdn.example"]
X-Key = "wide"

["*.eu.cdn.example"]
X-Key = "near"

["http://minio.internal"]
X-Key = "plain"

["B\u00fccher.example."]
X-Key = "idn"

["[2606:4700::1]"]
X-Key = "v6"
"""

SENT = {
    "https://images.example/a": {"Authorization": "Bearer s3cr3t", "X-More": "1"},
    "https://IMAGES.example.:8443/a": {"Authorization": "Bearer s3cr3t", "X-More": "1"},
    "https://a.cdn.example/": {"X-Key": "wide"},
    "https://a.b.cdn.example/": {"X-Key": "wide"},
    "https://a.eu.cdn.example/": {"X-Key": "near"},
    "http://minio.internal:9000/": {"X-Key": "plain"},
    "https://xn--bcher-kva.example/": {"X-Key": "idn"},
    "https://[2606:4700:0::1]/": {"X-Key": "v6"},
    "http://images.example/a": {},
    "https://minio.internal/": {},
    "https://cdn.example/": {},
    "https://sub.images.example/": {},
    "https://images.example.evil/": {},
    "https://evilcdn.example/": {},
}


@pytest.mark.parametrize("url", SENT)
def test_headers_go_to_the_hosts_they_are_for(url: str) -> None:
    assert headers_for(read_tables(FILE), read(url)) == SENT[url]


@pytest.mark.parametrize(
    "text",
    [
        "s3cr3t",
        "[a]\nX = s3cr3t",
        '["a b"]\nX = "s3cr3t"',
        '["ftp://host.example"]\nX = "s3cr3t"',
        '["host.example/path"]\nX = "s3cr3t"',
        '["*"]\nX = "s3cr3t"',
        '["*.*.example"]\nX = "s3cr3t"',
        '["host.example"]\n"X Y" = "s3cr3t"',
        '["host.example"]\nHost = "s3cr3t"',
        '["host.example"]\ntransfer-encoding = "s3cr3t"',
        '["host.example"]\nX = "s3cr3t\\r\\nY: z"',
        '["host.example"]\nX = ""',
        '["host.example"]\nX = 7',
        '"host.example" = "s3cr3t"',
    ],
)
def test_what_is_wrong_with_the_file_is_said_without_its_secrets(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it must not say is tested
        read_tables(text)
    assert "s3cr3t" not in str(caught.value)
    assert str(caught.value).isprintable()
