"""What a child makes of an operation's endings that real children show badly."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.executors.harness import PICTURE
from tests.operations_for_tests import Noop

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import Outcome
from imagebatch_server.executors.child.runner import Runner
from imagebatch_server.executors.protocol.frames import frame
from imagebatch_server.executors.protocol.messages import Task
from imagebatch_server.images.decode import Image
from imagebatch_server.operations.base import ItemContext, Output, Parameters

RAISED: list[Exception] = []


class Raises(Noop):
    """Raise what the test put into RAISED."""

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        try:
            raise RAISED[0]
        except MemoryError as error:
            raise RuntimeError("the library's own") from error


class Refuses(Noop):
    """Has an output that no Struct can hold."""

    class Numbers(Output):
        """One number."""

        number: int

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Any:
        return self.Numbers(number=2**60)


class Ignores(Noop):
    """Look at nothing."""

    class Nothing(Output):
        """Of nothing."""

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        return self.Nothing()


class Measures(Ignores):
    """Look at the size."""

    def run(self, image: Image, parameters: Parameters, item: ItemContext) -> Output:
        assert image.width
        return self.Nothing()


class Answers(Ignores):
    """Look at nothing, and answer for what can't be opened."""

    class Why(Output):
        """Why it can't be."""

        why: str

    def run_unopened(self, error: ItemError, parameters: Parameters, item: ItemContext) -> Output:
        return self.Why(why=error.code.value)


DAMAGED = PICTURE[:24]
"""A PNG's first bytes, of whose header a part is missing."""


def runner() -> Runner:
    made = Runner({"raises": f"{__name__}:Raises", "refuses": f"{__name__}:Refuses"}, 1_000_000)
    assert made.load("raises") is None
    assert made.load("refuses") is None
    return made


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        ValueError("OpenCV(4.12.0) error: (-4:Insufficient memory) Failed to allocate 400000000 bytes"),
    ],
)
def test_memory_that_runs_out_in_a_library_ends_the_process(error: Exception) -> None:
    RAISED[:] = [error]
    with pytest.raises(MemoryError):
        runner().tasks("raises", None)(Task(0, None, None, 0), PICTURE)


def test_metadata_and_parameters_that_cannot_be_read_fail_the_item() -> None:
    RAISED[:] = []
    done = runner().tasks("refuses", b"no struct")(Task(0, None, None, 0), PICTURE)
    assert done.outcome.error_code is ItemErrorCode.INTERNAL
    done = runner().tasks("refuses", None)(Task(0, None, b"no struct", 0), PICTURE)
    assert done.outcome.error_code is ItemErrorCode.INTERNAL


def test_an_output_that_a_struct_cannot_hold_is_named_by_its_path() -> None:
    done = runner().tasks("refuses", None)(Task(0, None, None, 0), PICTURE)
    assert done.outcome.error_code is ItemErrorCode.INTERNAL
    assert "ValueError: number: 1152921504606846976 is beyond 2^53" in (done.outcome.error_message or "")


def test_the_bytes_that_were_processed_are_named_even_when_they_are_no_image() -> None:
    done = runner().tasks("refuses", None)(Task(0, None, None, 0), b"text")
    assert done.outcome.error_code is ItemErrorCode.UNSUPPORTED_FORMAT
    assert done.outcome.image_sha256 == "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
    assert done.run_s > 0


def test_an_error_that_quotes_half_a_surrogate_pair_can_be_told() -> None:
    RAISED[:] = [ZeroDivisionError("half \ud800 a pair")]
    done = runner().tasks("raises", None)(Task(0, None, None, 0), PICTURE)
    assert frame(done)
    assert done.outcome.error_code is ItemErrorCode.INTERNAL
    assert "ZeroDivisionError: half ? a pair" in (done.outcome.error_message or "")
    assert "ZeroDivisionError: half ? a pair" in (done.traceback or "")


def test_a_header_that_nobody_looks_at_is_not_read() -> None:
    assert opening("ignores", DAMAGED) == BatchItemStatus.SUCCESS
    assert opening("ignores", b"no image") == ItemErrorCode.UNSUPPORTED_FORMAT
    assert opening("measures", DAMAGED) == ItemErrorCode.DECODE_FAILED


def test_an_operation_that_answers_for_what_cannot_be_opened_hears_of_it() -> None:
    answered = opened("answers", DAMAGED).output_data
    assert structs.to_dict(answered) == {"why": ItemErrorCode.DECODE_FAILED.value}


def opened(name: str, data: bytes) -> Outcome:
    made = Runner({name: f"{__name__}:{name.title()}"}, 1_000_000)
    assert made.load(name) is None
    return made.tasks(name, None)(Task(0, None, None, 0), data).outcome


def opening(name: str, data: bytes) -> str:
    outcome = opened(name, data)
    return outcome.error_code or outcome.status
