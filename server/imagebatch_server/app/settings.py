"""The server's settings: environment variables `IMAGEBATCH_*`, each also a flag of `imagebatch serve`.

The only place that reads the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, create_model, field_validator
from pydantic.fields import FieldInfo
from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from imagebatch_server.app.machine import share_of_machine
from imagebatch_server.app.prices import token_prices
from imagebatch_server.images.guard import host_alone
from imagebatch_server.operations.configuration import Configuration, OperationSettings
from imagebatch_server.urls import BadUrl, read

ENV_PREFIX = "IMAGEBATCH_"

MIB = 1024 * 1024


_SHARE = share_of_machine()
_OWN_BYTES = 256 * MIB
"""What the server takes beside the images that it holds."""


def memory_defaults(total_bytes: int | None, *, workers: int) -> tuple[int, int, int]:
    """Divide memory among each worker process, images being fetched, and those that are ready for workers.

    As many go with asynchronous operations as with the workers: one more process, and once more what is ready. Where
    memory is plentiful or unknown it is 4 GiB, 512 MiB and 256 MiB; a worker never gets less than 512 MiB.
    """
    if total_bytes is None:
        return 4096 * MIB, 512 * MIB, 256 * MIB
    fetching = min(512 * MIB, total_bytes // 8)
    ready = fetching // 2
    left = total_bytes - _OWN_BYTES - fetching - 2 * ready
    return max(512 * MIB, min(4096 * MIB, left // (workers + 1))), fetching, ready


def _memory_default(which: int, given: Mapping[str, Any]) -> int:
    return memory_defaults(_SHARE.memory_bytes, workers=given.get("workers", _SHARE.processors))[which]


def _share_of_fetches(share: float, given: Mapping[str, Any]) -> int:
    return max(1, int(given["fetches"] * share))


def _network(value: object) -> object:
    """Read a network. Of a union of both kinds pydantic would tell two faults where there is one."""
    try:
        return ip_network(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is no network; write it as 10.1.0.0/16, or fd00:1::/32") from None


def _proxy(text: str) -> str:
    """Check the URL of a proxy."""
    try:
        url = read(text)
    except BadUrl:
        url = None
    if url is None or url.scheme != "http" or url.href.count("/") != 3 or not url.href.endswith("/"):
        raise ValueError("is no proxy; write it as http://host:port, with user:password@ before the host if it asks")
    return text


def _host_and_port(text: str) -> str:
    """Check an address to listen on. Of a port that is too large gRPC would take the lowest 16 bits, another port."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is no address to listen on; write host:port, the port from 0 to 65535")
    return text


