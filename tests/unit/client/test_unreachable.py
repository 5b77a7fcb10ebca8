"""What gRPC's own words are turned into; `tests/integration/client/test_tls.py` has it say them."""

from __future__ import annotations

import pytest

from imagebatch_client.unreachable import explained

NOT_CONNECTED = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    ("details", "is_tls", "told"),
    [
        ("Connection refused", False, "no server answers at h:1 (Connection refused); is `imagebatch serve` running"),
        ("Socket closed", False, "no server answers at h:1 (Socket closed)"),
        (
            f"{NOT_CONNECTED}UNAVAILABLE: Socket closed",
            False,
            "h:1 closed the connection before it answered; it may ex",
        ),
        (f"{NOT_CONNECTED}UNAVAILABLE: Socket closed", True, "h:1 closed the connection before it answered; it may as"),
        ("SSL routines:X:WRONG_VERSION_NUMBER: y", True, "the server at h:1 speaks plain text, and was asked for TLS"),
        (
            "a:CERTIFICATE_VERIFY_FAILED: certificate has expired: OK",
            True,
            "the certificate of h:1 is not trusted (cert",
        ),
        ("Hostname Verification Check failed.", True, "the certificate of h:1 has another name; call it by that name"),
        ("Failed parsing HTTP/2 (Expected SETTINGS)", False, "what answers at h:1 speaks no gRPC"),
    ],
)
def test_what_stands_between_is_told(details: str, is_tls: bool, told: str) -> None:
    assert explained("h:1", details, is_tls=is_tls).startswith(told)
