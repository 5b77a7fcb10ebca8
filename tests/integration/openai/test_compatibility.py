"""Endpoints that speak OpenAI's API in their own way: the answer is found, or it is said what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.executors.harness import Bench, output
from tests.integration.openai.harness import asking
from tests.integration.openai.proxy import Fault, Proxy, refusal

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import AttemptResult

pytestmark = pytest.mark.openai

DESCRIPTION = {
    "description": "A cat on a mat.",
    "confidence": 0.8,
    "tags": [{"name": "cat", "confidence": 0.9}],
    "visible_text": ['a "quoted" } brace, ]'],
    "medium": "photograph",
}
SAID = json.dumps(DESCRIPTION)
DRAFT = json.dumps({**DESCRIPTION, "description": "A draft."})


async def describe(on: Bench, **parameters: Any) -> AttemptResult:
    return await on.run(operation="describe", parameters={"backend": "openai", **parameters}, timeout_s=30.0)


def message(**fields: Any) -> Fault:
    return Fault(edit=lambda it: it["choices"][0]["message"].update(fields))


def confident(confidence: Any) -> Fault:
    return message(content=json.dumps({**DESCRIPTION, "confidence": confidence}))


def event(delta: dict[str, Any], **choice: Any) -> str:
    return f"data: {json.dumps({'model': 'm', 'choices': [{'index': 0, 'delta': delta, **choice}]})}\n\n"


STREAM = Fault(
    content_type="text/event-stream",
    text=": keep alive\n\n"
    + event({"role": "assistant", "content": ""})
    + event({"content": SAID[:20]})
    + event({"content": SAID[20:]})
    + event({}, finish_reason="stop")
    + 'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}}\n\ndata: [DONE]\n\n',
)

ANSWERS: dict[str, Fault] = {
    "thoughts": message(content=f"<think>\nIt may be {DRAFT}.\n</think>\n\n{SAID}"),
    "thoughts without their beginning": message(content=f"It may be {DRAFT}.\n</think>\n{SAID}"),
    "thoughts by another name": message(content=f"<thinking>{DRAFT}</thinking>{SAID}"),
    "channels": message(
        content=f"<|channel|>analysis<|message|>{DRAFT}<|end|><|channel|>final<|message|>{SAID}<|end|>"
    ),
    "prose around a fence": message(content=f"Sure! Here it is:\n\n```json\n{SAID}\n```\n\nAnything else?"),
    "a fence without a language": message(content=f"```\n{SAID}\n```"),
    "a fence with capitals": message(content=f"```JSON\n{SAID}\n```"),
    "a draft before the answer": message(content=f"First:\n```json\n{DRAFT}\n```\nBetter:\n```json\n{SAID}\n```"),
    "prose around JSON": message(content=f"The answer (see {{below}}) is {SAID} - I hope it helps {{you}}."),
    "a byte order mark": message(content=f"\ufeff{SAID}"),
    "a trailing comma": message(content=SAID[:-1] + ",}"),
    "a line break within a string": message(content=SAID.replace("A cat on", "A cat\non").replace("\\n", "\n")),
    "a list of one": message(content=f"[{SAID}]"),
    "parts": message(content=[{"type": "text", "text": SAID[:30]}, {"type": "text", "text": SAID[30:]}]),
    "parts with thoughts": message(
        content=[{"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]}, {"type": "text", "text": SAID}]
    ),
    "an object": message(content=DESCRIPTION),
    "a tool call": message(
        content=None, tool_calls=[{"type": "function", "function": {"name": "Description", "arguments": SAID}}]
    ),
    "a function call": message(content="", function_call={"name": "Description", "arguments": DESCRIPTION}),
    "more fields": message(content=json.dumps({**DESCRIPTION, "mood": "calm"}), reasoning_content="Hm.", refusal=""),
    "an unknown end": Fault(
        edit=lambda it: it["choices"][0].update(finish_reason=None, message={"role": "assistant", "content": SAID})
    ),
    "a stream": STREAM,
    "as plain text": Fault(
        content_type="text/plain", text="\ufeff" + json.dumps({"choices": [{"message": {"content": SAID}}]})
    ),
    "strange figures of use": Fault(
        text=json.dumps(
            {
                "usage": {"prompt_tokens": "many", "completion_tokens": -1},
                "model": None,
                "choices": [{"message": {"content": SAID}}],
            }
        )
    ),
}


@pytest.mark.parametrize("sort", ANSWERS)
async def test_an_answer_is_found_however_it_is_wrapped(proxy: Proxy, sort: str) -> None:
    proxy.breaks(ANSWERS[sort])
    async with asking(proxy) as on:
        answer = output(await describe(on))
    assert answer["description"].split() == ["A", "cat", "on", "a", "mat."]
    assert answer["visible_text"] == DESCRIPTION["visible_text"]
    assert (answer["confidence_score"], answer["tags"]) == (0.8, [{"name": "cat", "confidence": 0.9}])


@pytest.mark.parametrize(
    ("said", "confidence"), [(95, 0.95), ("95%", 0.95), ("62.5 %", 0.625), ("0.5", 0.5), (100, 1.0), (1, 1.0), (0, 0.0)]
)
async def test_a_confidence_in_percent_is_understood(proxy: Proxy, said: Any, confidence: float) -> None:
    proxy.breaks(confident(said))
    async with asking(proxy) as on:
        assert output(await describe(on))["confidence_score"] == confidence


@pytest.mark.parametrize("said", [-0.2, 950, "high", True, None, float("nan")])
async def test_a_confidence_that_is_none_is_no_answer(proxy: Proxy, said: Any) -> None:
    proxy.breaks(confident(said))
    async with asking(proxy) as on:
        result = await describe(on)
    assert (result.outcome.error_code, result.transient) == (ItemErrorCode.PROVIDER_ERROR, False)
    assert "confidence: " in (result.outcome.error_message or "")


def body(**fields: Any) -> Fault:
    return Fault(text=json.dumps(fields))


REFUSED_BY_200: dict[str, tuple[Fault, int, bool]] = {
    "a number": (body(error={"message": "slow down", "code": 429}), 429, True),
    "a number as text": (body(error={"message": "slow down", "code": "503"}, choices=[]), 503, True),
    "a type": (body(error={"message": "slow down", "type": "rate_limit_exceeded"}), 429, True),
    "in the choice": (body(choices=[{"error": {"code": 502, "message": "slow down"}}]), 502, True),
    "a text": (body(error="slow down: the model is loading"), 503, True),
    "an object": (body(object="error", message="slow down, it is not found", code=404), 404, False),
    "a key": (body(error={"message": "slow down: Incorrect API key"}), 401, False),
    "a detail": (body(detail="slow down"), 500, True),
    "in a stream": (
        Fault(content_type="text/event-stream", text='data: {"error": {"message": "slow down", "code": 429}}\n\n'),
        429,
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("sort", REFUSED_BY_200)
async def test_a_success_that_carries_an_error_is_that_error(proxy: Proxy, sort: str) -> None:
    fault, status, is_transient = REFUSED_BY_200[sort]
    proxy.breaks(fault)
    async with asking(proxy) as on:
        result = await describe(on)
    assert (result.outcome.error_code, result.transient) == (ItemErrorCode.PROVIDER_ERROR, is_transient)
    assert f"the endpoint 127.0.0.1 answered {status} (slow down" in (result.outcome.error_message or "")


async def test_a_wait_is_heard_in_a_success_too(proxy: Proxy) -> None:
    error = json.dumps({"error": {"message": "slow down", "code": 429}})
    proxy.breaks(Fault(text=error, headers={"Retry-After": "0.5"}))
    async with asking(proxy) as on:
        assert (await describe(on)).retry_after_s == 0.5


NO_ANSWERS: dict[str, tuple[Fault, bool, str]] = {
    "nothing": (Fault(text=""), True, "an empty answer"),
    "a stream that breaks off": (
        Fault(content_type="text/event-stream", text=event({"content": SAID[:20]})), True, "a stream that was cut off",
    ),
    "a list": (Fault(text="[]"), False, "the answer is no JSON"),
    "null": (Fault(text="null"), False, "the answer is no JSON"),
    "nesting": (Fault(text='{"choices": ' + "[" * 100_000), True, "gave no whole answer"),
    "choices that are none": (body(choices={"0": "x"}), False, "gave an answer without a message"),
    "a choice that is none": (body(choices=["x"]), False, "gave an answer without a message"),
    "a message that is none": (body(choices=[{"message": "x"}]), False, "gave an answer without a message"),
    "no choices": (body(choices=None), False, "gave an answer without a message"),
    "thoughts without an end": (message(content=f"<think>It may be {DRAFT}"), False, "there is no JSON in it"),
    "nothing but thoughts": (message(content="", reasoning_content="Hm."), False, "answered nothing"),
    "no words": (message(content=[{"type": "image"}]), False, "answered nothing"),
    "braces": (message(content="{" * 100_000), False, "there is no JSON in it"),
    "brackets": (message(content="[" * 100_000), False, "there is no JSON in it"),
    "a number": (message(content=7), False, "answered nothing"),
    "another form": (message(content='Well: {"a": 1}'), False, "description: Field required"),
}  # fmt: skip


@pytest.mark.parametrize("sort", NO_ANSWERS)
async def test_what_is_no_answer_fails_its_item_with_what_is_wrong(proxy: Proxy, sort: str) -> None:
    fault, is_transient, why = NO_ANSWERS[sort]
    proxy.breaks(fault)
    async with asking(proxy) as on:
        result = await describe(on)
        assert (result.outcome.error_code, result.transient) == (ItemErrorCode.PROVIDER_ERROR, is_transient)
        assert why in (result.outcome.error_message or "")
        output(await describe(on))


def without(*parts: str) -> Callable[[dict[str, Any]], Fault | None]:
    """Refuse requests with a part in them, and name it."""

    def judge(asked: dict[str, Any]) -> Fault | None:
        for part in parts:
            if f'"{part}"' in json.dumps(asked):
                return refusal(400, f"Unsupported parameter: '{part}' is not supported with this model.")
        return None

    return judge


def by_fastapi(asked: dict[str, Any]) -> Fault | None:
    unknown = [name for name in ("response_format", "max_completion_tokens") if name in asked]
    detail = [{"loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in unknown]
    return Fault(status=422, text=json.dumps({"detail": detail})) if unknown else None


def only_objects(asked: dict[str, Any]) -> Fault | None:
    wanted = asked.get("response_format", {}).get("type")
    return refusal(400, "response_format.type must be text or json_object") if wanted == "json_schema" else None


def crashes_on_schemas(asked: dict[str, Any]) -> Fault | None:
    return Fault(status=500, text='{"error": "grammar could not be compiled"}') if "response_format" in asked else None


def without_detail(asked: dict[str, Any]) -> Fault | None:
    return refusal(400, "image_url.detail: unknown field") if '"detail"' in json.dumps(asked["messages"]) else None


def without_system(asked: dict[str, Any]) -> Fault | None:
    roles = [one["role"] for one in asked["messages"]]
    return refusal(400, "System role not supported") if "system" in roles else None


def only_streams(asked: dict[str, Any]) -> Fault | None:
    return STREAM if asked.get("stream") else refusal(400, "This model only supports stream mode.")


def modern(asked: dict[str, Any]) -> Fault | None:
    if "max_tokens" in asked:
        return refusal(400, "'max_tokens' is not supported; use 'max_completion_tokens' instead.")
    return None


PICKY: dict[str, tuple[Callable[[dict[str, Any]], Fault | None], int]] = {
    "no response_format": (without("response_format"), 3),
    "no schema": (only_objects, 2),
    "no response_format, by FastAPI": (by_fastapi, 4),
    "a crash by the schema": (crashes_on_schemas, 3),
    "no max_completion_tokens": (without("max_completion_tokens"), 2),
    "no max_tokens": (modern, 1),
    "neither": (without("response_format", "max_completion_tokens"), 4),
    "no detail": (without_detail, 2),
    "no system role": (without_system, 2),
    "only streams": (only_streams, 2),
}  # fmt: skip


@pytest.mark.parametrize("sort", PICKY)
async def test_what_an_endpoint_refuses_is_said_otherwise_and_remembered(proxy: Proxy, sort: str) -> None:
    proxy.picky, requests = PICKY[sort]
    async with asking(proxy) as on:
        proxy.answers_with = SAID
        assert output(await describe(on, max_output_tokens=500))["description"] == DESCRIPTION["description"]
        assert len(proxy.seen) == requests
        output(await describe(on, max_output_tokens=500))
        assert len(proxy.seen) == requests + 1, "the second item is asked about as it was understood"
    asked = proxy.seen[-1].body
    assert asked.get("max_tokens", asked.get("max_completion_tokens")) == 500
    if asked.get("response_format", {}).get("type") != "json_schema":
        assert '"visible_text"' in json.dumps(asked["messages"]).replace('\\"', '"'), "the form is asked for in words"


async def test_another_model_of_the_endpoint_is_asked_for_all_it_may_know(proxy: Proxy) -> None:
    proxy.picky = lambda asked: without("response_format")(asked) if asked["model"] == "simple" else None
    async with asking(proxy) as on:
        proxy.answers_with = SAID
        output(await describe(on, model="simple"))
        output(await describe(on, model="able"))
    assert proxy.seen[-1].body["response_format"]["type"] == "json_schema"


async def test_a_refusal_of_something_else_is_not_asked_again(proxy: Proxy) -> None:
    proxy.breaks(refusal(400, "this model takes no images"))
    async with asking(proxy) as on:
        result = await describe(on)
    assert len(proxy.seen) == 1
    assert "answered 400 (this model takes no images)" in (result.outcome.error_message or "")


async def test_an_error_in_words_of_its_own_is_quoted(proxy: Proxy) -> None:
    for text, quoted in [
        ('{"error": "model \\"x\\" not found"}', '404 (model "x" not found)'),
        ('{"detail": [{"loc": ["body", "model"], "msg": "Field required"}]}', "404 (body.model: Field required)"),
        ('{"message": "no such model"}', "404 (no such model)"),
        ("no such model", "404 (no such model)"),
        ("<html><body>no such page</body></html>", "404;"),
    ]:
        proxy.breaks(Fault(status=404, text=text))
        async with asking(proxy) as on:
            result = await describe(on)
        assert f"answered {quoted}" in (result.outcome.error_message or "")
        assert "check the parameter model" in (result.outcome.error_message or "")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_this_machine_is_asked_without_a_proxy(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with asking(proxy) as on:
        output(await describe(on))
    async with asking(proxy, base_url=proxy.url.replace("127.0.0.1", "localhost") + "/v1") as on:
        output(await describe(on))


async def test_what_is_far_away_is_asked_through_the_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with asking(proxy, base_url="http://models.invalid/v1") as on:
        await describe(on)
    assert len(proxy.seen) == 1
