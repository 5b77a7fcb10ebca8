"""What an endpoint's refusals, silences and strange answers mean for an item."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError

if TYPE_CHECKING:
    import openai

_TRANSIENT_STATUSES = (408, 425, 429)
_MOST_QUOTED = 500

_REMEDIES = {
    400: "check that the model takes images and answers by a JSON schema, and the parameters of the batch",
    401: "the operator has to check IMAGEBATCH_OPENAI_API_KEY",
    402: "the operator has to check the account behind IMAGEBATCH_OPENAI_API_KEY",
    403: "the operator has to check what IMAGEBATCH_OPENAI_API_KEY may do",
    404: "check the parameter model, and the operator IMAGEBATCH_OPENAI_BASE_URL",
    405: "the operator has to check IMAGEBATCH_OPENAI_BASE_URL",
    413: "send a smaller picture: lower the parameter max_side",
    422: "check that the model takes images and answers by a JSON schema, and the parameters of the batch",
}


def refused(error: openai.APIStatusError, host: str, secret: str | None) -> ItemError:
    """The endpoint answered with an HTTP status that is no success."""
    status = error.status_code
    said = f"the endpoint {host} answered {status}{_quoted(error, secret)}"
    if status in _TRANSIENT_STATUSES or status >= 500:
        wait_s = retry_after_s(error.response.headers)
        text = f"{said}; retry the batch later, or the operator lowers IMAGEBATCH_OPENAI_CONCURRENCY"
        return ItemError(ItemErrorCode.PROVIDER_ERROR, text, transient=True, retry_after_s=wait_s)
    remedy = _REMEDIES.get(status, "check the parameters of the batch and the server's IMAGEBATCH_OPENAI_* settings")
    return ItemError(ItemErrorCode.PROVIDER_ERROR, f"{said}; {remedy}")


def unreachable(error: Exception, host: str) -> ItemError:
    """No whole answer came: no connection, or one that broke, or an answer that was cut off."""
    cause = error.__cause__ or error
    return ItemError(
        ItemErrorCode.PROVIDER_ERROR,
        f"the endpoint {host} gave no whole answer ({type(cause).__name__}); check that it runs, and the server's "
        "IMAGEBATCH_OPENAI_BASE_URL",
        transient=True,
    )


def unusable(model: str, what: str, remedy: str) -> ItemError:
    """An answer came, and nothing can be made of it."""
    return ItemError(ItemErrorCode.PROVIDER_ERROR, f"the model {model} {what}; {remedy}")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the endpoint wants to be left alone; a number of seconds or a date by HTTP, or OpenAI's milliseconds."""
    try:
        if "retry-after-ms" in headers:
            return _not_negative(float(headers["retry-after-ms"]) / 1000)
        if "retry-after" in headers:
            return _not_negative(float(headers["retry-after"]))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except ValueError:
        return None


def _not_negative(seconds: float) -> float | None:
    return seconds if 0 <= seconds < float("inf") else None


def _quoted(error: openai.APIStatusError, secret: str | None) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, Mapping) else None
    if not isinstance(said, str) or not said.strip():
        return ""
    text = " ".join(said.split())
    if secret:
        text = text.replace(secret, "[key]")  # some servers repeat the key that they refuse
    return f" ({text[:_MOST_QUOTED].rstrip('.')})"
