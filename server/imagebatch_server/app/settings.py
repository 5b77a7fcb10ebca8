"""The server's settings: environment variables `IMAGEBATCH_*`, each also a flag of `imagebatch serve`.

The only place that reads the environment.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ENV_PREFIX = "IMAGEBATCH_"

MIB = 1024 * 1024


def _listed(value: object) -> object:
    """A list written with commas, as in an environment variable."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """Every setting, with its default. Sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    address: str = Field(
        default="127.0.0.1:50051", description="Where to listen; port 0 takes a free port, which is printed."
    )
    data_dir: Path = Field(
        default=Path("imagebatch-data"), description="The data folder: database, images, lock. Made if it is missing."
    )
    database_url: str | None = Field(
        default=None,
        description="A PostgreSQL database (postgresql+psycopg://user@host/name); absent: SQLite in the data folder.",
    )

    @field_validator("database_url")
    @classmethod
    def _is_a_database_we_know(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("postgresql+psycopg://"):
            raise ValueError("must begin with postgresql+psycopg://; leave it out for SQLite in the data folder")
        return value

    workers: int = Field(default=os.cpu_count() or 1, ge=1, le=256, description="Worker processes that run operations.")
    worker_memory_bytes: int = Field(
        default=4096 * MIB,
        ge=512 * MIB,
        description="Memory that one worker process may use, and the one of asynchronous operations.",
    )
    max_items_per_submit: int = Field(default=10_000, ge=1, description="Items of one SubmitBatch.")
    max_items_per_batch: int = Field(default=1_000_000, ge=1, description="Items of one batch.")
    max_running_batches: int = Field(
        default=1_000, ge=1, description="Batches that are pending or processing at one time."
    )
    max_request_bytes: int = Field(default=32 * MIB, ge=MIB, description="Bytes of one request.")
    max_image_bytes: int = Field(default=50 * MIB, ge=1, description="Bytes of one image.")
    max_image_pixels: int = Field(default=100_000_000, ge=1, description="Pixels of one image, width * height.")
    max_redirects: int = Field(default=5, ge=0, description="Redirects that a fetch follows.")
    fetches: int = Field(default=64, ge=1, description="Images being fetched at one time.")
    fetches_per_host: int = Field(default=8, ge=1, description="Images being fetched from one host at one time.")
    fetch_memory_bytes: int = Field(default=512 * MIB, ge=MIB, description="Memory for images that are being fetched.")
    ready_memory_bytes: int = Field(
        default=256 * MIB,
        ge=MIB,
        description="Memory for images that wait for a worker or are with one; and as much for those that wait for an "
        "asynchronous operation or are with one.",
    )
    warm_operations: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(), description="Operations, with commas between, that workers load before they are first asked for."
    )
    fetch_allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(), description="Host names, with commas between, that may be fetched from although they are private."
    )
    fetch_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_listed)] = (
        Field(default=(), description="Networks, such as 10.1.0.0/16, likewise.")
    )
    openai_base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]",
        description="An endpoint that speaks OpenAI's API, such as https://api.openai.com/v1 or "
        "http://127.0.0.1:11434/v1; absent: no backend openai.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None, description="Its key, if it wants one. The variable is safer than the flag, which `ps` shows."
    )
    openai_model: str | None = Field(default=None, description="The model for batches that name none.")
    openai_concurrency: int = Field(default=16, ge=1, le=1024, description="Requests to it at one time.")
    openai_requests_per_minute: float | None = Field(
        default=None, gt=0, description="Requests to it in a minute, evenly spread; absent: as many as come."
    )
    retention_s: float | None = Field(
        default=None, gt=0, description="Time after which a batch that has ended is deleted; absent: never."
    )
    tidy_every_s: float = Field(
        default=300.0, gt=0, description="Time between rounds that remove expired batches and unreferenced images."
    )
    stop_grace_s: float = Field(
        default=25.0, ge=0, description="Time that work in flight is given to end when the server is stopped."
    )
    metrics_address: str | None = Field(
        default=None, description="Where Prometheus may ask for metrics over HTTP, as host:port; absent: nowhere."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        default="auto", description="How log lines look; auto: console on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged."
    )


def env_name(setting: str) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + setting.upper()
