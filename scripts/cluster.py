"""`make cluster`: the parts of deploy/compose.yaml as plain processes of this machine, and two nodes of a Ray cluster.

Everything is in one temporary folder, and ends with Ctrl-C, or when this process is killed: what runs is the child of a
process that sees its parent's end; and where that one is killed, its parent clears away behind it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from tests.conftest import postgres_programs
from tests.object_servers import SeaweedServer
from tests.postgres import own_server
from tests.ray_cluster import RayCluster, RayNode, ray_cluster
from tests.server import REPOSITORY, ServerProcess, free_port

from cluster_demo import described, show
from deployment_secrets import HOSTS, make_secrets

COMPOSE = REPOSITORY / "deploy" / "compose.yaml"
IMAGE = "imagebatch"
MOUNTED = "/run/secrets"
STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Server:
    """One that runs."""

    name: str
    process: ServerProcess
    url: str
    """Of its HTTP port."""


@dataclass(frozen=True)
class Cluster:
    """Where everything is."""

    secrets: Path
    database: str
    object_store: str
    servers: list[Server]
    ray: RayCluster | None

    @property
    def address(self) -> str:
        """All servers, as gRPC takes several addresses; certificates are for names, `SERVER_NAME` among them."""
        return "ipv4:" + ",".join(server.process.address for server in self.servers)


SERVER_NAME = HOSTS[0]
NODES = ("node-1", "node-2")


def services() -> dict[str, dict[str, Any]]:
    """Read the servers among the composition's services."""
    composed = yaml.safe_load(COMPOSE.read_text())
    return {name: service for name, service in composed["services"].items() if service["image"] == IMAGE}


def settings_here(service: Mapping[str, Any], own: Mapping[str, str], secrets: Path) -> dict[str, str]:
    """Turn a service's settings into those of a process: `own` ones, and secrets where they are on this machine."""
    given = {
        name.removeprefix("IMAGEBATCH_").lower(): str(value).replace(MOUNTED, str(secrets))
        for name, value in service["environment"].items()
        if name.startswith("IMAGEBATCH_") and name != "IMAGEBATCH_ADDRESS"  # chosen by the process
    }
    return {**given, **own}


@contextmanager
def running_cluster(folder: Path, *, with_ray: bool) -> Iterator[Cluster]:
    """Start everything in `folder`, and stop it after the block, servers first."""
    secrets = folder / "secrets"
    make_secrets(secrets)
    with ExitStack() as opened:
        postgres = opened.enter_context(own_server())
        database = postgres.create_database()
        (folder / "objects").mkdir()
        objects = SeaweedServer(folder / "objects")
        opened.callback(objects.kill)
        objects.start()
        os.environ.update(objects.environment)
        shared = {"database_url": database, "object_store_url": objects.url("images"), "warm_operations": "describe"}
        ray = opened.enter_context(ray_cluster(folder, objects.environment)) if with_ray else None
        if ray is not None:
            os.environ.update(ray.secrets)
            shared["ray_address"] = ray.address
        servers = []
        for name, service in services().items():
            http = f"127.0.0.1:{free_port()}"
            own = {
                **shared,
                "audit_log": str(folder / f"{name}-audit.jsonl"),
                "http_address": http,
                "public_url": f"https://{http}",
            }
            process = ServerProcess(folder / name, settings_here(service, own, secrets))
            process.start()
            opened.callback(_stop, process)
            servers.append(Server(name, process, f"https://{http}"))
        yield Cluster(secrets, database, objects.environment["AWS_ENDPOINT_URL"], servers, ray)


def _stop(process: ServerProcess) -> None:
    if process.is_running:
        process.stop()


