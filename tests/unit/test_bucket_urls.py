"""URLs of buckets."""

from __future__ import annotations

import pytest

from imagebatch_server.urls import BadUrl, BucketUrl, host_of, read_bucket


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://bucket", BucketUrl("s3", "bucket", "")),
        ("S3://bucket/", BucketUrl("s3", "bucket", "")),
        ("gs://my.bucket_1/a/b%20c?d", BucketUrl("gs", "my.bucket_1", "a/b%20c?d")),
        ("az://container/prefix/", BucketUrl("az", "container", "prefix")),
    ],
)
def test_a_buckets_url_is_read_letter_by_letter(text: str, url: BucketUrl) -> None:
    assert read_bucket(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3:///a",
        "s3://Bucket/a",
        "s3://user@bucket/a",
        "s3://bucket:9000/a",
        "http://bucket/a",
        "s3a://bucket/a",
    ]
    + [f"s3://bucket/{path}" for path in ("/a", "a//b", "..", "a/../b", "./a", "a/.", "a\0b", "a\nb", "//")],
)
def test_what_leads_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(BadUrl):
        read_bucket(text)


@pytest.mark.parametrize(
    ("path", "prefix", "is_below"),
    [
        ("s3://b1c/a/x", "s3://b1c/a", True),
        ("s3://b1c/a/x", "s3://b1c", True),
        ("s3://b1c/ab/x", "s3://b1c/a", False),
        ("s3://b1c/a", "s3://b1c/a", False),
        ("s3://b1c/A/x", "s3://b1c/a", False),
        ("gs://b1c/a/x", "s3://b1c/a", False),
        ("s3://b1cd/a/x", "s3://b1c/a", False),
    ],
)
def test_a_prefix_ends_at_a_slash(path: str, prefix: str, is_below: bool) -> None:
    assert read_bucket(path).is_below(read_bucket(prefix)) is is_below


def test_fetches_are_counted_by_bucket() -> None:
    assert host_of("s3://bucket/a") == host_of("s3://bucket/b") == "s3://bucket"
    assert host_of("s3://bucket/../a") == ""
