"""The registry: what is found, what is left out, and what a caller is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field, SecretStr
from structlog.testing import capture_logs

from imagebatch_server.batches.errors import UnknownOperation
from imagebatch_server.operations import (
    AsyncOperation,
    ChunkOperation,
    ItemContext,
    Operation,
    OperationSettings,
    Output,
    Parameters,
)
from imagebatch_server.operations.base import BaseOperation
from imagebatch_server.operations.configuration import Configuration
from imagebatch_server.operations.registry import ENTRY_POINT_GROUP, DuplicateOperation, OperationRegistry
from imagebatch_server.structs import from_dict


class CropParameters(Parameters):
    side: int = Field(ge=1, description="Pixels.")
    corners: list[int] = Field(default_factory=list)


class CropOutput(Output):
    kept: float = Field(description="The share of the image that was kept.")


class Crop(Operation[CropParameters]):
    name: ClassVar[str] = "crop"
    version: ClassVar[str] = "2.1.0"
    description: ClassVar[str] = "Crops."
    parameters: ClassVar[type[Parameters]] = CropParameters
    output: ClassVar[type[Output]] = CropOutput

    def run(self, image: Any, parameters: CropParameters, item: ItemContext) -> CropOutput:
        return CropOutput(kept=1.0)


class NoOutput(Operation[CropParameters]):
    name = "no-output"
    version = "1"
    description = "Lacks its output model."
    parameters = CropParameters


class Misnamed(Crop):
    name = "other"


class Resample(Parameters):
    backend: Literal["here", "there"] = "here"


class ThereSettings(OperationSettings):
    section: ClassVar[str] = "there"

    url: str | None = None
    key: SecretStr | None = None
    at_once: int = 8


class There(AsyncOperation[Resample]):
    name: ClassVar[str] = "resample"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "Resamples elsewhere."
    parameters: ClassVar[type[Parameters]] = Resample
    output: ClassVar[type[Output]] = CropOutput

    settings: ClassVar[type[OperationSettings]] = ThereSettings

    @classmethod
    def refusals(cls, parameters: Resample, configured: ThereSettings) -> Mapping[str, str]:
        return {} if configured.url else {"backend": "there is refused: nothing is configured"}

    @classmethod
    def most_in_flight(cls, configured: ThereSettings) -> int:
        return 10 * configured.at_once


class Here(ChunkOperation[Resample]):
    name: ClassVar[str] = "resample"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "Resamples."
    parameters: ClassVar[type[Parameters]] = Resample
    output: ClassVar[type[Output]] = CropOutput
    backends: ClassVar[Mapping[str, type[BaseOperation[Any]]]] = {"there": There}


class ForeignBackend(Crop):
    name = "foreign"
    backends: ClassVar[Mapping[str, type[BaseOperation[Any]]]] = {"there": There}


not_an_operation = dict


def point(name: str, attribute: str, module: str = __name__) -> EntryPoint:
    return EntryPoint(name, f"{module}:{attribute}", ENTRY_POINT_GROUP)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> OperationRegistry:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    return OperationRegistry([point("crop", "Crop")])


def test_our_own_operations_are_found_through_the_installed_package() -> None:
    assert "describe" in OperationRegistry.load().names()


def test_an_operation_is_described_by_its_schemas(registry: OperationRegistry) -> None:
    (info,) = registry.describe_all()

    assert (info.name, info.version, info.description) == ("crop", "2.1.0", "Crops.")
    assert info.parameters_schema["properties"]["side"] == {
        "description": "Pixels.", "minimum": 1, "title": "Side", "type": "integer",
    }  # fmt: skip
    assert info.output_schema["properties"]["kept"]["description"] == "The share of the image that was kept."
    assert registry.get("crop") is Crop
    assert registry.references() == {"crop": f"{__name__}:Crop"}


def test_every_field_of_our_output_is_explained() -> None:
    for info in OperationRegistry.load().describe_all():
        for schema in (info.parameters_schema, info.output_schema):
            for model in (schema, *schema.get("$defs", {}).values()):
                for name, field in model.get("properties", {}).items():
                    assert field.get("description"), f"{info.name}: {name}"


def test_an_unknown_name_is_answered_with_the_known_ones(registry: OperationRegistry) -> None:
    with pytest.raises(UnknownOperation, match="no operation is called 'crp'; this server has crop"):
        registry.get("crp")


def test_an_operation_of_another_package_is_answered_with_what_brings_it(registry: OperationRegistry) -> None:
    with pytest.raises(
        UnknownOperation, match=r"has crop; its operator adds verify with: pip install .imagebatch\[vis"
    ):
        registry.get("verify")


def test_parameters_are_checked_all_at_once_with_paths_and_remedies(registry: OperationRegistry) -> None:
    refused = registry.violations("crop", from_dict({"side": 0, "corners": [1, "x"], "sides": 4}))

    assert {violation.field: violation.description for violation in refused} == {
        "options.parameters.side": "0 is refused: input should be greater than or equal to 1",
        "options.parameters.corners[1]": "'x' is refused: input should be a valid integer, "
        "unable to parse string as an integer",
        "options.parameters.sides": "is no parameter of crop, which takes side, corners",
    }
    (missing,) = registry.violations("crop", None)
    assert (missing.field, missing.description) == ("options.parameters.side", "is missing: field required")
    assert registry.violations("crop", from_dict({"side": 3})) == []


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (point("gone", "Gone"), "Gone"),
        (point("gone", "X", "no_such_module"), "no_such_module"),
        (point("dict", "not_an_operation"), "no subclass"),
        (point("no-output", "NoOutput"), "'output'"),
        (point("misnamed", "Misnamed"), "calls itself 'other'"),
        (point("foreign", "ForeignBackend"), "a backend 'there' that is no operation with the same parameters"),
    ],
)
def test_a_broken_plug_in_is_left_out_with_a_warning(broken: EntryPoint, reason: str) -> None:
    with capture_logs() as logs:
        registry = OperationRegistry([broken, point("crop", "Crop")])

    assert registry.names() == ["crop"]
    (entry,) = logs
    assert (entry["log_level"], entry["event"], entry["operation"]) == ("warning", "operations.left_out", broken.name)
    assert reason in entry["error"]
    with pytest.raises(UnknownOperation, match=f"{broken.name} is installed but can't be used"):
        registry.get(broken.name)
    assert broken.value in entry["origin"]


def test_two_packages_with_one_name_stop_the_start_and_are_both_named() -> None:
    with pytest.raises(DuplicateOperation) as caught:
        OperationRegistry([point("crop", "Crop"), point("crop", "Crop", "another_package.operations")])

    assert f"{__name__}:Crop" in str(caught.value)
    assert "another_package.operations:Crop" in str(caught.value)


def test_listing_operations_loads_no_model_library() -> None:
    code = (
        "import sys; from imagebatch_server.operations.registry import OperationRegistry; "
        "OperationRegistry.load().describe_all(); "
        "print([name for name in ('onnxruntime', 'cv2', 'rapidocr') if name in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def test_a_backend_is_chosen_by_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    registry = OperationRegistry([point("resample", "Here"), point("crop", "Crop")])
    there = from_dict({"backend": "there"})

    assert registry.names() == ["crop", "resample"]
    assert registry.references()["resample/there"] == f"{__name__}:There"
    assert registry.chunk_items() == {"resample": 16}
    assert registry.resolve("resample", None) == "resample"
    assert registry.resolve("resample", there) == "resample/there"
    assert registry.resolve("resample", from_dict({"backend": "nowhere"})) == "resample"
    assert registry.resolve("gone", there) == "gone"
    assert registry.is_asynchronous("resample", there)
    assert not registry.is_asynchronous("resample", None)
    assert not registry.is_asynchronous("crop", None)
    assert not registry.is_asynchronous("gone", None)


def test_a_backend_may_refuse_a_server_that_is_not_configured_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    there = from_dict({"backend": "there"})
    (refused,) = OperationRegistry([point("resample", "Here")]).violations("resample", there)
    given = ThereSettings(url="http://host/v1", key=SecretStr("sk-secret"))
    configured = OperationRegistry([point("resample", "Here")], Configuration.holding(given))

    assert (refused.field, refused.description) == (
        "options.parameters.backend",
        "there is refused: nothing is configured",
    )
    assert configured.violations("resample", there) == []
    assert "sk-secret" not in repr(configured._configuration)


def test_settings_reach_the_operations_that_name_them_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    given = ThereSettings(key=SecretStr("sk-secret"), at_once=20)
    registry = OperationRegistry([point("resample", "Here"), point("crop", "Crop")], Configuration.holding(given))

    assert registry.configuration(asynchronous=True).of(ThereSettings) == given
    assert registry.configuration(asynchronous=False) == Configuration()
    assert registry.most_in_flight() == 200
    assert OperationRegistry([point("crop", "Crop")]).most_in_flight() == 64


def test_settings_of_a_nameless_section_or_without_defaults_are_no_settings() -> None:
    with pytest.raises(TypeError, match="it has to be one word in lower case"):
        type("Nameless", (OperationSettings,), {})
    with pytest.raises(TypeError, match="url has no default; a server starts without it too"):
        type(
            "Required",
            (OperationSettings,),
            {"section": "x", "__annotations__": {"section": ClassVar[str], "url": str}},
        )
