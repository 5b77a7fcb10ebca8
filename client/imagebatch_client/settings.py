"""How a server is reached, as the caller chose it: address, TLS, token, tenant, patience."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from types import NoneType
from typing import Final

from imagebatch_client.errors import InvalidRequestError

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"

_PORT = r"([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"
_ADDRESS = re.compile(
    rf"(dns:(//[^/]*/)?)?(\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]]+):{_PORT}|(ipv4|ipv6|unix|unix-abstract|xds):\S+"
)
"""HOST:PORT, or one of gRPC's other kinds of names."""
_SCHEME = re.compile(r"(dns:(//[^/]*/)?|ipv4:|ipv6:)")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SERVER_NAME = re.compile(r"[A-Za-z0-9._:*-]+")

# About 30 years: gRPC's own clock overflows on much more.
MOST_SECONDS: Final = 1e9


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Where the server is, who calls it, and how patient the client is.

    `tls` None means: TLS if one of the `tls_` settings is given, else plain text. `tls_ca` is a PEM file of the
    authority that signed the server's certificate; without it, TLS trusts gRPC's own roots. `tls_client_certificate`
    and `tls_client_key` are the PEM files by which a server that asks for it knows the caller. `tls_server_name` is the
    name that the server's certificate has, where it is not the address's. These files are read when the client is made.

    A `token` is sent with every call. One in a `token_file` is read anew when the file changes. Either goes in plain
    text only to this machine, or where `insecure_plaintext` says that the network is trusted. `tenant` is for
    operators: the tenant that they act for.

    `timeout_s` bounds every unary call with its repeats, and the time in which a watch must get its first message.
    `transfer_timeout_s` bounds an upload, a download or a streamed submit. `reconnect_for_s` is how long a watch that
    had contact tries to get it back. `silence_s` is how long a watch waits for a message (the server sends one at least
    every 5 s) before it takes the connection for dead and makes another.
    """

    address: str = DEFAULT_ADDRESS
    token: str | None = field(default=None, repr=False)
    tls: bool | None = None
    tls_ca: Path | str | None = None
    timeout_s: float = 30.0
    transfer_timeout_s: float = 600.0
    reconnect_for_s: float = 600.0
    silence_s: float = 20.0
    tls_client_certificate: Path | str | None = None
    tls_client_key: Path | str | None = None
    tls_server_name: str | None = None
    token_file: Path | str | None = None
    tenant: str | None = None
    insecure_plaintext: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        if not _ADDRESS.fullmatch(self.address):
            raise InvalidRequestError.of_field(
                "address", f"{self.address!r} is no HOST:PORT, such as 127.0.0.1:50051; leave out http:// and paths"
            )
        self._check_tls()
        self._check_caller()

    def _check_types(self) -> None:
        if not isinstance(self.address, str):
            raise InvalidRequestError.of_field("address", f"is {type(self.address).__name__}; give HOST:PORT")
        for name in ("tls", "insecure_plaintext"):
            value = getattr(self, name)
            if not isinstance(value, bool) and (value is not None or name != "tls"):
                raise InvalidRequestError.of_field(name, f"is {type(value).__name__}; give True or False")
        for name in ("tls_ca", "tls_client_certificate", "tls_client_key", "token_file"):
            value = getattr(self, name)
            if not isinstance(value, (str, os.PathLike, NoneType)):
                raise InvalidRequestError.of_field(name, f"is {type(value).__name__}; give the path of a file")
        for name, form, remedy in (
            ("token", _TOKEN, "printable ASCII characters alone"),
            ("tenant", _TENANT, "1 to 63 of a-z 0-9 _ -, the first a letter or a digit"),
            ("tls_server_name", _SERVER_NAME, "a host's name"),
        ):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
                shown = "holds what no token can" if name == "token" else f"{value!r} is none"
                raise InvalidRequestError.of_field(name, f"{shown}; give {remedy}")
        for name in ("timeout_s", "transfer_timeout_s", "reconnect_for_s", "silence_s"):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not 0 < value <= MOST_SECONDS:
                raise InvalidRequestError.of_field(name, f"{value!r} is no number of seconds above 0; give one")

    def _check_tls(self) -> None:
        if (self.tls_client_certificate is None) != (self.tls_client_key is None):
            raise InvalidRequestError.of_field(
                "tls_client_certificate", "and tls_client_key belong together; give both, or none"
            )

    def _check_caller(self) -> None:
        if self.token is not None and self.token_file is not None:
            raise InvalidRequestError.of_field("token", "and token_file are both given; give one of them")
        is_secret = self.token is not None or self.token_file is not None
        if is_secret and not (self.is_tls or self.is_loopback or self.insecure_plaintext):
            raise InvalidRequestError.of_field(
                "token" if self.token_file is None else "token_file",
                f"would travel to {self.address} in plain text; set tls or tls_ca (IMAGEBATCH_TLS, IMAGEBATCH_TLS_CA), "
                "or insecure_plaintext (IMAGEBATCH_INSECURE_PLAINTEXT) if the network is trusted",
            )

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return any(getattr(self, name) is not None for name in _TLS_DETAILS) if self.tls is None else self.tls

    @property
    def is_loopback(self) -> bool:
        """Whether the address is one that only this machine has."""
        if self.address.startswith(("unix:", "unix-abstract:")):
            return True
        host = _SCHEME.sub("", self.address, count=1).rpartition(":")[0].strip("[]")
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False


_TLS_DETAILS: Final = ("tls_ca", "tls_client_certificate", "tls_client_key", "tls_server_name")

SWITCHES: Final = ("tls", "insecure_plaintext")
TEXTS: Final = ("address", "token", "token_file", "tenant", *_TLS_DETAILS)
"""The settings that the environment gives, as `IMAGEBATCH_` and their name."""

PREFIX: Final = "IMAGEBATCH_"
_OF_COMMAND_LINE: Final = ("config", "profile")
_OF_SERVERS: Final = ("metrics_address", "tls_certificate", "tls_key", "tls_client_ca", "tokens_file")
"""Variables that the server reads, and that look like the client's; whoever sets them has not mistyped those."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def settings_from_env(environ: Mapping[str, str] = os.environ) -> ConnectionSettings:
    """Read the settings that `TEXTS` and `SWITCHES` name, such as IMAGEBATCH_ADDRESS and IMAGEBATCH_TLS (0 or 1).

    A variable that is unset or empty leaves the default. Raises InvalidRequestError for a switch that is neither, and
    for a variable whose name is nearly one of these.
    """
    _check_names(environ)
    given: dict[str, str] = {name: value for name in TEXTS if (value := environ.get(_variable(name)))}
    switches = {name: _switch(name, environ.get(_variable(name), "")) for name in SWITCHES}
    return ConnectionSettings(
        address=given.get("address", DEFAULT_ADDRESS),
        token=given.get("token"),
        tls=switches["tls"],
        tls_ca=given.get("tls_ca"),
        tls_client_certificate=given.get("tls_client_certificate"),
        tls_client_key=given.get("tls_client_key"),
        tls_server_name=given.get("tls_server_name"),
        token_file=given.get("token_file"),
        tenant=given.get("tenant"),
        insecure_plaintext=bool(switches["insecure_plaintext"]),
    )


def settings_of(server: str | ConnectionSettings) -> ConnectionSettings:
    """Choose the settings of a client that was given an address or settings."""
    if isinstance(server, ConnectionSettings):
        return server
    if not isinstance(server, str):
        raise InvalidRequestError.of_field(
            "server", f"is {type(server).__name__}; give an address such as {DEFAULT_ADDRESS}, or ConnectionSettings"
        )
    return ConnectionSettings(server)


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _switch(name: str, text: str) -> bool | None:
    text = text.strip().lower()
    if text and text not in _TRUE | _FALSE:
        raise InvalidRequestError.of_field(_variable(name), f"{text!r} is neither 1 nor 0")
    return text in _TRUE if text else None


def _check_names(environ: Mapping[str, str]) -> None:
    """Refuse what was probably mistyped: a token that is overlooked, or an address, would be looked for elsewhere."""
    known = (*TEXTS, *SWITCHES, *_OF_COMMAND_LINE)
    for variable in environ:
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name in known or name in _OF_SERVERS:
            continue
        if close := get_close_matches(name, known, n=1, cutoff=0.8):
            raise InvalidRequestError.of_field(variable, f"is read by nobody; did you mean {_variable(close[0])}?")
