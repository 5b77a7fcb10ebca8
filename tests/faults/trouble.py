"""Clients that live through a trouble: work goes on before, during and after it, and all of it is judged."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import grpc
from tests.faults.batches import Maker
from tests.faults.conftest import Tell
from tests.faults.load import KINDS, Load
from tests.faults.logs import tracebacks
from tests.faults.stores import Store
from tests.integration.server import pictures, web
from tests.integration.server.calls import Raw, Refusal, item, refusal, upload_messages
from tests.server import ServerProcess

from imagebatch.v1 import batch_service_pb2
from imagebatch.v1.types_pb2 import BatchImageInput

PROGRESS = 20
ANSWER_S = 60
"""Well above the 30 s after which the server itself says that its database does not answer."""

NO_BATCH = "01890a5d-ac96-774b-bcce-b302099a8057"

WRITES = ("SubmitBatch", "SubmitBatch with base64", "CancelBatch", "RetryBatch", "DeleteBatch", "UploadImage")
READS = ("GetBatchStatus", "GetBatchResults", "WatchBatch", "ListBatches", "DownloadImage")


Trouble = Callable[[], Awaitable[None]]
"""Comes, and goes again."""


def live_through(
    troubles: Sequence[Trouble],
    servers: Sequence[ServerProcess],
    store: Store,
    folder: Path,
    seed: int,
    tell: Tell,
    *,
    kinds: Sequence[str] = KINDS,
    web_host: str = "127.0.0.1",
) -> None:
    """Run batches, watched at each of the servers, and let one trouble after another come and go.

    See that work resumes by itself each time, and that in the end nothing is lost, doubled, reordered or miscounted.
    """
    chance = random.Random(seed)
    markers = folder / "markers"
    markers.mkdir()
    raw = Raw(servers[0].address)
    picture = raw.upload(pictures.drawn()).object_key
    raw.close()
    paused_s: list[float] = []

    async def scenario(host: str) -> tuple[Load, Counter[str]]:
        addresses = [server.address for server in servers]
        maker = Maker(chance, markers, picture, host)
        load = Load(f"ipv4:{','.join(addresses)}", maker, chance, at_once=2, watched_at=addresses, kinds=kinds)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            await load.seen_more(PROGRESS)
            for trouble in troubles:
                began = time.monotonic()
                await trouble()
                await load.seen_more(PROGRESS)
                paused_s.append(load.longest_pause_s(began))
            load.finish()
        ends = await load.judge(store)
        await load.close()
        return load, ends

    with web.serving(web_host) as host:
        load, ends = asyncio.run(scenario(host.url))
    tell(
        f"{len(load.batches)} batches, {sum(ends.values())} outcomes, {load.outcomes_seen} seen by watchers, "
        f"{load.repeats} submits repeated; defects: {len(load.defects)}"
    )
    tell(f"a trouble held outcomes up for {median(paused_s):.1f} s at the median, {max(paused_s):.1f} s at the most")
    assert load.defects == [], load.defects
    assert [line for server in servers for line in tracebacks(server)] == []


def answers(raw: Raw, batch_id: str, picture: str) -> Mapping[str, Refusal | None]:
    """How each rpc that needs the store is answered now, all called at the same time; None: well."""
    data = pictures.drawn()
    calls: dict[str, Callable[[], object]] = {
        "SubmitBatch": lambda: _submit(raw, item(object_key=picture)),
        "SubmitBatch with base64": lambda: _submit(raw, item(image_base64=pictures.data_url(data))),
        "CancelBatch": lambda: raw.batches.CancelBatch(
            batch_service_pb2.CancelBatchRequest(batch_id=batch_id), timeout=ANSWER_S
        ),
        "RetryBatch": lambda: raw.batches.RetryBatch(
            batch_service_pb2.RetryBatchRequest(batch_id=batch_id), timeout=ANSWER_S
        ),
        "DeleteBatch": lambda: raw.batches.DeleteBatch(
            batch_service_pb2.DeleteBatchRequest(batch_id=NO_BATCH), timeout=ANSWER_S
        ),
        "UploadImage": lambda: raw.images.UploadImage(upload_messages(data), timeout=ANSWER_S),
        "GetBatchStatus": lambda: raw.status(batch_id),
        "GetBatchResults": lambda: raw.page(batch_id),
        "WatchBatch": lambda: next(raw.watch(batch_id)),
        "ListBatches": lambda: raw.batches.ListBatches(batch_service_pb2.ListBatchesRequest(), timeout=ANSWER_S),
        "DownloadImage": lambda: raw.download(picture),
    }
    with ThreadPoolExecutor(len(calls)) as threads:
        return dict(zip(calls, threads.map(_answer, calls.values()), strict=True))


def _submit(raw: Raw, given: BatchImageInput) -> None:
    options = batch_service_pb2.BatchOptions(operation="scripted")
    raw.batches.SubmitBatch(batch_service_pb2.SubmitBatchRequest(options=options, items=[given]), timeout=ANSWER_S)


def _answer(call: Callable[[], object]) -> Refusal | None:
    try:
        call()
    except grpc.RpcError as error:
        return refusal(error)
    return None


def assert_unavailable(answer: Refusal | None, *words: str) -> str:
    """Hold an answer to what the contract says of a store that is away; answers its message."""
    assert answer is not None
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"), answer
    assert answer.retry_delay_s, answer
    assert [word for word in words if word not in answer.message] == [], answer
    assert "Traceback" not in answer.message
    return answer.message