def _listed(value: object) -> object:
    """Split a list that is written with commas, as in an environment variable."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


_BUCKET_URL = re.compile(r"(s3|gs|az)://[a-z0-9][a-z0-9._-]+(/[^/?#\s]+)*/?")

_RAY_ADDRESS = re.compile(r"(ray://)?[^\s/:@]+:\d{1,5}")

_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def _size(value: object) -> object:
    """Read a number of bytes, which may have a unit, as in an environment variable."""
    return value if not isinstance(value, str) else _amount(value, _BYTES, "bytes, 64KiB, 50MiB or 2GiB")


def _time(value: object) -> object:
    """Read a number of seconds, likewise."""
    return value if not isinstance(value, str) else _amount(value, _SECONDS, "seconds, 500ms, 2m, 12h or 30d")


def _amount(text: str, units: Mapping[str, float], forms: str) -> float:
    found = _AMOUNT.fullmatch(text.strip().lower())
    if found is None or found[2] not in units:
        raise ValueError(f"{text!r} is no amount; write a number of {forms}")
    amount = float(found[1]) * units[found[2]]
    return int(amount) if amount.is_integer() else amount


_ISSUER = re.compile(r"https://[^/?#]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/|$)")

Bytes = Annotated[int, BeforeValidator(_size), Field(le=2**50)]
Count = Annotated[int, Field(le=2**31 - 1)]
"""What an int32 of the contract can tell."""
Address = Annotated[str, AfterValidator(_host_and_port)]
Seconds = Annotated[float, BeforeValidator(_time), Field(le=100 * 365 * 86_400.0)]


class Settings(BaseSettings):
    """Every setting, with its default. Sizes in bytes, times in seconds; as texts they may have units."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",  # of sections: IMAGEBATCH_OPENAI_BASE_URL is base_url of openai
        env_nested_max_split=1,
        extra="forbid",
        frozen=True,
    )

    sections: ClassVar[Mapping[str, type[OperationSettings]]] = {}
    """What operations add to the fields here, by the field's name; see `settings_with`."""

    address: Address = Field(
        default="127.0.0.1:50051", description="Where to listen; port 0 takes a free port, which is printed."
    )
    data_dir: Path = Field(
        default=Path("imagebatch-data"), description="The data folder: database, images, lock. Made if it is missing."
    )
    database_url: str | None = Field(
        default=None,
        description="A PostgreSQL database (postgresql+psycopg://user@host/name); absent: SQLite in the data folder.",
    )

    database_direct_url: str | None = Field(
        default=None,
        description="The same database without a connection pooler, such as PgBouncer, before it; needed where one "
        "stands in --database-url.",
    )

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _is_a_database_we_know(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("postgresql+psycopg://"):
            raise ValueError("must begin with postgresql+psycopg://; leave it out for SQLite in the data folder")
        return value

    tls_certificate: Path | None = Field(
        default=None,
        description="The server's certificate and its chain, as PEM; absent: plain text. Files that are replaced are "
        "taken without a restart.",
    )
    tls_key: Path | None = Field(default=None, description="The key of the certificate, as PEM without a passphrase.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="Authorities, as PEM, of which every client must show a certificate; absent: clients show none.",
    )
    insecure_plaintext: bool = Field(
        default=False, description="Allow addresses that other machines can reach without TLS, as behind a mesh."
    )
    access_file: Path | None = Field(
        default=None,
        description="Who may call: the file that `imagebatch token create` writes. It is read again when it changes. "
        "With neither it nor an OpenID issuer, everybody may call, as a writer of the tenant `default`.",
    )
    openid_issuer: str | None = Field(
        default=None, description="The OpenID provider whose tokens (JWT) count, as its tokens name it (iss)."
    )
    openid_audience: str | None = Field(default=None, description="Whom its tokens must be for (aud).")
    openid_tenant_claim: str = Field(
        default="tenant", description="The claim that names the caller's tenant; dots lead into objects."
    )
    openid_roles_claim: str = Field(
        default="roles", description="The claim that lists the caller's roles: reader, writer, operator; likewise."
    )
    openid_leeway_s: Seconds = Field(
        default=10.0, ge=0, le=15, description="How far the provider's clock may be from this machine's."
    )
    openid_ca: Path | None = Field(
        default=None, description="The authority of the provider's certificate, as PEM; absent: the system's."
    )
    insecure_anonymous: bool = Field(
        default=False, description="Allow addresses that other machines can reach without asking who calls."
    )
    max_calls_per_principal: Count = Field(
        default=1_000, ge=1, description="Unary calls of one caller at one time, where callers are asked who they are."
    )
    max_streams_per_principal: Count = Field(
        default=1_000, ge=1, description="Watches, uploads, downloads and streamed submits of one caller, likewise."
    )
    max_connections_per_principal: Count = Field(
        default=1_000, ge=1, description="Connections on which one caller has calls under way, likewise."
    )
    audit_log: Path | None = Field(
        default=None,
        description="A file that gets one JSON line for each call that changes something, and for each that is refused "
        "to; absent: none is written.",
    )
    public_info: bool = Field(
        default=False,
        description="Answer GetServerInfo and reflection also to those who show nothing, where others must.",
    )
    max_failed_attempts_per_minute: Count = Field(
        default=60,
        ge=1,
        description="Calls of one address that may show what does not count; of more, none is judged. Tokens known to "
        "be good go on.",
    )

    @field_validator("openid_issuer")
    @classmethod
    def _is_an_issuer(cls, value: str | None) -> str | None:
        if value is not None and not _ISSUER.match(value):
            raise ValueError("must begin with https://, or with http:// and this machine's own address, for tests")
        return value

    object_store_url: str | None = Field(
        default=None,
        description="Where images are kept: s3://bucket/prefix, gs://bucket/prefix or az://container/prefix, with "
        "endpoint and credentials from where the provider's SDK finds them; absent: a folder in the data folder.",
    )

    @field_validator("object_store_url")
    @classmethod
    def _is_a_bucket(cls, value: str | None) -> str | None:
        if value is not None and not _BUCKET_URL.fullmatch(value):
            raise ValueError("must be s3://bucket/prefix, gs://bucket/prefix or az://container/prefix, without a query")
        return value

    lease_s: Seconds = Field(
        default=3.0,
        ge=2,
        le=60,
        description="How long a server on PostgreSQL that says nothing keeps its batches before another one runs "
        "them; after a crash they go on at once.",
    )
    workers: Count = Field(
        default_factory=lambda: min(256, _SHARE.processors),
        ge=1,
        le=256,
        description="Worker processes that run operations; absent: one for each processor that the server may use, by "
        "its affinity and its container's quota.",
    )
    ray_address: str | None = Field(
        default=None,
        description="A Ray cluster whose nodes fetch images and run operations, as host:port of its head, or "
        "ray://host:port of its client server; absent: this machine does.",
    )
    worker_memory_bytes: Bytes = Field(
        default_factory=partial(_memory_default, 0),
        ge=512 * MIB,
        description="Memory that one worker process may use, and the one of asynchronous operations; absent: 4 GiB, or "
        "an equal share of what the machine or the container's limit leaves, and 512 MiB at the least.",
    )
    max_items_per_submit: Count = Field(default=10_000, ge=1, description="Items of one SubmitBatch.")
    max_items_per_batch: Count = Field(default=1_000_000, ge=1, description="Items of one batch.")
    max_running_batches: Count = Field(
        default=1_000, ge=1, description="Batches of one tenant that are pending or processing at one time."
    )
    max_waiting_items: int | None = Field(
        default=None, ge=1, description="Items of one tenant's running batches without an outcome; absent: no limit."
    )
    max_stored_bytes: Bytes | None = Field(
        default=None,
        ge=1,
        description="Bytes of one tenant's stored images, past which it may upload no more; absent: no limit.",
    )
    max_requests_per_s: float | None = Field(
        default=None, gt=0, description="Calls of one tenant a second, on the average; absent: no limit."
    )
    max_requests_burst: int | None = Field(
        default=None,
        ge=1,
        description="Calls of one tenant at once after a pause, where their rate is limited; absent: as many as come "
        "in a second.",
    )
    tenants_file: Path | None = Field(
        default=None,
        description="What tenants may have that differs from these settings (TOML, a table for each tenant, see "
        "docs/tenants.md); it is read anew when it changes. Absent: nothing differs.",
    )
    max_request_bytes: Bytes = Field(
        default=32 * MIB, ge=MIB, description="Bytes of one request; fewer where the limit on memory is low."
    )
    request_memory_bytes: Bytes = Field(
        default=512 * MIB,
        ge=7 * MIB,
        description="Memory for requests that come in and are worked on, seven times their size each; less where the "
        "limit on memory is low.",
    )
    max_calls: Count = Field(default=2_000, ge=1, description="Unary calls that are answered at one time.")
    max_watches: Count = Field(default=5_000, ge=1, description="Watches open at one time.")
    max_transfers: Count = Field(
        default=500,
        ge=1,
        description="Uploads, downloads and streamed submits under way at one time; fewer where the limit on open "
        "files is low. Where one more comes, the idlest makes room.",
    )
    max_transfer_idle_s: Seconds = Field(
        default=300.0, gt=0, description="Time after which a transfer whose caller moves next to nothing is ended."
    )
    max_connections: Count = Field(
        default=10_000,
        ge=1,
        description="Connections open at one time; fewer where the limit on open files is low. Where they are many, "
        "idle ones are closed, the idlest first.",
    )
    max_connection_idle_s: Seconds = Field(
        default=3_600.0, gt=0, le=2_000_000, description="Time after which a connection without a call is closed."
    )
    max_image_bytes: Bytes = Field(default=50 * MIB, ge=1, description="Bytes of one image.")
    max_image_pixels: Count = Field(default=100_000_000, ge=1, description="Pixels of one image, width * height.")
    max_redirects: Count = Field(default=5, ge=0, description="Redirects that a fetch follows.")
    fetches: Count = Field(
        default=64,
        ge=1,
        description="Images being fetched at one time; one that takes over half a second lends its place to another.",
    )
    fetches_per_host: Count = Field(
        default=8, ge=1, description="Images being fetched from one host at one time, by all servers."
    )
    fetches_per_batch: Count = Field(
        default_factory=partial(_share_of_fetches, 0.75),
        ge=1,
        description="Images being fetched for one batch at one time, and for those that are slow four times as many; "
        "absent: three quarters of --fetches. They may hold the same share of --fetch-memory-bytes.",
    )
    fetches_per_tenant: Count = Field(
        default_factory=partial(_share_of_fetches, 0.875),
        ge=1,
        description="The same for one tenant; absent: seven eighths of --fetches.",
    )
    fetches_per_network: Count = Field(
        default_factory=partial(_share_of_fetches, 0.5),
        ge=1,
        description="The same for one network of hosts, a /24 of IPv4 or a /64 of IPv6; absent: half of --fetches.",
    )
    fetch_host_rate: float | None = Field(
        default=None,
        gt=0,
        description="Fetches that may begin at one host in a second, of all servers; absent: as many as it bears.",
    )
    fetch_patience_s: Seconds = Field(
        default=3_600.0,
        ge=0,
        description="Time that an item waits for a host, or an endpoint, that is asked too much; then it "
        "fails with FETCH_FAILED or PROVIDER_ERROR.",
    )
    fetch_memory_bytes: Bytes = Field(
        default_factory=partial(_memory_default, 1),
        ge=MIB,
        description="Memory for images that are being fetched; absent: 512 MiB, or an eighth of what the machine or "
        "the container's limit has, if that is less.",
    )
    ready_memory_bytes: Bytes = Field(
        default_factory=partial(_memory_default, 2),
        ge=MIB,
        description="Memory for images that wait for a worker or are with one; and as much for those that wait for an "
        "asynchronous operation or are with one. Absent: half of the default for fetching.",
    )
    warm_operations: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(), description="Operations, with commas between, that workers load before they are first asked for."
    )
    token_prices: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(),
        description="What a million tokens of requests and of answers cost, by model or operation, with commas "
        "between, such as gpt-5-mini=0.25/2,describe=0.15/0.6; GetServerInfo tells it, and the page shows costs.",
    )
    token_currency: str = Field(
        default="USD", pattern="^[A-Z]{3}$", description="The currency of these prices (ISO 4217)."
    )

    @field_validator("token_prices")
    @classmethod
    def _are_prices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        token_prices(value, "USD")
        return value

    fetch_ca_file: Path | None = Field(
        default=None,
        description="Certificates (PEM) of authorities that image hosts' are trusted by, beside the system's, which "
        "the variable SSL_CERT_FILE may replace.",
    )
    fetch_headers: Path | None = Field(
        default=None,
        description="A TOML file of headers for private image hosts, a table for each host or `*.domain`. It is read "
        "again when it changes.",
    )
    fetch_proxy: Annotated[str, AfterValidator(_proxy)] | None = Field(
        default=None,
        description="A proxy that images are fetched through, http://user:password@host:port; see docs/fetching.md for "
        "what it has to guard. Those of the environment are ignored.",
        repr=False,
    )
    fetch_allowed_hosts: Annotated[
        tuple[Annotated[str, AfterValidator(host_alone)], ...], NoDecode, BeforeValidator(_listed)
    ] = Field(
        default=(), description="Host names, with commas between, that may be fetched from although they are private."
    )
    fetch_allowed_networks: Annotated[
        tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...], NoDecode, BeforeValidator(_listed)
    ] = Field(default=(), description="Networks, such as 10.1.0.0/16, likewise.")
    webhook_secrets_file: Path | None = Field(
        default=None,
        description="The tenants' secrets by which notifications of ended batches are signed, made by `imagebatch "
        "webhook`; it is read anew when it changes. Absent: nobody is notified.",
    )
    notify_allowed_networks: Annotated[
        tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...], NoDecode, BeforeValidator(_listed)
    ] = Field(
        default=(),
        description="Private networks, such as 10.1.0.0/16, whose receivers may be notified, there by http too.",
    )
    retention_s: Seconds | None = Field(
        default=None, gt=0, description="Time after which a batch that has ended is deleted; absent: never."
    )
    tidy_every_s: Seconds = Field(
        default=300.0, gt=0, description="Time between rounds that remove expired batches and unreferenced images."
    )
    start_patience_s: Seconds = Field(
        default=60.0, ge=0, description="Time for which a start waits for a database that is away, starting or locked."
    )
    quarantine_s: Seconds = Field(
        default=30 * 86_400.0,
        gt=0,
        description="Time for which an image that the database does not know is kept aside before it is removed.",
    )
    sweep_max_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="The largest share of all images that is set aside in one round, because the database does not "
        "know them; if there are more, none is.",
    )
    stop_grace_s: Seconds = Field(
        default=25.0, ge=0, description="Time that work in flight is given to end when the server is stopped."
    )
    previews: bool | None = Field(
        default=None,
        description="Whether each item's image is kept as a JPEG of at most 256 pixels, for preview_url; absent: where "
        "there is an HTTP port or a bucket, whose URLs a browser can show.",
    )
    http_address: Address | None = Field(
        default=None,
        description="Where to answer HTTP too, as host:port: the contract by Connect and gRPC-Web, images, health, "
        "metrics; absent: nowhere.",
    )
    public_url: str | None = Field(
        default=None,
        description="What the world calls the HTTP port, such as https://images.example.com; absent: http and "
        "--http-address, which must then be of this machine alone.",
    )
    http_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(),
        description="Web pages, with commas between, that may call the HTTP port (CORS), such as "
        "https://dashboard.example.com; * is every page.",
    )
    page: bool = Field(
        default=True, description="Whether the HTTP port shows its page, for people, at `/`; see docs/page.md."
    )

    signed_url_lifetime_s: Seconds = Field(
        default=3_600.0,
        ge=60,
        le=7 * 86_400,
        description="Time for which a signed URL of an image, to read or to upload it, is good.",
    )

    @field_validator("ray_address")
    @classmethod
    def _is_a_cluster(cls, value: str | None) -> str | None:
        if value is not None and not _RAY_ADDRESS.fullmatch(value):
            raise ValueError("must be host:port of a Ray cluster's head, such as 10.1.0.5:6379, or ray://host:10001")
        return value

    @field_validator("public_url")
    @classmethod
    def _is_a_base(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in value:
            raise ValueError("must be an http(s) URL with a host, without user, query or fragment")
        return value.rstrip("/")

    metrics_address: Address | None = Field(
        default=None, description="Where Prometheus may ask for metrics over HTTP, as host:port; absent: nowhere."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="How log lines look; auto: console on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged."
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="A collector that traces go to by OTLP over gRPC, such as http://localhost:4317; needs the extra "
        "imagebatch[otel], see docs/tracing.md. Absent: no traces.",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_a_collector(cls, value: str | None) -> str | None:
        parts = None if value is None else urlsplit(value)
        if parts is not None and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
            raise ValueError(
                "must be an http(s) URL of a collector's OTLP port for gRPC, such as http://localhost:4317"
            )
        return value

    trace_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="The share of calls that begin a trace, of those whose callers have none; a caller that has one "
        "decides by itself.",
    )
    trace_item_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="The share of a traced batch's items that have spans, the first item always, unless it is 0.",
    )
    log_gather_s: Seconds = Field(
        default=10.0,
        ge=0,
        description="Of items that fail alike (batch and code), and of requests that are refused alike (rpc and "
        "reason), the first has a log line, and then one so often tells of all that followed; 0: each has its own.",
    )

    def of_operations(self) -> Configuration:
        """Answer what is set for operations."""
        return Configuration.holding(*(getattr(self, section) for section in self.sections))


