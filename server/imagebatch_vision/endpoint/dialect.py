"""How an endpoint wants to be asked: most that speak OpenAI's API lack a part of it, and say so when they refuse."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel

_IN_WORDS = "Answer with a single JSON object and nothing else. It has to match this JSON Schema:\n"

# What a refusal says when it is about one part of the request; everything else is no matter of how it was asked.
_FORM = re.compile(r"response.?format|json.?(schema|object|mode)|structured.?output|guided|grammar", re.IGNORECASE)
_DETAIL = re.compile(r"(image_url|parameter)\W{1,4}detail\b|\bdetail\W{1,3}(parameter|field|is not)", re.IGNORECASE)
_SYSTEM = re.compile(r"system\W{1,3}(role|message|prompt|instruction)|role\b.{0,20}\bsystem\b", re.IGNORECASE)
_STREAM = re.compile(r"\bstream(ing)?\b", re.IGNORECASE)

FormWay = Literal["json_schema", "json_object", "words"]
LimitName = Literal["max_completion_tokens", "max_tokens"]


@dataclass(frozen=True)
class Question:
    """What is asked, whatever the words for it."""

    model: str
    instructions: str
    text: str | None
    picture: bytes
    """JPEG."""
    detail: str
    form: type[BaseModel]
    max_output_tokens: int | None


@dataclass(frozen=True)
class Dialect:
    """What of OpenAI's API an endpoint understands; all of it until it refuses."""

    form: FormWay = "json_schema"
    limit: LimitName = "max_completion_tokens"
    has_detail: bool = True
    has_system_role: bool = True
    answers_whole: bool = True
    """Or only as a stream."""

    def request(self, question: Question) -> dict[str, Any]:
        """Put the question into the words of the API."""
        instructions = question.instructions
        if self.form != "json_schema":
            instructions = f"{instructions}\n\n{_IN_WORDS}{json.dumps(question.form.model_json_schema())}"
        texts = [question.text] if question.text is not None else []
        parts = [{"type": "text", "text": text} for text in (texts if self.has_system_role else [instructions, *texts])]
        system = [{"role": "system", "content": instructions}] if self.has_system_role else []
        return {
            "model": question.model,
            "messages": [*system, {"role": "user", "content": [*parts, self._image(question)]}],
            **self._response_format(question.form),
            **({self.limit: question.max_output_tokens} if question.max_output_tokens else {}),
            **({} if self.answers_whole else {"stream": True}),
        }

    def without_what_was_refused(self, said: str) -> Dialect | None:
        """Leave out, or replace, the part of the request that a refusal names; None if it names none."""
        if _FORM.search(said) and self.form != "words":
            return replace(self, form="json_object" if self.form == "json_schema" else "words")
        if self.limit in said:
            other: LimitName = "max_tokens" if self.limit == "max_completion_tokens" else "max_completion_tokens"
            return replace(self, limit=other)
        if _DETAIL.search(said) and self.has_detail:
            return replace(self, has_detail=False)
        if _SYSTEM.search(said) and self.has_system_role:
            return replace(self, has_system_role=False)
        if _STREAM.search(said) and self.answers_whole:
            return replace(self, answers_whole=False)
        return None

    def _image(self, question: Question) -> dict[str, Any]:
        url = f"data:image/jpeg;base64,{base64.b64encode(question.picture).decode()}"
        detail = {"detail": question.detail} if self.has_detail else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}}

    def _response_format(self, form: type[BaseModel]) -> dict[str, Any]:
        if self.form == "words":
            return {}
        if self.form == "json_object":
            return {"response_format": {"type": "json_object"}}
        schema = {"name": form.__name__, "strict": True, "schema": form.model_json_schema()}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
