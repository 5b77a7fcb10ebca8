from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from imagebatch_client.threads import RequestFeed, SilenceWatchdog


def test_requests_arrive_in_order_and_end_with_close() -> None:
    feed = RequestFeed[int]()
    with ThreadPoolExecutor(1) as grpcs_thread:
        received = grpcs_thread.submit(list, feed)
        assert all(feed.put(number) for number in range(100))
        feed.close()
        assert received.result(10) == list(range(100))


def test_a_caller_that_waits_for_room_is_let_go_when_the_call_is_over() -> None:
    feed = RequestFeed[int]()
    with ThreadPoolExecutor(1) as caller:
        accepted = caller.submit(lambda: [feed.put(number) for number in range(5)])
        next(feed)
        feed.abandon(None)
        taken = accepted.result(10)
    assert taken == sorted(taken, reverse=True)  # True while there was room, then False
    assert not feed.put(9)
    assert list(feed) == []


def test_a_reader_that_waits_for_a_request_is_let_go_when_the_call_is_over() -> None:
    feed = RequestFeed[int]()
    with ThreadPoolExecutor(1) as grpcs_thread:
        received = grpcs_thread.submit(list, feed)
        feed.abandon(None)
        assert received.result(10) == []


def test_a_silent_read_is_interrupted_once() -> None:
    interrupted = threading.Event()
    watchdog = SilenceWatchdog(0.05, interrupted.set)
    with watchdog:
        assert interrupted.wait(10)
    assert watchdog.has_fired


def test_a_stopped_watchdog_and_one_with_nothing_to_watch_stay_quiet() -> None:
    fired = threading.Event()
    idle, stopped = SilenceWatchdog(0.05, fired.set), SilenceWatchdog(0.05, fired.set)
    stopped.stop()
    with stopped:
        assert not fired.wait(0.3)
    idle.stop()
    assert not idle.has_fired