def settings_with(kinds: Iterable[type[OperationSettings]]) -> type[Settings]:
    """Add sections of operations to the server's own settings. Raises ValueError for a section that is taken."""
    sections: dict[str, type[OperationSettings]] = {}
    for kind in kinds:
        taken = [name for name in Settings.model_fields if name.partition("_")[0] == kind.section]
        if kind.section in sections or taken:
            by = sections[kind.section].__qualname__ if kind.section in sections else f"the setting {taken[0]}"
            raise ValueError(f"the section {kind.section!r} of {kind.__module__}.{kind.__qualname__} is taken by {by}")
        sections[kind.section] = kind
    fields: dict[str, Any] = {name: (kind, Field(default_factory=kind)) for name, kind in sections.items()}
    made = create_model(Settings.__name__, __base__=Settings, **fields)
    made.sections = sections
    return made


@dataclass(frozen=True)
class Named:
    """One setting as its operator knows it."""

    name: str
    """`data_dir`, or `openai_base_url` of the section `openai`; in capitals, the variable but for its prefix."""
    section: str | None
    description: str
    default: str
    """Empty where it is absent or depends on the machine."""
    is_switch: bool = False
    """Whether it is on or off; its flag takes no value."""

    @property
    def variable(self) -> str:
        """Name the environment variable."""
        return env_name(self.name)


