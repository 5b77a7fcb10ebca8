"""One endpoint: sends a picture and a question, and brings back an answer of a given form."""

from __future__ import annotations

import functools
import io
import ipaddress
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from PIL import Image as PillowImage
from pydantic import BaseModel

from imagebatch_server.operations import ItemError
from imagebatch_vision.endpoint import failures
from imagebatch_vision.endpoint.answer_form import NoAnswer, read_form
from imagebatch_vision.endpoint.dialect import Dialect, Question
from imagebatch_vision.endpoint.limits import Limits
from imagebatch_vision.endpoint.parameters import EndpointParameters
from imagebatch_vision.endpoint.reply import FORM_REMEDY, Refusal, Reply, read_reply, said_in
from imagebatch_vision.endpoint.settings import OpenAISettings

NO_ENDPOINT = "this server has no endpoint to ask: its operator has to set IMAGEBATCH_OPENAI_BASE_URL"

_CONNECT_S = 10.0
_JPEG_QUALITY = 85
_ABOUT_THE_REQUEST = (400, 404, 415, 422, 500, 501)
"""What servers answer that don't know a part of the request; some break by it."""

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

    def __init__(self, settings: OpenAISettings) -> None:
        import openai

        if settings.base_url is None:  # the batch is older than the server's settings
            raise RuntimeError(NO_ENDPOINT)
        self._model = settings.model or ""
        self._key = settings.api_key.get_secret_value() if settings.api_key else None
        self._host = urlsplit(settings.base_url).hostname or "?"
        self._dialects: dict[str, Dialect] = {}
        # No time limit of its own but for connecting: an item's time is what its batch says.
        timeout = openai.Timeout(None, connect=_CONNECT_S)
        # The environment may name a proxy for what is far away; no proxy can reach this machine's own addresses.
        address = urlsplit(settings.base_url).netloc.rpartition("@")[2]
        directly = {f"all://{address}": None} if _is_here(self._host) else {}
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=self._key or "none",  # the client wants one, and servers that want none ignore it
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, mounts=directly),
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
        question = Question(
            model=parameters.model or self._model,
            instructions=parameters.prompt or instructions,
            text=text,
            picture=picture,
            detail=parameters.detail,
            form=form,
            max_output_tokens=parameters.max_output_tokens,
        )
        reply = await self._reply(question)
        answered_by = reply.model or question.model
        try:
            content = read_form(reply.text, form)
        except NoAnswer as error:
            what = f"answered in another form than it was asked to ({error})"
            raise failures.unusable(answered_by, what, FORM_REMEDY) from None
        return Answer(content, answered_by, reply.input_tokens, reply.output_tokens)

    async def _reply(self, question: Question) -> Reply:
        """Ask, and ask in simpler words where the endpoint refuses a part of the request; remember which worked."""
        dialect = self._dialects.get(question.model, Dialect())
        tried = {dialect}
        while True:
            try:
                reply = await self._request(question, dialect)
            except Refusal as refusal:
                is_about_request = refusal.status in _ABOUT_THE_REQUEST
                simpler = dialect.without_what_was_refused(refusal.said) if is_about_request else None
                if simpler is None or simpler in tried:
                    raise self._refused(refusal) from None
                tried.add(simpler)
                dialect = simpler
                await self.limits.turn()
            else:
                self._dialects[question.model] = dialect
                return reply

    async def _request(self, question: Question, dialect: Dialect) -> Reply:
        import httpx2
        import openai

        try:
            response = await self._client.chat.completions.with_raw_response.create(**dialect.request(question))
            data = await response.http_response.aread()
        except openai.APIStatusError as error:
            wait_s = failures.asked_wait_s(error.response.headers)
            raise Refusal(error.status_code, said_in(error.body), wait_s) from None
        except (openai.APIConnectionError, httpx2.RequestError) as error:
            raise failures.unreachable(type(error.__cause__ or error).__name__, self._host, error) from None
        return read_reply(data, question.model, self._host, failures.asked_wait_s(response.headers))

    def _refused(self, refusal: Refusal) -> ItemError:
        error = failures.refused(refusal.status, refusal.said, self._host, self._key, refusal.wait_s)
        if error.busy or error.retry_after_s is not None:
            self.limits.hold(error.retry_after_s)
        return error


@functools.cache
def endpoint_of(settings: OpenAISettings) -> Endpoint:
    """Answer the process's one connection to an endpoint, so that its limits hold for all that use it."""
    return Endpoint(settings)


def encoded(picture: PillowImage.Image) -> bytes:
    """Encode a picture as it is sent: JPEG."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _is_here(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
