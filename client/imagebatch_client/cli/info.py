"""`imagebatch info`: what server this is, and how it is."""

from __future__ import annotations

from dataclasses import asdict

import typer

from imagebatch_client.cli import options, render
from imagebatch_client.cli.connection import connect, settings_of
from imagebatch_client.cli.terminal import put
from imagebatch_client.texts import one_line


def info(ctx: typer.Context, as_json: options.AsJson = False) -> None:
    """Print the server's version, health and limits.

    \b
    Examples:
      imagebatch info
      imagebatch info --json | jq .limits.max_image_bytes
    """
    with connect(ctx) as client:
        server = client.server_info()
    if as_json:
        put(render.as_json(server))
        return
    lines = {
        "address": settings_of(ctx).address,
        "version": server.version,
        "state": "stopping" if server.draining else "serving",
        "workers": f"{server.workers.alive} alive, {server.workers.restarted} restarted",
        "features": ", ".join(server.features),
    }
    for price in server.token_prices:
        lines[f"a million tokens of {price.name}"] = (
            f"{price.input_per_million:g} in, {price.output_per_million:g} out, {price.currency}"
        )
    for name, value in asdict(server.limits).items():
        unit = f" ({render.size(value)})" if name.endswith("_bytes") else ""
        lines[name.replace("_", " ")] = f"{value:,}{unit}"
    width = max(map(len, lines))
    for name, text in lines.items():
        put(f"{name:<{width}}  {one_line(text)}")
