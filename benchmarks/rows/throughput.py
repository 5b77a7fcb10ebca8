"""No-op items a second, from the submit to all results read back and decoded, beside the bare limit."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

from benchmarks import work
from benchmarks.bare.client import BareServer, bare_server
from benchmarks.bare.store import create_tables
from benchmarks.measure import Line, Mark, Report, Round, Scale, interleave
from benchmarks.ours import Ours, answers_of, serving
from benchmarks.peers import line_of
from benchmarks.postgres import running_postgres
from benchmarks.rows.folders import data_folder
from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch_client import convert

ROW = "throughput"
STORES = {"sqlite": "SQLite FULL", "postgres": "PostgreSQL, synchronous_commit on"}
MARK = Mark(at_least=0.5)
RATE = "items/s"


async def measure(scale: Scale, report: Report) -> None:
    for items in scale.batch_items:
        for store in STORES:
            await _measure(scale, report, items, store)


@asynccontextmanager
async def our_server(store: str) -> AsyncIterator[Ours]:
    """Our server on one of STORES."""
    with data_folder() as folder, database(store) as url:
        async with serving(folder, database_url=url) as ours:
            yield ours


async def client_round(ours: Ours, items: int) -> Mapping[str, float]:
    """By our client, results as dataclasses with dicts."""
    started_at = time.perf_counter()
    batch = await ours.client.submit("noop", ours.inputs(items))
    answers: list[Any] = []
    async for update in ours.client.watch_updates(batch.batch_id):
        answers += [result.output_data for result in update.results]
    took_s = time.perf_counter() - started_at
    work.check(answers, items)
    return {RATE: items / took_s}


async def _stub_round(ours: Ours, items: int) -> Mapping[str, float]:
    started_at = time.perf_counter()
    batch_id = await ours.submit_messages(items)
    messages = [message async for message in ours.watch_messages(batch_id)]
    took_s = time.perf_counter() - started_at
    work.check([answer for message in messages for answer in answers_of(message)], items)
    return {RATE: items / took_s}


async def _measure(scale: Scale, report: Report, items: int, store: str) -> None:
    figure = f"{items:,} no-op items, {STORES[store]}"
    how = f"bare driver ({STORES[store]}) and bare gRPC streams of the same bytes"
    with line_of(report, ROW, figure):
        async with our_server(store) as ours:
            with data_folder() as folder, database(store) as database_url:
                url = database_url or f"sqlite:///{folder / 'bare.db'}"
                create_tables(url)
                async with bare_server(folder) as bare:
                    found = await interleave(
                        {
                            "client": lambda: client_round(ours, items),
                            "stubs": lambda: _stub_round(ours, items),
                            "bare, converted": _bare_round(bare, ours, url, items, converted=True),
                            "bare, parsed": _bare_round(bare, ours, url, items, converted=False),
                        },
                        scale.rounds_of(items),
                    )
        for ours_by, bare_by, read in (
            ("client", "bare, converted", "our client, results as dataclasses"),
            ("stubs", "bare, parsed", "bare stubs, results parsed"),
        ):
            report.add(
                Line(ROW, f"{figure}; {read}", RATE, found[ours_by][RATE], f"{how}, the same decoding",
                     found[bare_by][RATE], MARK)
            )  # fmt: skip


def _bare_round(bare: BareServer, ours: Ours, url: str, items: int, *, converted: bool) -> Round:
    async def run() -> Mapping[str, float]:
        await bare.make_rows(url, items, with_outcomes=True)
        messages = ours.input_messages(items)
        runs = [messages[first : first + 1_000] for first in range(0, items, 1_000)]
        inputs = [pb.BatchImageInputs(items=run).SerializeToString() for run in runs]

        async def requests() -> AsyncIterator[bytes]:
            for data in inputs:
                yield data

        started_at = time.perf_counter()
        await bare.submit(requests())
        parsed: list[Any] = []
        async for data in bare.run(b""):
            message = pb.WatchBatchResponse.FromString(data)
            parsed.append(convert.watch_update(message) if converted else message)
        took_s = time.perf_counter() - started_at
        if converted:
            work.check([result.output_data for update in parsed for result in update.results], items)
        else:
            work.check([answer for message in parsed for answer in answers_of(message)], items)
        return {RATE: items / took_s}

    return run


@contextmanager
def database(store: str) -> Any:
    """Provide the URL of an empty database of one of STORES; None for SQLite, which the server makes itself."""
    with nullcontext() if store == "sqlite" else running_postgres() as new_database:
        yield None if new_database is None else new_database()
