"""The time that all servers share, which the test moves."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.unit.batches.samples import Place

from imagebatch_server.batches.service_clock import ServiceClock


def test_it_tells_the_servers_time_and_never_goes_back() -> None:
    place = Place()
    clock = ServiceClock(place.time_s)
    place.now_s = 1_000.5
    assert clock.now() == datetime.fromtimestamp(1_000.5, UTC)
    place.now_s = 1_000.25  # as after a renewal that was answered sooner
    assert clock.time_s() == 1_000.5
    place.now_s = 1_001.0
    assert clock.time_s() == 1_001.0
