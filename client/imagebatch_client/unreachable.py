"""Why a server can't be reached, as far as gRPC's own words tell: nothing else tells it."""

from __future__ import annotations

from typing import Final

_PLAIN_SERVER: Final = "WRONG_VERSION_NUMBER"
_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
_OTHER_NAME: Final = ("Hostname Verification Check failed", "Peer name")
_NOT_GRPC: Final = "Failed parsing HTTP/2"
_NOT_CONNECTED: Final = ("failed to connect", "connections to all backends failing")
_CLOSED: Final = "Socket closed"


def explained(address: str, details: str, *, is_tls: bool) -> str:
    """Say what stands between this client and the server at `address`, and what to do about it."""
    if _PLAIN_SERVER in details:
        return (
            f"the server at {address} speaks plain text, and was asked for TLS; call it without TLS "
            "(tls=False, IMAGEBATCH_TLS=0), or give the address of one that has it"
        )
    if _UNTRUSTED in details:
        return (
            f"the certificate of {address} is not trusted ({_cause(details)}); give the PEM file of its authority "
            "(tls_ca, IMAGEBATCH_TLS_CA)"
        )
    if any(words in details for words in _OTHER_NAME):
        return (
            f"the certificate of {address} has another name; call it by that name, or give it "
            "(tls_server_name, IMAGEBATCH_TLS_SERVER_NAME)"
        )
    if _NOT_GRPC in details:
        return f"what answers at {address} speaks no gRPC; give the address of `imagebatch serve`, not that of HTTP"
    if _CLOSED in details and any(words in details for words in _NOT_CONNECTED):
        return f"{address} closed the connection before it answered; {_CLOSED_TLS if is_tls else _CLOSED_PLAIN}"
    return f"no server answers at {address} ({details}); is `imagebatch serve` running there?"


_CLOSED_PLAIN: Final = (
    "it may expect TLS: set it (tls, IMAGEBATCH_TLS=1), with its authority's PEM file (tls_ca, IMAGEBATCH_TLS_CA)"
)
_CLOSED_TLS: Final = (
    "it may ask for a client's certificate: give one that it trusts (tls_client_certificate, tls_client_key, "
    "IMAGEBATCH_TLS_CLIENT_CERTIFICATE, IMAGEBATCH_TLS_CLIENT_KEY)"
)


def _cause(details: str) -> str:
    """Find OpenSSL's words behind its code, such as "certificate has expired"."""
    return details.partition(f"{_UNTRUSTED}:")[2].partition(":")[0].strip() or "no authority vouches for it"
