"""What a worker believes of a child."""

from __future__ import annotations

import math

import pytest

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.executors import judge
from imagebatch_server.executors.loads import LoadRecord
from imagebatch_server.executors.messages import BadFrame, Done, StoredImage
from imagebatch_server.executors.process import ending

SHA256 = "0" * 64
OUTPUT = structs.from_dict({"description": "a cat"})


@pytest.mark.parametrize(
    "done",
    [
        Done(0.0, SHA256, output=OUTPUT),
        Done(0.0, SHA256, output=b""),
        Done(0.0, SHA256, output=OUTPUT, stored=StoredImage(b"", SHA256, "image/png")),
        Done(1.5, SHA256, error_code=ItemErrorCode.INTERNAL, error_message="why"),
        Done(0.0, "", error_code=ItemErrorCode.PROVIDER_ERROR, error_message="busy", retry_after_s=1.5),
        Done(0.0, SHA256, output=OUTPUT, input_tokens=1_000_000_000),
    ],
)
def test_what_children_say_is_taken(done: Done) -> None:
    judge.check(done)


@pytest.mark.parametrize(
    "done",
    [
        Done(0.0, SHA256),
        Done(0.0, SHA256, output=b"no struct"),
        Done(0.0, SHA256, output=structs.from_dict({"text": "x" * 262_144})),
        Done(0.0, SHA256, output=OUTPUT, error_code=ItemErrorCode.INTERNAL, error_message="both"),
        Done(0.0, SHA256, error_code=ItemErrorCode.INTERNAL),
        Done(0.0, SHA256, error_code=ItemErrorCode.INTERNAL, error_message="x" * 3_000),
        Done(0.0, "short", output=OUTPUT),
        Done(-1.0, SHA256, output=OUTPUT),
        Done(math.nan, SHA256, output=OUTPUT),
        Done(math.inf, SHA256, output=OUTPUT),
        Done(0.0, SHA256, output=OUTPUT, input_tokens=-1),
        Done(0.0, SHA256, output=OUTPUT, output_tokens=2**62),
        Done(0.0, SHA256, error_code=ItemErrorCode.INTERNAL, error_message="why", retry_after_s=-1.0),
        Done(0.0, SHA256, error_code=ItemErrorCode.INTERNAL, error_message="why", retry_after_s=math.inf),
    ],
)
def test_what_they_never_say_is_not(done: Done) -> None:
    with pytest.raises(BadFrame):
        judge.check(done)


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
    loads = LoadRecord()
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
    monkeypatch.setattr("imagebatch_server.executors.loads.time.monotonic", lambda: now)
    loads = LoadRecord()
    for _ in range(3):
        loads.died("bad", "died")
    now += 59
    assert loads.refusal("bad") is not None
    now += 2
    assert loads.refusal("bad") is None
    loads.died("bad", "died")
    assert loads.refusal("bad") is not None