def describe(cluster: Cluster) -> str:
    """Tell where everything is and how it is used."""
    lines = [f"PostgreSQL    {cluster.database}", f"object store  {cluster.object_store}"]
    lines += [f"{server.name:<12}  {server.process.address}, {server.url}" for server in cluster.servers]
    if cluster.ray is not None:
        lines.append(f"Ray           {cluster.ray.address}, a head and the nodes {', '.join(NODES)}")
    first = cluster.servers[0]
    return "\n".join(
        [
            *lines,
            "",
            "# one client of all servers, which takes them in turn:",
            f"export IMAGEBATCH_ADDRESS={cluster.address}",
            f"export IMAGEBATCH_TLS_CA={cluster.secrets / 'ca.pem'} IMAGEBATCH_TLS_SERVER_NAME={SERVER_NAME}",
            f"export IMAGEBATCH_TOKEN_FILE={cluster.secrets / 'demo.token'}",
            "imagebatch submit photos/ --operation describe --watch",
            "",
            "# a server's figures:",
            f'token="$(cat {cluster.secrets / "prometheus.token"})"',
            f'curl --cacert {cluster.secrets / "ca.pem"} --header "Authorization: Bearer $token" {first.url}/metrics',
            "",
        ]
    )


def _worked(cluster: Cluster) -> dict[str, float]:
    """Add up the processor time of each node's workers, in seconds."""
    nodes = [] if cluster.ray is None else cluster.ray.nodes
    return {name: _worked_s(node) for name, node in zip(NODES, nodes, strict=False)}


def _worked_s(node: RayNode) -> float:
    taken_s = 0.0
    for process in node.named("imagebatch_server.executors.child"):
        with suppress(psutil.Error):
            taken_s += sum(process.cpu_times()[:2])
    return taken_s


def _inside(folder: Path, *, demo: bool, with_ray: bool, images: Path | None) -> int:
    """Run the cluster until whoever started this process closes its input, or is no more."""
    try:
        with running_cluster(folder, with_ray=with_ray) as cluster:
            print(describe(cluster), flush=True)
            if demo:
                before = _worked(cluster)
                addresses = {each.name: each.process.address for each in cluster.servers}
                code = show(cluster.address, addresses, cluster.secrets, images)
                print("\nwho did what:")
                for each in cluster.servers:
                    print(f"  {each.name} recorded {described(each.url, cluster.secrets):.0f} images")
                for name, taken_s in _worked(cluster).items():
                    print(f"  {name} described for {taken_s - before[name]:.1f} s of processor time")
                return code
            print("Ctrl-C ends all of it, and leaves nothing behind.", flush=True)
            sys.stdin.read()
        return 0
    finally:
        shutil.rmtree(folder)


def _outside(arguments: list[str]) -> int:
    """Run the cluster in a session of its own, which Ctrl-C does not reach, so that it ends in good order."""
    folder = Path(tempfile.mkdtemp(prefix="imagebatch-cluster-"))
    folder.chmod(0o711)  # root's PostgreSQL runs as another user; what is secret is in folders of its own
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    inside = subprocess.Popen(
        [sys.executable, __file__, *arguments, "--inside", str(folder)],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(folder)},
        start_new_session=True,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return inside.wait()
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with suppress(subprocess.TimeoutExpired):
            inside.communicate(timeout=STOP_TIMEOUT_S)  # closes its input
        return 0
    finally:
        _clear_away(folder)


def _clear_away(folder: Path) -> None:
    """Kill what is left, which is nothing unless the process within was killed, and remove the folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(folder):
                process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Start the cluster, and end it when told."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--demo", action="store_true", help="describe photographs on it, and end")
    parser.add_argument("--without-ray", action="store_true", help="have the servers run the operations themselves")
    parser.add_argument("--images", type=Path, help="a folder of pictures for the demo")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if postgres_programs() is None:
        parser.error("PostgreSQL's programs are not installed: make postgres")
    if arguments.images is not None and not arguments.images.is_dir():
        parser.error(f"--images: {arguments.images} is no folder; give one with pictures")
    if arguments.inside is None:
        return _outside(sys.argv[1:])
    with_ray = not arguments.without_ray
    return _inside(arguments.inside, demo=arguments.demo, with_ray=with_ray, images=arguments.images)


if __name__ == "__main__":
    sys.exit(main())