def named(settings: type[Settings]) -> list[Named]:
    """List every setting, those of sections last."""
    own = [_named(name, None, field) for name, field in settings.model_fields.items() if name not in settings.sections]
    of_sections = [
        _named(f"{section}_{name}", section, field)
        for section, kind in settings.sections.items()
        for name, field in kind.model_fields.items()
    ]
    return [*own, *of_sections]


def env_name(setting: str) -> str:
    """Name the environment variable of a setting."""
    return ENV_PREFIX + setting.upper()


OF_CLIENTS = (
    "address",
    "config",
    "insecure_plaintext",
    "profile",
    "tenant",
    "tls",
    "tls_ca",
    "tls_client_certificate",
    "tls_client_key",
    "tls_server_name",
    "token",
    "token_file",
)
"""What the client and its command line read by the same prefix."""
_OF_KUBERNETES = re.compile(r"(\w+_)?(service_(host|port)(_\w+)?|port(_\d+_(tcp|udp|sctp)(_(proto|port|addr))?)?)")
"""What it sets in every container for a Service that is called imagebatch, or imagebatch- and more."""


def unknown_variables(settings: type[Settings], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Tell of each variable with our prefix that nobody reads: a typing mistake must not pass for a default."""
    known = [*(one.name for one in named(settings)), *OF_CLIENTS]
    problems = []
    for name in sorted(environ):
        setting = name.removeprefix(ENV_PREFIX).lower()
        if name.startswith(ENV_PREFIX) and setting not in known and not _OF_KUBERNETES.fullmatch(setting):
            close = get_close_matches(setting, known, n=1)
            remedy = f"did you mean {env_name(close[0])}?" if close else "`imagebatch serve --help` names all; unset it"
            problems.append(f"{name} is no setting of this server; {remedy}")
    return problems


def _named(name: str, section: str | None, field: FieldInfo) -> Named:
    is_absent = field.default_factory is not None or field.default in (None, ())
    shown = "" if is_absent else str(field.default)
    return Named(name, section, field.description or "", shown, is_switch=field.annotation is bool)
