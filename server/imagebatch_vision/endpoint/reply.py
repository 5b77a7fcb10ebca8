"""What an endpoint sent, read without trust: any part may be missing, of another type, or said in another way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagebatch_vision.endpoint import failures

FORM_REMEDY = "use a model that answers by a JSON schema, or another prompt"
_WORDLESS_STATUS = 500
_STATUS_BY_WORD = {
    "rate_limit": 429, "rate limit": 429, "too many requests": 429, "throttl": 429,
    "overloaded": 503, "unavailable": 503, "loading": 503, "timeout": 504, "timed out": 504,
    "authentication": 401, "api key": 401, "api_key": 401, "permission": 403,
    "not found": 404, "not_found": 404, "invalid_request": 400, "invalid request": 400,
}  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """What a model said."""

    text: str
    model: str | None
    """As the endpoint names what answered; None where it doesn't."""
    input_tokens: int | None
    output_tokens: int | None


class Refusal(Exception):
    """The endpoint refused; `status` is the one that it meant, whatever the HTTP status of its answer was."""

    def __init__(self, status: int, said: str, wait_s: float | None = None) -> None:
        super().__init__(said)
        self.status = status
        self.said = said
        self.wait_s = wait_s


def read_reply(data: bytes, model: str, host: str, wait_s: float | None = None) -> Reply:
    """Read the body of an answer whose HTTP status was a success. Raises Refusal, and ItemError: PROVIDER_ERROR."""
    body = _body(data, model, host)
    choice = _mapping(next(iter(_list(body.get("choices"))), None))
    _raise_refusal(body, choice, wait_s)
    answered_by = body.get("model") if isinstance(body.get("model"), str) else None
    usage = _mapping(body.get("usage"))
    return Reply(
        text=_text(choice, answered_by or model),
        model=answered_by or None,
        input_tokens=_count(usage, "prompt_tokens", "input_tokens"),
        output_tokens=_count(usage, "completion_tokens", "output_tokens"),
    )


def said_in(body: object) -> str:
    """Find the words of an error, in whichever of the usual places they are; empty without any."""
    if isinstance(body, str):
        return " ".join(body.split()) if not body.lstrip().startswith("<") else ""  # a page of HTML says nothing to us
    if isinstance(body, list):
        return "; ".join(filter(None, (said_in(one) for one in body)))
    if not isinstance(body, Mapping):
        return ""
    where = ".".join(str(part) for part in _list(body.get("loc"))) or str(body.get("param") or "")
    places = (said_in(body.get(name)) for name in ("error", "message", "msg", "detail", "errors"))
    words = next(filter(None, places), "")
    return f"{where}: {words}" if where and where not in words else words


def _body(data: bytes, model: str, host: str) -> Mapping[str, Any]:
    text = data.decode("utf-8-sig", errors="replace").strip()
    if not text:
        raise failures.unreachable("an empty answer", host)
    if text.startswith(("data:", "event:", ":")):
        return _assembled(text, host)
    body = _parsed(text)
    if body is None and text[0] in "{[":
        raise failures.unreachable("JSONDecodeError", host)
    if not isinstance(body, Mapping):
        raise failures.unusable(model, "was not reached, for the answer is no JSON", "check IMAGEBATCH_OPENAI_BASE_URL")
    return body


def _assembled(text: str, host: str) -> Mapping[str, Any]:
    """Put the pieces of a stream together, as the whole answer that they are of."""
    content, arguments, refusal, body, has_ended = "", "", "", dict[str, Any](), False
    choice: dict[str, Any] = {}
    for chunk in _chunks(text):
        if chunk is None:
            has_ended = True
            continue
        body |= {name: chunk[name] for name in ("model", "usage", "error", "detail") if chunk.get(name)}
        for piece in map(_mapping, _list(chunk.get("choices"))[:1]):
            delta = _mapping(piece.get("delta") or piece.get("message"))
            content += _words(delta.get("content"))
            arguments += _arguments(delta)
            refusal += delta["refusal"] if isinstance(delta.get("refusal"), str) else ""
            choice |= {name: piece[name] for name in ("finish_reason", "error") if piece.get(name)}
    if not (has_ended or choice.get("finish_reason") or body.get("error")):
        raise failures.unreachable("a stream that was cut off", host)
    called = [{"function": {"arguments": arguments}}] if arguments else None
    return {**body, "choices": [{**choice, "message": {"content": content, "refusal": refusal, "tool_calls": called}}]}


def _chunks(text: str) -> Iterator[Mapping[str, Any] | None]:
    """Yield each piece of a stream of server-sent events, and None for its end mark."""
    for line in text.splitlines():
        field, _, value = line.partition(":")
        if field == "data":
            yield None if value.strip() == "[DONE]" else _mapping(_parsed(value))


def _raise_refusal(body: Mapping[str, Any], choice: Mapping[str, Any], wait_s: float | None) -> None:
    error = body.get("error") or choice.get("error")
    if not error and not body.get("choices") and (body.get("object") == "error" or body.get("detail")):
        error = body
    if not error:
        return
    said = said_in(error)
    found = _mapping(error)
    named = [found.get(name) or body.get(name) for name in ("code", "status", "status_code", "http_status")]
    statuses = [int(str(value)) for value in named if re.fullmatch("[45][0-9]{2}", str(value))]
    words = f"{found.get('code')} {found.get('type')} {said}".lower()
    guessed = [status for word, status in _STATUS_BY_WORD.items() if word in words]
    raise Refusal(next(iter([*statuses, *guessed]), _WORDLESS_STATUS), said, wait_s)


def _text(choice: Mapping[str, Any], model: str) -> str:
    message = _mapping(choice.get("message"))
    if not message:
        raise failures.unusable(model, "gave an answer without a message", FORM_REMEDY)
    if message.get("refusal"):
        said = " ".join(str(message["refusal"]).split())[:300]
        raise failures.unusable(model, f"refused: {said}", "leave the image out, or use another prompt or model")
    if choice.get("finish_reason") == "content_filter":
        raise failures.unusable(model, "was stopped by a content filter", "leave the image out, or use another model")
    if choice.get("finish_reason") == "length":
        raise failures.unusable(model, "was cut off in its answer", "raise max_output_tokens")
    text = _words(message.get("content")) or _arguments(message)
    if not text.strip():
        raise failures.unusable(model, "answered nothing", FORM_REMEDY)
    return text


def _words(content: object) -> str:
    """Read content: a text, parts of which those of text count, or the answer itself where the server parsed it."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_words(part) for part in content)
    if not isinstance(content, Mapping):
        return ""
    if "type" in content and isinstance(content.get("text", content.get("content")), str):
        is_said = content["type"] in ("text", "output_text")
        return str(content.get("text", content.get("content"))) if is_said else ""
    return "" if "type" in content else json.dumps(content)


def _arguments(message: Mapping[str, Any]) -> str:
    """Read a call of a tool that nobody offered: how some servers answer by a schema."""
    calls = [_mapping(call).get("function") for call in _list(message.get("tool_calls"))[:1]]
    given = _mapping(next(iter(calls), None) or message.get("function_call")).get("arguments")
    return given if isinstance(given, str) else json.dumps(given) if isinstance(given, Mapping) else ""


def _count(usage: Mapping[str, Any], *names: str) -> int | None:
    found = next((usage[name] for name in names if name in usage), None)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
