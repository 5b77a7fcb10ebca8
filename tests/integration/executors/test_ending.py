"""Forgetting attempts, stopping the executor, and what becomes of children whose server is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests.integration.executors.harness import MIB, bench, eventually, output, runs

SERVER = """
import asyncio, os, sys
from tests.integration.executors.harness import bench, eventually

async def main():
    async with bench(workers=2) as on:
        await on.warm_up()
        await eventually(lambda: on.executor.alive == 2)
        on.submit({"do": "hang"}, timeout_s=600)
        await on.recorded.until(lambda: "started" in on.recorded.names_of(on.submitted - 1))
        print(*on.pids(), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_children_end_with_their_server(how: signal.Signals) -> None:
    command = [sys.executable, "-c", SERVER]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = ""
        while not line.strip().replace(" ", "").isdigit():  # the server logs to the same pipe
            line = server.stdout.readline()
            assert line
        pids = [int(pid) for pid in line.split()]
        assert len(pids) == 2
        assert all(runs(pid) for pid in pids)
        server.send_signal(how)
        server.wait(10)
        await eventually(lambda: not any(runs(pid) for pid in pids))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_everyone_is_for_the_server_alone(how: signal.Signals, tmp_path: Path) -> None:
    async with bench() as on:
        until, begun = tmp_path / "until", tmp_path / "begun"
        on.submit({"do": "wait", "until": str(until), "begun": str(begun)})
        await eventually(begun.exists)
        os.kill(on.pids()[0], how)
        until.touch()
        results = await on.recorded.finish(1)
        assert output(results[0])["pid"] == on.pids()[0]
        assert on.executor.restarts == 0


async def test_a_stop_waits_for_what_was_started(tmp_path: Path) -> None:
    async with bench(grace_s=20.0) as on:
        until, begun = tmp_path / "until", tmp_path / "begun"
        on.submit({"do": "wait", "until": str(until), "begun": str(begun)})
        on.submit({"n": 1})  # alone in a chunk of its own, as nothing is known of how long items take
        await eventually(begun.exists)
        (pid,) = on.pids()
        on.recorded.on_event = lambda name, dispatch: None
        until_touched = subprocess.Popen(["sh", "-c", f"sleep 0.3; touch {until}"])
    until_touched.wait()
    assert list(on.recorded.results) == [0], "what was started has ended, what was not has not begun"
    assert not runs(pid)


async def test_a_stop_without_patience_ends_the_children_and_says_nothing(tmp_path: Path) -> None:
    async with bench(workers=2, grace_s=0.2) as on:
        await on.warm_up()
        done = len(on.recorded.results)
        for _ in range(10):
            on.submit({"do": "hang"})
        on.fetcher.gate.clear()
        for _ in range(3):
            on.submit(url="http://slow/")
        await eventually(lambda: on.fetcher.running == 3)
        await on.recorded.until(lambda: "started" in [name for name, _ in on.recorded.events[2 * done :]])
        pids = on.pids()
    assert len(on.recorded.results) == done
    assert not any(name == "fetched" for name, _ in on.recorded.events)
    assert not any(runs(pid) for pid in pids)


async def test_stopping_twice_is_harmless() -> None:
    async with bench() as on:
        await on.executor.stop(0.0)


async def test_what_is_forgotten_is_heard_of_no_more(tmp_path: Path) -> None:
    async with bench() as on:
        await on.warm_up(items=60)
        until, begun = tmp_path / "until", tmp_path / "begun"
        await on.run()
        started = on.submit({"do": "wait", "until": str(until), "begun": str(begun)})
        in_child = [on.submit() for _ in range(5)]
        await eventually(begun.exists)
        ready = [on.submit(operation="other") for _ in range(5)]
        on.fetcher.gate.clear()
        fetching = [on.submit(url="http://slow/") for _ in range(3)]
        await eventually(lambda: on.fetcher.running == 3)
        unread = [on.submit() for _ in range(2)]
        for dispatch in (*in_child, *ready, *fetching, *unread):
            on.executor.forget(dispatch)
            on.executor.forget(dispatch)
        until.touch()
        last = on.submit()
        await on.recorded.until(lambda: last.item.item_index in on.recorded.results)
        assert on.recorded.names_of(started.item.item_index) == ["started", "finished"]
        for dispatch in (*in_child, *ready, *unread):
            assert on.recorded.names_of(dispatch.item.item_index) == []
        for dispatch in fetching:
            assert on.recorded.names_of(dispatch.item.item_index) == ["fetched"]
        assert on.executor._budget.free_bytes == 64 * MIB
        assert not on.executor._attempts


async def test_a_fetch_that_waits_its_turn_can_be_forgotten() -> None:
    async with bench() as on:
        on.fetcher.gate.clear()
        dispatches = [on.submit(url="http://slow/") for _ in range(40)]
        await eventually(lambda: on.fetcher.running > 0)
        assert on.fetcher.running < 40
        for dispatch in dispatches:
            on.executor.forget(dispatch)
        await on.recorded.until(lambda: len(on.recorded.events) == 40)
        assert {name for name, _ in on.recorded.events} == {"fetched"}


async def test_a_child_gets_no_settings_of_the_server_and_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBATCH_DATABASE_URL", "postgresql://user:secret@host/")
    async with bench(memory_bytes=256 * MIB) as on:
        child = psutil.Process(on.pids()[0])
        assert not any(name.startswith("IMAGEBATCH_") for name in child.environ())
        assert child.environ()["OMP_NUM_THREADS"] == "1"
        if sys.platform == "linux":
            assert child.rlimit(psutil.RLIMIT_DATA) == (256 * MIB, 256 * MIB)
            assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
