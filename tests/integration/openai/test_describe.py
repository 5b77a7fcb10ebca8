"""`describe` by a model behind an endpoint: what is sent, and what is made of answers good and bad."""

from __future__ import annotations

import asyncio
import base64
import io
import time
from typing import TYPE_CHECKING, Any

import PIL.Image
import pytest
from tests.integration.executors.harness import Bench, bench, eventually, output, png
from tests.integration.openai.harness import KEY, asking
from tests.integration.openai.proxy import Fault, Proxy, refusal

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import AttemptResult
from imagebatch_server.operations.configuration import Configuration
from imagebatch_server.operations.registry import OperationRegistry
from imagebatch_vision.describe import DescribeOutput
from imagebatch_vision.endpoint.settings import OpenAISettings

if TYPE_CHECKING:
    from llmock.pytest_plugin import LLMock

pytestmark = pytest.mark.openai


async def describe(
    on: Bench, *, key: str = "tenant.picture", timeout_s: float = 30.0, **parameters: Any
) -> AttemptResult:
    return await on.run(
        operation="describe", parameters={"backend": "openai", **parameters}, key=key, timeout_s=timeout_s
    )


def sent_picture(proxy: Proxy) -> tuple[PIL.Image.Image, str]:
    """Answer the picture of the last request, and its detail."""
    (part,) = proxy.seen[-1].body["messages"][1]["content"]
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    return PIL.Image.open(io.BytesIO(base64.b64decode(data))), part["image_url"]["detail"]


async def test_the_answer_is_the_models_and_the_facts_are_measured(proxy: Proxy, llmock: LLMock) -> None:
    llmock.reply(
        '{"description": "A dark blue square.", "confidence": 0.9, "tags": [{"name": "square", "confidence": 98}], '
        '"visible_text": ["EXIT"], "medium": "graphic", "mood": "calm"}'
    )
    async with asking(proxy) as on:
        result = await describe(on)
        answer = DescribeOutput.model_validate(output(result))
        assert answer.description == "A dark blue square."
        assert (answer.confidence_score, answer.medium, answer.visible_text) == (0.9, "graphic", ["EXIT"])
        assert [(tag.name, tag.confidence) for tag in answer.tags] == [("square", 0.98)]
        assert (answer.width, answer.height, answer.format) == (4, 4, "png")
        assert answer.dominant_colours[0].hex == "#0a141e"
        assert [(model.name, model.sha256) for model in answer.models] == [("gpt-4o-mini", None)]
        assert answer.input_tokens == result.outcome.input_tokens > 0
        assert answer.output_tokens == result.outcome.output_tokens > 0
        body, headers = proxy.seen[-1].body, proxy.seen[-1].headers
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert body["model"] == "gpt-4o-mini"
        assert body["response_format"]["json_schema"]["strict"] is True
        assert "max_completion_tokens" not in body
        assert sent_picture(proxy)[0].size == (4, 4)


async def test_an_answer_by_the_schema_alone_is_one(proxy: Proxy) -> None:
    async with asking(proxy) as on:
        DescribeOutput.model_validate(output(await describe(on)))


async def test_parameters_reach_the_endpoint(proxy: Proxy) -> None:
    async with asking(proxy) as on:
        on.blobs.blobs["tenant.wide"] = png(3_000, 1_500)
        result = await describe(
            on,
            key="tenant.wide",
            prompt="Say what it is.",
            model="another",
            detail="low",
            max_side=600,
            max_output_tokens=99,
        )
        assert output(result)["models"] == [{"name": "another"}]
        body = proxy.seen[-1].body
        assert (body["model"], body["max_completion_tokens"]) == ("another", 99)
        assert body["messages"][0] == {"role": "system", "content": "Say what it is."}
        picture, detail = sent_picture(proxy)
        assert (picture.size, detail) == ((600, 300), "low")


async def test_a_damaged_image_is_not_sent(proxy: Proxy) -> None:
    async with asking(proxy) as on:
        on.blobs.blobs["tenant.cut"] = png(300, 300)[:40]
        on.blobs.blobs["tenant.text"] = b"text"
        assert (await describe(on, key="tenant.cut")).outcome.error_code is ItemErrorCode.DECODE_FAILED
        assert (await describe(on, key="tenant.text")).outcome.error_code is ItemErrorCode.UNSUPPORTED_FORMAT
        assert proxy.seen == []


