"""Settings: the server's own, and sections that operations add."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import Field, SecretStr, ValidationError, model_validator

from imagebatch_client.settings import SWITCHES, TEXTS, settings_from_env
from imagebatch_server.app.prices import token_prices
from imagebatch_server.app.serve import SETTINGS
from imagebatch_server.app.settings import OF_CLIENTS, Settings, env_name, named, settings_with, unknown_variables
from imagebatch_server.operations import OperationSettings


class Endpoint(OperationSettings):
    section: ClassVar[str] = "far"

    base_url: str | None = Field(default=None, description="Where it is.")
    api_key: SecretStr | None = Field(default=None, description="Its key.")
    most_at_once: int = Field(default=3, ge=1, description="Requests at one time.")

    @model_validator(mode="after")
    def _has_a_place_for_its_key(self) -> Endpoint:
        if self.api_key and not self.base_url:
            raise ValueError("api_key is of no use without base_url")
        return self


WITH_FAR = settings_with([Endpoint])


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAR_BASE_URL", "FAR_API_KEY", "FAR_MOST_AT_ONCE"):
        monkeypatch.delenv(f"IMAGEBATCH_{name}", raising=False)


def far(settings: Settings) -> Endpoint:
    return settings.of_operations().of(Endpoint)


def test_a_sections_fields_are_variables_and_flags_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBATCH_FAR_BASE_URL", "http://from.the.environment")
    monkeypatch.setenv("IMAGEBATCH_FAR_API_KEY", "sk-secret")
    given: dict[str, Any] = {"far": {"base_url": "http://from.a.flag"}, "workers": "2"}

    settings = WITH_FAR(**given)

    assert settings.workers == 2
    assert far(settings) == Endpoint(base_url="http://from.a.flag", api_key=SecretStr("sk-secret"))
    assert "sk-secret" not in repr(settings)
    assert far(WITH_FAR()).base_url == "http://from.the.environment"


def test_without_a_word_a_section_has_its_defaults() -> None:
    assert far(WITH_FAR()) == Endpoint()


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"FAR_MOST_AT_ONCE": "0"}, ("far", "most_at_once")),
        ({"FAR_MOST_AT_ONCE": "3", "FAR_BASEURL": "http://host"}, ("far", "baseurl")),
        ({"FAR_API_KEY": "sk-secret"}, ("far",)),
    ],
)
def test_what_is_wrong_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], place: tuple[str, ...]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"IMAGEBATCH_{name}", value)
    with pytest.raises(ValidationError) as caught:
        WITH_FAR()
    assert [problem["loc"] for problem in caught.value.errors()] == [place]


def test_every_setting_is_listed_with_its_variable_and_default() -> None:
    listed = {one.variable: one.default for one in named(WITH_FAR)}
    assert listed["IMAGEBATCH_ADDRESS"] == "127.0.0.1:50051"
    assert listed["IMAGEBATCH_FAR_BASE_URL"] == ""
    assert listed["IMAGEBATCH_FAR_MOST_AT_ONCE"] == "3"
    assert "IMAGEBATCH_FAR" not in listed


def test_a_section_is_claimed_once_and_never_a_part_of_the_servers_own() -> None:
    class Another(OperationSettings):
        section: ClassVar[str] = "far"

    class Fetching(OperationSettings):
        section: ClassVar[str] = "fetch"

    with pytest.raises(ValueError, match=r"the section 'far' of .*Another is taken by Endpoint"):
        settings_with([Endpoint, Another])
    with pytest.raises(ValueError, match=r"the section 'fetch' of .*Fetching is taken by the setting fetch"):
        settings_with([Fetching])


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_mistake() -> None:
    ports = ("PORT", "PORT_50051_TCP", "PORT_50051_TCP_ADDR", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC")
    environ = {f"IMAGEBATCH_{part}{name}": "x" for part in ("", "SERVER_") for name in ports}
    assert unknown_variables(Settings, environ) == []
    told = unknown_variables(
        Settings, environ | {"IMAGEBATCH_WORKER": "3", "OTHER_WORKER": "3", "IMAGEBATCH_TOKEN": "t"}
    )
    assert told == ["IMAGEBATCH_WORKER is no setting of this server; did you mean IMAGEBATCH_WORKERS?"]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("52428800", 52428800),
        ("50MiB", 52428800),
        ("50 mib", 52428800),
        ("1.5KiB", 1536),
        ("2GB", 2 * 10**9),
        ("7b", 7),
    ],
)
def test_sizes_take_units(text: str, amount: int) -> None:
    assert Settings(max_image_bytes=text).max_image_bytes == amount


@pytest.mark.parametrize(
    ("text", "amount"), [("90", 90.0), ("500ms", 0.5), ("2m", 120.0), ("12h", 43200.0), ("30 d", 2592000.0)]
)
def test_times_take_units(text: str, amount: float) -> None:
    assert Settings(retention_s=text).retention_s == amount


@pytest.mark.parametrize("text", ["50 apples", "MiB", "-1", "1e9", "0.3b", "inf", ""])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="max_image_bytes"):
        Settings(max_image_bytes=text)


@pytest.mark.parametrize("setting", ["address", "http_address", "metrics_address"])
@pytest.mark.parametrize("text", ["127.0.0.1", "localhost:", ":50051", "localhost:http", "127.0.0.1:65536", "[::1]"])
def test_what_is_no_host_and_port_is_refused(setting: str, text: str) -> None:
    given: dict[str, Any] = {setting: text}
    with pytest.raises(ValidationError, match="is no address to listen on; write host:port"):
        Settings(**given)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:65535", "[::1]:50051"])
def test_a_host_and_a_port_are_an_address(text: str) -> None:
    assert Settings(address=text, http_address=text, metrics_address=text).address == text


def test_client_and_server_know_each_others_variables() -> None:
    assert set(OF_CLIENTS) == {*TEXTS, *SWITCHES, "config", "profile"}
    own = {env_name(one.name): "x" for one in named(SETTINGS) if one.name not in OF_CLIENTS}
    settings_from_env(own)  # none of them is taken for a mistyped one of the client's


def test_prices_of_tokens_are_by_model_or_operation() -> None:
    settings = Settings(token_prices="llama3.2:11b=0/0.5,describe=0.25/2", token_currency="EUR")
    assert [
        (it.name, it.input_per_million, it.output_per_million, it.currency)
        for it in token_prices(settings.token_prices, settings.token_currency)
    ] == [("llama3.2:11b", 0.0, 0.5, "EUR"), ("describe", 0.25, 2.0, "EUR")]
    assert Settings().token_prices == ()


@pytest.mark.parametrize("given", ["describe", "describe=1", "describe=1/-2", "=1/2", "a=nan/1", "a=1/2,a=2/3"])
def test_what_is_no_price_is_refused_in_words(given: str) -> None:
    with pytest.raises(ValidationError, match=r"write NAME=INPUT/OUTPUT|has two prices"):
        Settings(token_prices=given)
