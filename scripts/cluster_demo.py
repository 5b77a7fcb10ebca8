"""`make demo CLUSTER=1`: photographs, a batch for each server, and who described them."""

from __future__ import annotations

import re
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagebatch_client import BatchClient, BatchItemResult, ConnectionSettings
from imagebatch_server.app.demo import photographs

DESCRIBED = re.compile(r'^imagebatch_outcomes_total\{.*operation="describe".*status="success".*\} (\S+)$', re.MULTILINE)


def show(address: str, addresses: Mapping[str, str], secrets: Path, images: Path | None) -> int:
    """Submit a batch to each server, and watch them all through whichever is asked next."""
    paths = sorted(path for path in images.iterdir() if path.is_file()) if images else list(photographs())
    batches = {}
    for number, (name, of_server) in enumerate(addresses.items()):
        share = paths[number :: len(addresses)]
        if share:
            with BatchClient(_settings(of_server, secrets)) as client:
                batches[name] = client.submit_files("describe", share).batch_id
    failed = 0
    with BatchClient(_settings(address, secrets)) as client:
        for name, batch_id in batches.items():
            print(f"\nbatch {batch_id}, submitted to {name}")
            for result in client.watch(batch_id):
                failed += result.error_message is not None
                print(f"  {_line(result)}", flush=True)
    return 1 if failed else 0


def _settings(address: str, secrets: Path) -> ConnectionSettings:
    return ConnectionSettings(
        address, tls_ca=secrets / "ca.pem", tls_server_name="imagebatch", token_file=secrets / "demo.token"
    )


def _line(result: BatchItemResult) -> str:
    return f"{result.item_id}: {result.description or result.error_message}"


def described(url: str, secrets: Path) -> float:
    """Ask a server, by the URL of its HTTP port, how many descriptions it has recorded."""
    token = (secrets / "prometheus.token").read_text().strip()
    asked = urllib.request.Request(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - https, of the cluster's own servers
    trusted = ssl.create_default_context(cafile=secrets / "ca.pem")
    with urllib.request.urlopen(asked, context=trusted, timeout=10) as answer:  # noqa: S310 - likewise
        found: Sequence[str] = DESCRIBED.findall(answer.read().decode())
    return sum(map(float, found))
