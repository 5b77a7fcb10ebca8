"""The client's conversion of results to dataclasses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from google.protobuf.json_format import MessageToDict

from benchmarks import work
from benchmarks.bare import rows
from benchmarks.measure import Line, Mark, Report, Round, Scale, interleave
from imagebatch.v1 import batch_service_pb2 as pb
from imagebatch.v1 import types_pb2
from imagebatch_client import convert

ROW = "client"
RATE = "results/s"
MARK = Mark(at_least=1.5)
RESULTS = 1_000
PAGES_A_ROUND = 20


async def measure(scale: Scale, report: Report) -> None:
    [watched] = rows.result_messages(rows.new_batch_id(), RESULTS, RESULTS)
    page = types_pb2.BatchResults(
        batch_id=rows.new_batch_id(),
        status=types_pb2.BATCH_STATUS_COMPLETED,
        results=pb.WatchBatchResponse.FromString(watched).results,
    )
    answers = [result.output_data or {} for result in convert.results_page(page).results]
    work.check(answers, RESULTS)
    found = await interleave(
        {
            "dataclasses": _rate(lambda: convert.results_page(page)),
            "MessageToDict": _rate(lambda: MessageToDict(page)),
        },
        scale.rounds,
    )
    report.add(
        Line(ROW, "results to dataclasses, a page of 1,000", RATE, found["dataclasses"][RATE],
             "MessageToDict of the same page", found["MessageToDict"][RATE], MARK)
    )  # fmt: skip


def _rate(convert_page: Callable[[], object]) -> Round:
    async def run() -> Mapping[str, float]:
        started_at = time.perf_counter()
        for _ in range(PAGES_A_ROUND):
            convert_page()
        return {RATE: RESULTS * PAGES_A_ROUND / (time.perf_counter() - started_at)}

    return run
