"""Whose call it is. There is one tenant until tokens name others."""

from __future__ import annotations

from typing import Any

from grpc import aio

DEFAULT_TENANT = "default"


def tenant_of(context: aio.ServicerContext[Any, Any]) -> str:
    """The tenant whose batches and objects the call may touch."""
    return DEFAULT_TENANT
