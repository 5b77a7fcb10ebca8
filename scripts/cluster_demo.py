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


def show(address: str, secrets: Path, urls: Mapping[str, str], images: Path | None) -> int:
    """Submit through all servers in turn, watch each batch through another one, and tell what each server recorded."""
    paths = sorted(path for path in images.iterdir() if path.is_file()) if images else list(photographs())
    settings = ConnectionSettings(
        address, tls_ca=secrets / "ca.pem", tls_server_name="imagebatch", token_file=secrets / "demo.token"
    )
    failed = 0
    with BatchClient(settings) as client:
        shares = [share for share in (paths[number :: len(urls)] for number in range(len(urls))) if share]
        batches = [client.submit_files("describe", share) for share in shares]
        for batch, share in zip(batches, shares, strict=True):
            print(f"\nbatch {batch.batch_id}: {len(share)} images")
            for result in client.watch(batch.batch_id):
                failed += result.error_message is not None
                print(f"  {_line(result)}", flush=True)
    print("\nwho described them:")
    for name, url in urls.items():
        print(f"  {name}: {_described(url, secrets):.0f} images")
    return 1 if failed else 0


def _line(result: BatchItemResult) -> str:
    return f"{result.item_id}: {result.description or result.error_message}"


def _described(url: str, secrets: Path) -> float:
    """Ask a server how many descriptions it has recorded."""
    token = (secrets / "prometheus.token").read_text().strip()
    asked = urllib.request.Request(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    trusted = ssl.create_default_context(cafile=secrets / "ca.pem")
    with urllib.request.urlopen(asked, context=trusted, timeout=10) as answer:  # noqa: S310
        found: Sequence[str] = DESCRIBED.findall(answer.read().decode())
    return sum(map(float, found))
