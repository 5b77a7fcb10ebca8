"""One endpoint: sends a picture and a question, and brings back an answer of a given form."""

from __future__ import annotations

import base64
import functools
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from PIL import Image as PillowImage
from pydantic import BaseModel, ValidationError

from imagebatch_server.operations.configuration import OpenAIEndpoint
from imagebatch_server.operations.endpoint import failures
from imagebatch_server.operations.endpoint.limits import Limits
from imagebatch_server.operations.endpoint.parameters import EndpointParameters

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

_CONNECT_S = 10.0
_JPEG_QUALITY = 85
_FORM_REMEDY = "use a model that answers by a JSON schema, or another prompt"

A = TypeVar("A", bound=BaseModel)


@dataclass(frozen=True)
class Answer(Generic[A]):
    """What the model said, and what it cost."""

    content: A
    model: str
    """As the endpoint names what answered."""
    input_tokens: int | None
    output_tokens: int | None


class Endpoint:
    """Belongs to one event loop. Its retries are off: the server makes attempts, and counts them."""

    def __init__(self, settings: OpenAIEndpoint) -> None:
        import openai

        self._settings = settings
        self._host = urlsplit(settings.base_url).hostname or "?"
        # No time limit of its own but for connecting: an item's time is what its batch says.
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key or "none",  # the client wants one, and servers that want none ignore it
            max_retries=0,
            timeout=openai.Timeout(None, connect=_CONNECT_S),
        )
        self.limits = Limits(settings.concurrency, settings.requests_per_minute)

    async def ask(
        self,
        instructions: str,
        picture: bytes,
        form: type[A],
        parameters: EndpointParameters,
        *,
        text: str | None = None,
    ) -> Answer[A]:
        """Ask about a picture as `encoded`, with a text besides if there is one; the answer has the given form.

        The instructions give way to the caller's own. To be called within `limits.slot()`.

        Raises ItemError: PROVIDER_ERROR.
        """
        model = parameters.model or self._settings.model or ""
        completion = await self._complete(
            {
                "model": model,
                "messages": [
                    {"role": "system", "content": parameters.prompt or instructions},
                    {"role": "user", "content": [*_text_part(text), _image(picture, parameters.detail)]},
                ],
                "response_format": {"type": "json_schema", "json_schema": _schema(form)},
                **({"max_completion_tokens": parameters.max_output_tokens} if parameters.max_output_tokens else {}),
            }
        )
        answered_by = completion.model or model
        usage = completion.usage
        return Answer(
            content=_parsed(_text(completion, answered_by), form, answered_by),
            model=answered_by,
            input_tokens=usage.prompt_tokens if usage else None,
            output_tokens=usage.completion_tokens if usage else None,
        )

    async def _complete(self, request: dict[str, Any]) -> ChatCompletion:
        import openai
        from openai.types.chat import ChatCompletion

        try:
            completion = await self._client.chat.completions.create(**request)
        except openai.APIStatusError as error:
            item_error = failures.refused(error, self._host, self._settings.api_key)
            if error.status_code == 429 or item_error.retry_after_s is not None:
                self.limits.hold(item_error.retry_after_s)
            raise item_error from None
        except (openai.APIConnectionError, ValueError) as error:  # ValueError: JSON that was cut off
            raise failures.unreachable(error, self._host) from None
        if not isinstance(completion, ChatCompletion):
            raise failures.unusable(
                request["model"], "was not reached, for the answer is no JSON", "check IMAGEBATCH_OPENAI_BASE_URL"
            )
        return completion


@functools.cache
def endpoint_of(settings: OpenAIEndpoint) -> Endpoint:
    """The process's one connection to an endpoint, so that its limits hold for all that use it."""
    return Endpoint(settings)


def encoded(picture: PillowImage.Image) -> bytes:
    """A picture as it is sent."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _image(picture: bytes, detail: str) -> dict[str, Any]:
    url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}


def _text_part(text: str | None) -> list[dict[str, Any]]:
    return [] if text is None else [{"type": "text", "text": text}]


def _schema(form: type[BaseModel]) -> dict[str, Any]:
    return {"name": form.__name__, "strict": True, "schema": form.model_json_schema()}


def _text(completion: ChatCompletion, model: str) -> str:
    choice = completion.choices[0] if completion.choices else None
    message = choice.message if choice is not None else None
    if choice is None or message is None:
        raise failures.unusable(model, "gave an answer without a message", _FORM_REMEDY)
    if message.refusal:
        said = " ".join(message.refusal.split())[:300]
        raise failures.unusable(model, f"refused: {said}", "leave the image out, or use another prompt or model")
    if choice.finish_reason == "content_filter":
        raise failures.unusable(model, "was stopped by a content filter", "leave the image out, or use another model")
    if choice.finish_reason == "length":
        raise failures.unusable(model, "was cut off in its answer", "raise max_output_tokens")
    if not message.content:
        raise failures.unusable(model, "answered nothing", _FORM_REMEDY)
    return message.content


def _parsed(text: str, form: type[A], model: str) -> A:
    # Servers that take a schema for a suggestion often put the JSON into a block of Markdown.
    inner = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        return form.model_validate_json(inner, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        what = f"answered in another form than it was asked to ({where}: {first['msg']})"
        raise failures.unusable(model, what, _FORM_REMEDY) from None
