"""What a worker believes of a child."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace
from tests.unit.executors.samples import attempt

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.model import Outcome
from imagebatch_server.executors.processes import failures
from imagebatch_server.executors.processes.child_process import ending
from imagebatch_server.executors.processes.load_breaker import LoadBreaker
from imagebatch_server.executors.protocol.answers import fault_of_foreign
from imagebatch_server.executors.protocol.frames import BadFrame
from imagebatch_server.executors.protocol.messages import Done, StoredImage

OUTPUT = structs.from_dict({"description": "a cat"})


SUCCESS = Outcome(3, BatchItemStatus.SUCCESS, output_data=OUTPUT, image_sha256="0" * 64)
FAILURE = Outcome(3, BatchItemStatus.FAILED, ItemErrorCode.INTERNAL, "why")


@pytest.mark.parametrize(
    "done",
    [
        Done(SUCCESS),
        Done(replace(SUCCESS, output_data=b"")),
        Done(SUCCESS, stored=StoredImage(b"", "0" * 64, "image/png")),
        Done(FAILURE, run_s=1.5),
        Done(FAILURE, retry_after_s=1.5),
        Done(replace(SUCCESS, input_tokens=1_000_000_000)),
    ],
)
def test_what_children_say_is_taken(done: Done) -> None:
    assert failures.checked(done, attempt(3)) is done


@pytest.mark.parametrize(
    "done",
    [
        Done(replace(SUCCESS, output_data=None)),
        Done(replace(SUCCESS, output_data=b"no struct")),
        Done(replace(SUCCESS, output_data=structs.from_dict({"text": "x" * 262_144}))),
        Done(replace(SUCCESS, status=BatchItemStatus.FAILED)),
        Done(replace(SUCCESS, status=BatchItemStatus.SKIPPED)),
        Done(replace(SUCCESS, error_code=ItemErrorCode.INTERNAL, error_message="both")),
        Done(replace(SUCCESS, duplicate_of_index=1)),
        Done(replace(SUCCESS, image_sha256="short")),
        Done(replace(SUCCESS, image_sha256="Z" * 64)),
        Done(SUCCESS, run_s=-1.0),
        Done(SUCCESS, run_s=1e17),
        Done(SUCCESS, run_s=math.nan),
        Done(SUCCESS, run_s=math.inf),
        Done(replace(SUCCESS, input_tokens=-1)),
        Done(replace(SUCCESS, output_tokens=2**62)),
        Done(replace(FAILURE, status=BatchItemStatus.SUCCESS)),
        Done(replace(FAILURE, error_code=None)),
        Done(replace(FAILURE, error_message=None)),
        Done(replace(FAILURE, error_message="x" * 3_000)),
        Done(replace(FAILURE, error_message="a\0b")),
        Done(replace(FAILURE, error_code=ItemErrorCode.CANCELLED)),
        Done(FAILURE, stored=StoredImage(b"", "0" * 64, "image/png")),
        Done(SUCCESS, stored=StoredImage(b"", "short", "image/png")),
        Done(SUCCESS, stored=StoredImage(b"", "0" * 64, "")),
        Done(SUCCESS, stored=StoredImage(b"", "0" * 64, "image/\0png")),
        Done(SUCCESS, stored=StoredImage(b"", "0" * 64, "image/\ud800")),
        Done(SUCCESS, stored=StoredImage(b"", "0" * 64, "image/png\r\nX: y")),
        Done(SUCCESS, stored=StoredImage(b"", "0" * 64, "image/" + "x" * 300_000)),
        Done(FAILURE, retry_after_s=-1.0),
        Done(FAILURE, retry_after_s=math.inf),
    ],
)
def test_what_they_never_say_fails_the_item(done: Done) -> None:
    done.next_started = True
    checked = failures.checked(done, attempt(3))
    assert (checked.outcome.item_index, checked.outcome.error_code) == (3, ItemErrorCode.INTERNAL)
    assert " answered with " in (checked.outcome.error_message or "")
    assert checked.next_started
    assert checked.stored is None
    assert fault_of_foreign(checked) is None


def test_an_answer_about_another_item_ends_the_child() -> None:
    with pytest.raises(BadFrame):
        failures.checked(Done(replace(SUCCESS, item_index=4)), attempt(3))


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (70, "ran out of memory (its limit is 512 MiB)"),
        (71, "held too much memory"),
        (3, "exited with status 3"),
        (-11, "was killed by SIGSEGV"),
        (-9, "was killed by SIGKILL (by hand"),
        (None, "had to be killed"),
    ],
)
def test_an_ending_is_put_into_words(status: int | None, text: str) -> None:
    assert ending(status, 512 * 1024 * 1024).startswith(text)


def test_an_operation_that_keeps_killing_is_refused_until_it_loads() -> None:
    loads = LoadBreaker()
    for _ in range(2):
        loads.died("bad", "was killed by SIGSEGV")
        assert loads.refusal("bad") is None
        assert loads.safe(["good", "bad"]) == ["good"]
    loads.died("bad", "was killed by SIGABRT")
    assert loads.refusal("bad") == (
        "operation bad can't be loaded: 3 times the worker was killed by SIGABRT while loading it"
    )
    assert loads.refusal("good") is None
    loads.loaded("bad")
    assert loads.refusal("bad") is None
    assert loads.safe(["good", "bad"]) == ["good", "bad"]


def test_a_refusal_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("imagebatch_server.executors.processes.load_breaker.time.monotonic", lambda: now)
    loads = LoadBreaker()
    for _ in range(3):
        loads.died("bad", "died")
    now += 59
    assert loads.refusal("bad") is not None
    now += 2
    assert loads.refusal("bad") is None
    loads.died("bad", "died")
    assert loads.refusal("bad") is not None
