"""A Ray cluster for tests: its nodes are processes of this machine, one of them on a network of its own.

Nothing is ended by name: others may run Ray here too.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from tests.server import free_port

START_TIMEOUT_S = 90.0
_TRIES = 10
"""Where processors are few, Ray may give up a node before it has come up: a raylet waits 15 s for the processes beside
it, and on a machine with much to do they can take longer several times in a row. That is not what is tested."""

_STARTED = "Ray runtime started"

_QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1_000,
    "health_check_timeout_ms": 1_000,
    "health_check_failure_threshold": 12,
    "gcs_rpc_server_reconnect_timeout_s": 5,
}
"""How soon Ray notices what is gone: seconds rather than minutes, but longer than a test freezes a node."""


class RayNode:
    """One node: `ray start --block` and all that it starts."""

    def __init__(self, options: Sequence[str], environment: Mapping[str, str], log: Path, within: Sequence[str] = ()):
        self._command = [
            *within,
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            "--include-log-monitor=false",
            *options,
        ]
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start it, and wait for nothing."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until it says that it is up."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while _STARTED not in (said := self._log.read_text(errors="replace")):
            if not self.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"Ray did not start:\n{said[-4000:]}")
            time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        """Whether its first process runs: it ends with the others."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """List what it consists of, from the first process on."""
        if not self.is_running:
            return []
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def named(self, part: str) -> list[psutil.Process]:
        """List its processes whose command line has this part."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if part in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of it."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.send_signal(number)

    def kill(self) -> None:
        """Kill all of it."""
        processes = self.processes()
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=10)
        if self._process is not None:
            self._process.wait()


class Network:
    """A network that one node has for itself, with a cable to this machine that can be pulled. Needs root."""

    def __init__(self) -> None:
        number = secrets.randbelow(60) * 4
        self._name = f"ib{os.getpid() % 100_000}"
        third = secrets.randbelow(250)
        self.host, self.node = f"10.213.{third}.{number + 1}", f"10.213.{third}.{number + 2}"
        self._ip("netns", "add", self._name)
        self._ip("link", "add", f"{self._name}h", "type", "veth", "peer", "name", f"{self._name}n")
        self._ip("link", "set", f"{self._name}n", "netns", self._name)
        self._ip("addr", "add", f"{self.host}/30", "dev", f"{self._name}h")
        self._ip("link", "set", f"{self._name}h", "up")
        self._ip("-n", self._name, "addr", "add", f"{self.node}/30", "dev", f"{self._name}n")
        for device in ("lo", f"{self._name}n"):
            self._ip("-n", self._name, "link", "set", device, "up")
        self._ip("-n", self._name, "route", "add", "default", "via", self.host)

    @property
    def within(self) -> Sequence[str]:
        """What runs a command there."""
        return ("ip", "netns", "exec", self._name)

    def cut(self) -> None:
        """Let nothing through, either way, and tell nobody."""
        self._iptables("-A")

    def mend(self) -> None:
        """Let everything through again."""
        self._iptables("-D")

    def remove(self) -> None:
        """Take it away; the cable goes with it."""
        self._ip("netns", "del", self._name)

    def _iptables(self, act: str) -> None:
        for chain, side in (("INPUT", "-i"), ("OUTPUT", "-o")):
            rule = (act, chain, side, f"{self._name}n", "-j", "DROP")
            self._ip("netns", "exec", self._name, "iptables", *rule)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(("ip", *arguments), check=True, capture_output=True)


class RayCluster:
    """A head without processors, and nodes with one each, none at first; one may be on a network of its own.

    `environment` is added to what nodes are started with.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], network: Network | None = None) -> None:
        self._folder = folder
        self.network = network
        host = "127.0.0.1" if network is None else network.host
        self.address = f"{host}:{free_port()}"
        # What Ray makes of its folder are sockets, whose paths must be short.
        self._temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        self.secrets = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        """What a process needs to take part."""
        given = {
            **os.environ,
            **self.secrets,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "60",
            # Ray would run agents at a priority so low that beside other work they do not come up in a minute.
            "RAY_worker_niceness": "0",
            **environment,
        }
        self._environment = {name: value for name, value in given.items() if not name.startswith("IMAGEBATCH_")}
        port = self.address.rpartition(":")[2]
        self.head = self._node(
            "head", "--head", f"--port={port}", f"--node-ip-address={host}", "--num-cpus=0",
            "--include-dashboard=false", f"--ray-client-server-port={free_port()}", f"--temp-dir={self._temporary}",
            f"--system-config={json.dumps(_QUICK)}",
        )  # fmt: skip
        self._host = host
        self.nodes: list[RayNode] = []

    def add(self, *given: str, is_far: bool = False) -> RayNode:
        """Have one more node, started with the others; one that `is_far` is on the network, if there is one."""
        host, within = self._host, list[str]()
        if is_far and self.network is not None:
            host, within = self.network.node, list(self.network.within)
        options = (f"--address={self.address}", f"--node-ip-address={host}", "--num-cpus=1", *given)
        self.nodes.append(self._node(str(len(self.nodes)), *options, within=within))
        return self.nodes[-1]

    def _node(self, name: str, *options: str, within: Sequence[str] = ()) -> RayNode:
        store = ("--object-store-memory=80000000",)
        return RayNode((*options, *store), self._environment, self._folder / f"ray-{name}.log", within)

    def start(self) -> None:
        """Start the head, then the nodes; what runs already is left alone.

        One after the other: nodes of one machine that start at the same time may choose the same socket.
        """
        for node in (self.head, *self.nodes):
            for tries_left in reversed(range(_TRIES)):
                if node.is_running:
                    break
                node.spawn()
                try:
                    node.wait()
                except RuntimeError:
                    node.kill()
                    if not tries_left:
                        raise

    def kill(self) -> None:
        """Kill all of it."""
        for node in (*self.nodes, self.head):
            node.kill()

    def close(self) -> None:
        """Kill it, and remove what it made."""
        self.kill()
        shutil.rmtree(self._temporary, ignore_errors=True)


@contextmanager
def ray_cluster(folder: Path, environment: Mapping[str, str], network: Network | None = None) -> Iterator[RayCluster]:
    """Have a cluster of two nodes while the block runs; the second is far, if there is a network."""
    cluster = RayCluster(folder, environment, network)
    cluster.add()
    cluster.add(is_far=True)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