async def test_what_may_pass_is_transient(proxy: Proxy) -> None:
    async with asking(proxy) as on:
        for number, status in enumerate([408, 425, 429, 500, 502, 503], start=1):
            proxy.breaks(refusal(status, "busy with others"))
            result = await describe(on)
            assert (result.outcome.error_code, result.transient) == (ItemErrorCode.PROVIDER_ERROR, True)
            assert (result.busy, result.retry_after_s) == (status in (429, 503), None)
            assert f"the endpoint 127.0.0.1 answered {status} (busy with others);" in (
                result.outcome.error_message or ""
            )
            assert len(proxy.seen) == number, "attempts are the server's, and it counts them"


REMEDIES = {
    400: "check that the model takes images",
    401: "IMAGEBATCH_OPENAI_API_KEY",
    403: "IMAGEBATCH_OPENAI_API_KEY",
    404: "check the parameter model",
    413: "lower the parameter max_side",
    422: "check that the model takes images",
    451: "IMAGEBATCH_OPENAI_*",
}


async def test_what_stays_wrong_is_permanent_and_says_what_to_do(proxy: Proxy) -> None:
    async with asking(proxy) as on:
        for status, remedy in REMEDIES.items():
            proxy.breaks(refusal(status, f"no: Incorrect API key provided: {KEY}."))
            result = await describe(on)
            assert (result.outcome.error_code, result.transient) == (ItemErrorCode.PROVIDER_ERROR, False)
            message = result.outcome.error_message or ""
            assert f"answered {status} (no: Incorrect API key provided: [key])" in message
            assert remedy in message
            assert KEY not in message


