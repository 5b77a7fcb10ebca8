"""`verify` with a model's judgement of text, label and rules, and everything else measured as without it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.executors.harness import Bench, output, png
from tests.integration.openai.harness import asking
from tests.integration.openai.proxy import Proxy, refusal

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server import structs
from imagebatch_server.batches.model import AttemptResult
from imagebatch_server.operations.configuration import Configuration
from imagebatch_server.operations.registry import OperationRegistry
from imagebatch_vision.endpoint.settings import OpenAISettings
from imagebatch_vision.verify import Check, VerifyOutput

if TYPE_CHECKING:
    from llmock.pytest_plugin import LLMock

pytestmark = pytest.mark.openai


async def verify(
    on: Bench, expect: dict[str, Any], *, metadata: dict[str, Any] | None = None, key: str = "tenant.picture"
) -> AttemptResult:
    parameters = {"backend": "openai", "checks": [], "expect": expect}
    return await on.run(metadata, operation="verify", parameters=parameters, key=key)


def judged(llmock: LLMock, *judgements: tuple[int, str, float]) -> None:
    """Let the model's next answer be these: claim, verdict, score."""
    said = [
        {"claim": claim, "detail": f"Seen of {claim}.", "verdict": verdict, "score": score}
        for claim, verdict, score in judgements
    ]
    llmock.reply(json.dumps({"judgements": said}))


def checks_of(result: AttemptResult) -> tuple[VerifyOutput, list[Check]]:
    """Split the answer from its checks but for `integrity`."""
    answer = VerifyOutput.model_validate(output(result))
    assert answer.checks[0].name == "integrity"
    return answer, answer.checks[1:]


async def test_each_rule_is_a_check_of_its_own(proxy: Proxy, llmock: LLMock) -> None:
    judged(llmock, (2, "contradicted", 0.9), (1, "supported", 0.3), (3, "cannot_tell", 0.5))
    async with asking(proxy) as on:
        result = await verify(on, {"rules": ["It is blue.", "It is round.", "It is heavy.", "It is new."]})
        answer, checks = checks_of(result)
        assert [(it.name, it.rule, it.verdict, it.score) for it in checks] == [
            ("rule", "It is blue.", "supported", 0.5),
            ("rule", "It is round.", "contradicted", 0.5),
            ("rule", "It is heavy.", "cannot_tell", None),
            ("rule", "It is new.", "cannot_tell", None),
        ]
        assert [it.detail for it in checks] == ["Seen of 1.", "Seen of 2.", "Seen of 3.", "The model did not judge it."]
        assert not answer.is_verified
        assert [model.name for model in answer.models] == ["gpt-4o-mini"]
        assert answer.input_tokens == result.outcome.input_tokens > 0
        (text, _) = proxy.seen[-1].body["messages"][1]["content"]
        assert text["text"] == "Claims:\n1. It is blue.\n2. It is round.\n3. It is heavy.\n4. It is new."


async def test_expected_text_and_label_are_the_models_to_judge(proxy: Proxy, llmock: LLMock) -> None:
    judged(llmock, (1, "supported", 0.9), (2, "supported", 0.8), (3, "supported", 1.0))
    async with asking(proxy) as on:
        expect = {"text": "EXIT 12", "label": "a sign of an emergency exit", "rules": ["It is lit."]}
        answer, checks = checks_of(await verify(on, {}, metadata={"expect": expect}))
        assert [(it.name, it.verdict) for it in checks] == [
            ("text", "supported"),
            ("label", "supported"),
            ("rule", "supported"),
        ]
        assert answer.is_verified
        assert answer.confidence_score == 0.8


async def test_without_anything_to_judge_nobody_is_asked(proxy: Proxy) -> None:
    async with asking(proxy) as on:
        answer, checks = checks_of(await verify(on, {"min_width": 3}))
        assert [(it.name, it.verdict) for it in checks] == [("size", "supported")]
        assert (answer.is_verified, answer.models, answer.input_tokens) == (True, [], None)
        on.blobs.blobs["tenant.cut"] = png(300, 300)[:40]
        on.blobs.blobs["tenant.text"] = b"text"
        for key in ("tenant.cut", "tenant.text"):
            answer, checks = checks_of(await verify(on, {"rules": ["It is blue."], "label": "square"}, key=key))
            assert answer.checks[0].verdict == "contradicted"
            assert [(it.name, it.verdict) for it in checks] == [("label", "cannot_tell"), ("rule", "cannot_tell")]
        assert proxy.seen == []


async def test_an_endpoint_that_fails_fails_the_item(proxy: Proxy) -> None:
    proxy.breaks(refusal(503))
    async with asking(proxy) as on:
        result = await verify(on, {"rules": ["It is blue."]})
        assert (result.outcome.error_code, result.transient) == (ItemErrorCode.PROVIDER_ERROR, True)


async def test_describe_and_verify_share_the_endpoints_limits(proxy: Proxy) -> None:
    proxy.delay_s = 0.1
    async with asking(proxy, concurrency=2) as on:
        for _ in range(5):
            on.submit(operation="describe", parameters={"backend": "openai"}, batch_id="a")
            rules = {"backend": "openai", "expect": {"rules": ["It is blue."]}}
            on.submit(operation="verify", parameters=rules, batch_id="b")
        results = await on.recorded.finish(10)
        assert [result.outcome.error_code for result in results.values()] == [None] * 10
        assert proxy.most_in_flight == 2


def test_rules_need_a_model() -> None:
    settings = OpenAISettings(base_url="http://host/v1", model="model")
    registry = OperationRegistry.load(Configuration.holding(settings))

    def refused(**parameters: Any) -> list[str]:
        return [it.description for it in registry.violations("verify", structs.from_dict(parameters))]

    assert refused(backend="openai", expect={"rules": ["It is blue."], "label": "no word of the vocabulary"}) == []
    (said,) = refused(expect={"rules": ["It is blue."]})
    assert "use backend openai" in said
    assert len(refused(expect={"label": "no word of the vocabulary"})) == 1
