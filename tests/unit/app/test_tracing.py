"""Traces are asked for by a setting, and need packages that may not be installed."""

from __future__ import annotations

import sys

import pytest
from pydantic import ValidationError

from imagebatch_server.app.settings import Settings
from imagebatch_server.app.tracing import open_tracing
from imagebatch_server.batches.errors import CannotStart


def test_without_a_collector_there_are_none() -> None:
    assert open_tracing(Settings()) is None


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"])
def test_without_its_packages_the_start_ends_with_what_to_do(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in [name for name in sys.modules if name.startswith(("imagebatch_server.tracing", f"{missing}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(CannotStart, match=r"--otlp-endpoint needs .*pip install 'imagebatch\[otel\]', or leave it out"):
        open_tracing(Settings(otlp_endpoint="http://localhost:4317"))


@pytest.mark.parametrize("url", ["localhost:4317", "http://", "http://user:password@localhost:4317", "grpc://host"])
def test_a_collector_is_named_by_its_url(url: str) -> None:
    with pytest.raises(ValidationError, match="must be an http"):
        Settings(otlp_endpoint=url)