WAITS: list[tuple[dict[str, str], float, float]] = [
    ({"Retry_After": "0.5"}, 0.5, 0.5),
    ({"retry_after_ms": "250", "Retry_After": "1"}, 0.25, 0.25),
    ({"Retry_After": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0, 0),
    ({"Retry_After": "Fri, 31 Dec 2100 23:59:59 GMT"}, 1e9, 3e9),
]


async def test_how_long_to_wait_is_told(proxy: Proxy) -> None:
    async with asking(proxy) as on:
        for headers, least_s, most_s in WAITS:
            proxy.breaks(refusal(503, **headers))
            result = await describe(on)
            assert result.transient
            assert result.retry_after_s is not None
            assert least_s <= result.retry_after_s <= most_s


def _message(**fields: Any) -> Fault:
    return Fault(edit=lambda it: it["choices"][0]["message"].update(fields))


def _choice(**fields: Any) -> Fault:
    return Fault(edit=lambda it: it["choices"][0].update(fields))


NO_ANSWERS: list[tuple[Fault, bool, str]] = [
    (Fault(is_cut=True), True, "gave no whole answer"),
    (Fault(text='{"choices": [{"mess'), True, "gave no whole answer (JSONDecodeError)"),
    (Fault(text="<html>Hello</html>", content_type="text/html"), False, "the answer is no JSON"),
    (Fault(text="{}"), False, "gave an answer without a message"),
    (Fault(edit=lambda it: it["choices"].clear()), False, "gave an answer without a message"),
    (_message(content=None, refusal="I can't\nhelp."), False, "refused: I can't help."),
    (_message(content=None), False, "answered nothing"),
    (_choice(finish_reason="length"), False, "raise max_output_tokens"),
    (_choice(finish_reason="content_filter"), False, "content filter"),
    (_message(content="A cat."), False, "in another form"),
    (_message(content='{"description": "A cat."}'), False, "than it was asked to (confidence: Field required)"),
]


async def test_answers_that_are_none(proxy: Proxy) -> None:
    async with asking(proxy) as on:
        for fault, is_transient, why in NO_ANSWERS:
            proxy.breaks(fault)
            result = await describe(on)
            assert (result.outcome.error_code, result.transient) == (ItemErrorCode.PROVIDER_ERROR, is_transient), why
            assert why in (result.outcome.error_message or "")
            output(await describe(on))
        assert on.executor.restarts == 0


async def test_json_in_markdown_is_an_answer(proxy: Proxy) -> None:
    def fence(answer: dict[str, Any]) -> None:
        message = answer["choices"][0]["message"]
        message["content"] = f"```json\n{message['content']}\n```\n"

    proxy.breaks(Fault(edit=fence))
    async with asking(proxy) as on:
        output(await describe(on))


async def test_an_endpoint_that_counts_no_tokens_is_one(proxy: Proxy) -> None:
    proxy.breaks(Fault(edit=lambda it: it.pop("usage")))
    async with asking(proxy) as on:
        result = await describe(on)
        assert "input_tokens" not in output(result)
        assert (result.outcome.input_tokens, result.outcome.output_tokens) == (0, 0)


async def test_a_request_that_hangs_costs_its_item_alone(proxy: Proxy) -> None:
    proxy.breaks(Fault(hangs=True))
    async with asking(proxy) as on:
        hanging = asyncio.get_running_loop().create_task(describe(on, timeout_s=1.0))
        await on.recorded.until(lambda: on.recorded.names_of(0) == ["started"])
        await eventually(lambda: len(proxy.seen) == 1)
        output(await describe(on))
        result = await hanging
        assert (result.outcome.error_code, result.transient) == (ItemErrorCode.TIMEOUT, True)
        assert on.executor.restarts == 0


async def test_an_endpoint_that_is_not_there_is_transient() -> None:
    proxy = Proxy("", url="http://127.0.0.1:9")
    async with asking(proxy) as on:
        result = await describe(on)
        assert (result.outcome.error_code, result.transient) == (ItemErrorCode.PROVIDER_ERROR, True)
        assert "the endpoint 127.0.0.1 gave no whole answer" in (result.outcome.error_message or "")
        assert (result.transient, result.busy, result.retry_after_s) == (True, False, 60.0)


async def test_so_many_requests_are_under_way_and_no_more(proxy: Proxy) -> None:
    proxy.delay_s = 0.1
    async with asking(proxy, concurrency=3) as on:
        for index in range(12):
            on.submit(operation="describe", parameters={"backend": "openai"}, batch_id=str(index % 4))
        results = await on.recorded.finish(12)
        assert [result.outcome.error_code for result in results.values()] == [None] * 12
        assert proxy.most_in_flight == 3


async def test_requests_are_spread_over_the_minute(proxy: Proxy) -> None:
    async with asking(proxy, requests_per_minute=300) as on:
        output(await describe(on))
        began = time.monotonic()
        for _ in range(6):
            on.submit(operation="describe", parameters={"backend": "openai"}, timeout_s=0.9)
        results = await on.recorded.finish(7)
        assert [result.outcome.error_code for result in results.values()] == [None] * 7, "waiting is on nobody's clock"
        assert proxy.seen[-1].at - began >= 1.0, "the first may go at once, the sixth five pauses of 0.2 s later"


async def test_an_endpoint_that_is_asked_too_much_is_left_alone(proxy: Proxy) -> None:
    async with asking(proxy, concurrency=1) as on:
        output(await describe(on))
        proxy.breaks(refusal(429, Retry_After="1.5"))
        for _ in range(3):
            on.submit(operation="describe", parameters={"backend": "openai"})
        results = await on.recorded.finish(4)
        assert [results[index].outcome.error_code for index in range(1, 4)] == [
            ItemErrorCode.PROVIDER_ERROR,
            None,
            None,
        ]
        refused, after = proxy.seen[1].at, proxy.seen[2].at
        assert after - refused >= 1.5


def test_parameters_are_refused_that_the_backend_does_not_know() -> None:
    from imagebatch_server import structs

    configured = Configuration.holding(OpenAISettings(base_url="http://host/v1"))

    def refused(parameters: dict[str, Any], configuration: Configuration = configured) -> dict[str, str]:
        found = OperationRegistry.load(configuration).violations("describe", structs.from_dict(parameters))
        return {violation.field: violation.description for violation in found}

    assert refused({"backend": "openai", "model": "m"}) == {}
    (said,) = refused({"prompt": "Say it in French."}).values()
    assert "backend local does not know prompt; leave it out, or use openai" in said
    (said,) = refused({"backend": "openai", "model": "m", "read_text": "always"}).values()
    assert "backend openai does not know read_text; leave it out, or use local" in said
    assert "IMAGEBATCH_OPENAI_MODEL" in refused({"backend": "openai"})["options.parameters.model"]
    unset = refused({"backend": "openai", "model": "m"}, Configuration())
    assert "IMAGEBATCH_OPENAI_BASE_URL" in unset["options.parameters.backend"]


async def test_a_batch_older_than_the_settings_fails_with_what_is_missing() -> None:
    registry = OperationRegistry.load()
    async with bench(operations=registry.references(), resolve=registry.resolve, concurrency=8) as on:
        result = await describe(on)
        assert (result.outcome.error_code, result.transient) == (ItemErrorCode.INTERNAL, False)
        assert "IMAGEBATCH_OPENAI_BASE_URL" in (result.outcome.error_message or "")
