"""What tenants may have, by a file that may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebatch_server.app.tenants_file import TenantsFile
from imagebatch_server.batches.errors import CannotStart
from imagebatch_server.batches.quotas import Quotas

USUAL = Quotas(weight=2.0)


def write(path: Path, text: str) -> None:
    """Replace the file, as editors do and deployments should."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_who_has_no_table_has_the_usual(tmp_path: Path) -> None:
    assert TenantsFile(None, USUAL).quotas("acme") == USUAL
    path = tmp_path / "tenants.toml"
    write(path, "[acme]\nweight = 3\n[other]\n")
    file = TenantsFile(path, USUAL)
    assert [file.quotas(name).weight for name in ("acme", "other", "third")] == [3.0, 2.0, 2.0]


def test_buckets_are_opened_by_their_urls(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text('[acme]\nread_buckets = ["s3://photos/a", "gs://scans"]\nwrite_buckets = ["az://results/"]\n')
    file = TenantsFile(path, USUAL)
    assert file.quotas("acme").read_buckets == ("s3://photos/a", "gs://scans")
    assert file.quotas("acme").write_buckets == ("az://results/",)
    assert (file.quotas("others").read_buckets, file.quotas("others").write_buckets) == ((), ())


def test_a_change_is_read_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    write(path, "[acme]\nweight = 3\n")
    file = TenantsFile(path, USUAL)
    write(path, "[acme]\nweight = 4\n")
    assert file.quotas("acme").weight == 3.0
    file.watched[0].look()
    assert file.quotas("acme").weight == 4.0
    write(path, "[acme]\nweight = -1\n")
    file.watched[0].look()
    path.unlink()
    file.watched[0].look()
    assert file.quotas("acme").weight == 4.0
    write(path, "")
    file.watched[0].look()
    assert file.quotas("acme") == USUAL


def test_amounts_have_units_and_none_is_no_limit(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text('[acme]\nmax_stored_bytes = "2GiB"\nmax_waiting_items = "none"\nmax_requests_per_s = 0.5\n')
    quotas = TenantsFile(path, Quotas(max_waiting_items=7, max_running_batches=8)).quotas("acme")
    assert quotas == Quotas(
        max_running_batches=8, max_waiting_items=None, max_stored_bytes=2**31, max_requests_per_s=0.5
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[acme", "Expected"),
        ("[Acme]", "Acme: "),
        ("[acme]\nweight = 0", r"acme\.weight: .*greater than 0"),
        ("[acme]\nwait = 3", r"acme\.wait: "),
        ("acme = 3", "acme: "),
        ('[acme]\nread_buckets = ["s3://B/a"]', r"acme\.read_buckets\.0: .*names no bucket"),
        ('[acme]\nmax_stored_bytes = "much"', r"acme\.max_stored_bytes: "),
        ("[acme]\nmax_requests_per_s = 0", r"acme\.max_requests_per_s: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(text)
    with pytest.raises(CannotStart, match=why) as caught:
        TenantsFile(path, USUAL)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"none\.toml: No such file or directory"):
        TenantsFile(tmp_path / "none.toml", USUAL)
