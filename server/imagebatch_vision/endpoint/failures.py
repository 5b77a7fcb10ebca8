"""What an endpoint's refusals, silences and strange answers mean for an item."""

from __future__ import annotations

from collections.abc import Mapping

from imagebatch_server.operations import ItemError, ItemErrorCode, retry_after_s

_TRANSIENT_STATUSES = (408, 425, 429)
_BUSY_STATUSES = (429, 503)
_MOST_QUOTED = 500

_REFUSED_RETRY_S = 60.0
"""Servers of models often listen only once the model is loaded: they are tried over minutes, not over a second."""

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


def refused(status: int, said: str, host: str, secret: str | None, wait_s: float | None) -> ItemError:
    """Name the error of an answer that is no success; `wait_s` is how long the endpoint wants to be left alone."""
    answered = f"the endpoint {host} answered {status}{_quoted(said, secret)}"
    if status in _TRANSIENT_STATUSES or status >= 500:
        text = f"{answered}; retry the batch later, or the operator lowers IMAGEBATCH_OPENAI_CONCURRENCY"
        # A server that is still loading its model answers 503.
        busy = status in _BUSY_STATUSES
        return ItemError(ItemErrorCode.PROVIDER_ERROR, text, transient=True, busy=busy, retry_after_s=wait_s)
    remedy = _REMEDIES.get(status, "check the parameters of the batch and the server's IMAGEBATCH_OPENAI_* settings")
    return ItemError(ItemErrorCode.PROVIDER_ERROR, f"{answered}; {remedy}")


def unreachable(why: str, host: str, error: Exception | None = None) -> ItemError:
    """Name the error where no whole answer came: no connection, or one that broke, or an answer that was cut off."""
    return ItemError(
        ItemErrorCode.PROVIDER_ERROR,
        f"the endpoint {host} gave no whole answer ({why}); check that it runs, and the server's "
        "IMAGEBATCH_OPENAI_BASE_URL",
        transient=True,
        retry_after_s=_REFUSED_RETRY_S if _is_refused(error) else None,
    )


def _is_refused(error: BaseException | None) -> bool:
    """Tell whether nobody listened; the client's own kinds of errors differ from release to release."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False


def unusable(model: str, what: str, remedy: str) -> ItemError:
    """Name the error of an answer that nothing can be made of."""
    return ItemError(ItemErrorCode.PROVIDER_ERROR, f"the model {model} {what}; {remedy}")


def asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Read how long the endpoint wants to be left alone, by HTTP's header or by OpenAI's, which has milliseconds."""
    try:
        milliseconds = float(headers["retry-after-ms"])
    except (KeyError, ValueError):
        return retry_after_s(headers.get("retry-after"))
    return milliseconds / 1000 if 0 <= milliseconds < float("inf") else None


def _quoted(said: str, secret: str | None) -> str:
    # Some servers repeat the key that they refuse.
    text = said.replace(secret, "[key]") if secret else said
    return f" ({text[:_MOST_QUOTED].rstrip('.')})" if text else ""
