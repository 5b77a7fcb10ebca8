"""The plug-in point: what the tester holds an operation to, and a third party's package on a real server."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image as PillowImage
from pydantic import Field
from tests.server import running_server

from imagebatch_client import BatchClient, BatchImageInput, InvalidRequestError
from imagebatch_server.images.decode import Image
from imagebatch_server.operations import (
    AsyncOperation,
    ChunkOperation,
    ItemContext,
    Operation,
    Output,
    Parameters,
    Stored,
)
from imagebatch_server.testing import InvalidOperation, InvalidParameters, ItemError, OperationTester

EXAMPLE = Path(__file__).parents[3] / "examples" / "operation_plugin"


def png(width: int = 8, colour: str = "red") -> bytes:
    stream = io.BytesIO()
    PillowImage.new("RGB", (width, 6), colour).save(stream, "PNG")
    return stream.getvalue()


class Asked(Parameters):
    do: str = Field(default="answer", max_length=10, description="What to do.")


class Seen(Output):
    width: int = Field(description="Pixels across.")
    together: int = Field(default=1, description="Images of the chunk.")
    note: str | None = Field(default=None, description="The item's metadata, its index and its declared type.")


class Look(Operation[Asked]):
    name: ClassVar[str] = "look"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "Looks."
    parameters: ClassVar[type[Parameters]] = Asked
    output: ClassVar[type[Output]] = Seen

    def run(self, image: Image, parameters: Asked, item: ItemContext) -> Any:
        if parameters.do == "fail":
            raise ZeroDivisionError("a mistake")
        if parameters.do == "break":
            return Parameters()
        if parameters.do == "stray":
            return Stray(depth=1)
        if parameters.do == "store":
            return Stored(Seen(width=image.width), image.data, "image/png")
        note = f"{dict(item.metadata)} {item.item_index} {item.declared_type}" if item.metadata else None
        return Seen(width=image.width, note=note)


class Stray(Output):
    depth: int = Field(description="What the schema does not know.")


class LookTogether(ChunkOperation[Asked]):
    name: ClassVar[str] = "look-together"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "Looks at several."
    parameters: ClassVar[type[Parameters]] = Asked
    output: ClassVar[type[Output]] = Seen

    def run_many(
        self, images: Sequence[Image], parameters: Asked, items: Sequence[ItemContext]
    ) -> Sequence[Output | Stored | ItemError]:
        return [Seen(width=image.width, together=len(images)) for image in images]


class LookLater(AsyncOperation[Asked]):
    name: ClassVar[str] = "look-later"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "Waits, then looks."
    parameters: ClassVar[type[Parameters]] = Asked
    output: ClassVar[type[Output]] = Seen

    def load(self) -> None:
        self._lock: asyncio.Lock | None = None

    async def run(self, image: Image, parameters: Asked, item: ItemContext) -> Seen:
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:  # bound to its first loop, as clients of other services are
            await asyncio.sleep(0)
        return Seen(width=image.width)


class Unexplained(Output):
    width: int


class LookSilently(Look):
    output: ClassVar[type[Output]] = Unexplained


class NullWithoutDefault(Output):
    width: int | None = Field(description="None is left out of what clients get.")


class LookForNothing(Look):
    output: ClassVar[type[Output]] = NullWithoutDefault

    def run(self, image: Image, parameters: Asked, item: ItemContext) -> Output:
        return NullWithoutDefault(width=None)


class LookWithoutModel(Look):
    def load(self) -> None:
        raise FileNotFoundError("the model is missing")


def test_the_answer_is_what_a_client_gets() -> None:
    tester = OperationTester(Look)

    assert tester.run(png(11)).output == {"width": 11, "together": 1}
    answer = tester.run(png(), metadata={"a": 1}, declared_type="image/gif")
    assert answer.output["note"] == "{'a': 1} 0 image/gif"
    stored = tester.run(png(), {"do": "store"})
    assert (stored.stored_image, stored.content_type) == (png(), "image/png")


def test_items_fail_as_they_would_on_a_server() -> None:
    tester = OperationTester(Look)

    with pytest.raises(InvalidParameters, match=r"options\.parameters\.od: is no parameter of look, which takes do"):
        tester.run(png(), {"od": "answer"})
    with pytest.raises(ItemError) as unsupported:
        tester.run(b"no picture")
    assert unsupported.value.code == "unsupported_format"
    with pytest.raises(ItemError, match="ZeroDivisionError: a mistake") as failed:
        tester.run(png(), {"do": "fail"})
    assert failed.value.code == "internal"
    assert "in run" in failed.value.__notes__[0]
    with pytest.raises(ItemError, match="must return Output or Stored"):
        tester.run(png(), {"do": "break"})
    with pytest.raises(ItemError, match="above the limit of 10"):
        OperationTester(Look, max_image_pixels=10).run(png())


def test_an_output_that_breaks_its_schema_is_found() -> None:
    with pytest.raises(InvalidOperation, match="does not fit Seen"):
        OperationTester(Look).run(png(), {"do": "stray"})
    with pytest.raises(InvalidOperation, match="needs the default None"):
        OperationTester(LookForNothing).run(png())


def test_a_class_that_a_server_would_leave_out_is_refused() -> None:
    class Hidden(Look):
        pass

    with pytest.raises(InvalidOperation, match="no subclass"):
        OperationTester(dict)  # type: ignore[arg-type]
    with pytest.raises(InvalidOperation, match="inside a function"):
        OperationTester(Hidden)
    with pytest.raises(InvalidOperation, match=r"Unexplained\.width has no description"):
        OperationTester(LookSilently)
    with pytest.raises(RuntimeError, match="the model is missing"):
        OperationTester(LookWithoutModel).run(png())


def test_a_chunk_operation_gets_its_images_together() -> None:
    answers = OperationTester(LookTogether).run_many([png(3), b"no picture", png(5)])

    assert [it.output if not isinstance(it, ItemError) else it.code.value for it in answers] == [
        {"width": 3, "together": 2}, "unsupported_format", {"width": 5, "together": 2},
    ]  # fmt: skip
    assert OperationTester(LookTogether).run(png(4)).output == {"width": 4, "together": 1}


def test_an_asynchronous_operation_keeps_its_loop() -> None:
    tester = OperationTester(LookLater)

    assert [tester.run(png(width)).output["width"] for width in (2, 3)] == [2, 3]
    assert len(tester.run_many([png(), png()])) == 2


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example's package in a folder of its own; offline."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(EXAMPLE, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder / "installed"), str(source)]
    subprocess.run([*pip, *offline], check=True, capture_output=True, text=True)
    return folder / "installed"


def test_a_third_partys_operation_runs_on_a_server(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed))
    with running_server(tmp_path / "data") as server, BatchClient(server.address) as client:
        (operation,) = [it for it in client.list_operations() if it.name == "fingerprint"]
        assert operation.version == "1.0.0"
        assert (operation.parameters_schema or {})["properties"]["side"]["maximum"] == 32
        assert set((operation.output_schema or {})["required"]) == {"fingerprint", "bits", "operation_version"}

        images = [BatchImageInput(object_key=client.upload_image(png(40, it)).object_key) for it in ("red", "blue")]
        with pytest.raises(InvalidRequestError, match="less than or equal to 32"):
            client.submit("fingerprint", images, parameters={"side": 64})
        batch = client.submit("fingerprint", images, parameters={"side": 4, "reference": "ffff"})
        client.wait_for_completion(batch.batch_id, timeout=60)

        results = client.get_all_results(batch.batch_id)
        assert [it.output_data for it in results] == [
            {"fingerprint": "0000", "bits": 16, "distance": 16, "operation_version": "1.0.0"}
        ] * 2


def test_the_examples_own_tests_pass_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")

    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "tests")],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout
    assert "5 passed" in result.stdout
