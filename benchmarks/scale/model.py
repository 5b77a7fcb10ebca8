"""A simulation of many servers on one PostgreSQL, event by event: recorders, submits, leases, the log, Ray's drivers.

Workers are not simulated one by one: a server's workers end items as a Poisson process as fast as they can, unless too
many outcomes wait to be recorded. The rest is: each transaction waits for a processor of the database and for the
log's next flush, which all that wait share.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import simpy

_LEAST_A_S = 1e-3
"""What a server does whose driver can't even ask all of its nodes: next to nothing."""

Events = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Operation:
    """What an item takes a worker, and how large it is."""

    name: str
    item_s: float
    output_bytes: float


# benchmarks/RESULTS.md (describe) and benchmarks/quality/RESULTS.md (thumbnail): images a second of two workers.
DESCRIBE = Operation("describe", 2 / 5.95, 1_300)
THUMBNAIL = Operation("thumbnail", 2 / 171, 300)


@dataclass(frozen=True)
class Costs:
    """What was measured on two cores; `docs/scale.md` says where each is from."""

    server_item_s: float = 75e-6
    """Of the server's own process, which is one thread for most of it."""
    driver_call_s: float = 500e-6
    """Of a Ray driver's processor, a call of an actor."""
    driver_waits_s: float = 1.0
    """How long a node that has nothing to tell lets a driver's question wait: so often each node is asked."""
    gather_s: float = 0.01
    """How long a node gathers outcomes before it tells a driver of them."""
    transaction_s: float = 424e-6
    row_s: float = 13.3e-6
    """Of a transaction that records, and of each of its rows."""
    submit_row_s: float = 4.1e-6
    idle_server_s: float = 3e-3
    """Of the database's processors, in each second, for a server's lease and its looks for batches to take over."""
    item_wal_bytes: float = 1_390
    """Of a no-op item, submitted and recorded; longer outputs add their length."""
    item_stored_bytes: float = 1_250
    noop_output_bytes: float = 384.0
    recorder_every_s: float = 0.1
    most_rows: int = 1_000
    """Of one transaction."""
    lease_s: float = 3.0


@dataclass(frozen=True)
class Service:
    """How large it is, and what its database stands on; the latter is assumed."""

    servers: int = 100
    workers: int = 10_000
    workers_a_node: int = 8
    nodes_a_driver: int | None = None
    """None: as it is, every server's driver is linked with every node."""
    databases: int = 1
    """Of which each has a part of the tenants, and of the servers."""
    processors: int = 32
    """Of a database's machine."""
    log_bytes_a_s: float = 500e6
    flush_s: float = 1e-3
    listener_s: float = 20e-6
    """Of the database's processor, to wake one server that listens to news."""
    watched_elsewhere: float = 0.1
    """The share of commits that another server has to hear of."""

    def of_one_database(self) -> Service:
        """Leave what one of several equal databases has to do."""
        return replace(
            self, servers=self.servers // self.databases, workers=self.workers // self.databases, databases=1
        )


@dataclass
class Outcome:
    """What came of a run."""

    recorded: int = 0
    commits_s: list[float] = field(default_factory=list)
    leases_s: list[float] = field(default_factory=list)
    busy_s: float = 0.0
    """Of the database's processors."""
    written_bytes: float = 0.0
    measured_s: float = 0.0
    items_a_s: float = 0.0


class Database:
    """Processors that transactions take turns at, and a log whose flushes are shared."""

    def __init__(self, env: simpy.Environment, service: Service, outcome: Outcome) -> None:
        self._env = env
        self._service = service
        self._outcome = outcome
        self._processors = simpy.Resource(env, service.processors)
        self._notifying = simpy.Resource(env, 1)  # PostgreSQL commits notifications one at a time
        self._waiting: list[tuple[float, simpy.Event]] = []
        self._wake = env.event()
        self.is_measured = False
        env.process(self._log())

    def work(self, processor_s: float) -> Events:
        """Take a processor for a time."""
        with self._processors.request() as turn:
            yield turn
            yield self._env.timeout(processor_s)
        if self.is_measured:
            self._outcome.busy_s += processor_s

    def commit(self, processor_s: float, log_bytes: float) -> Events:
        """Run a transaction, and wait until it is on the disk."""
        yield from self.work(processor_s)
        flushed = self._env.event()
        self._waiting.append((log_bytes, flushed))
        if not self._wake.triggered:
            self._wake.succeed()
        yield flushed

    def notify(self) -> Events:
        """Tell all servers of something."""
        with self._notifying.request() as turn:
            yield turn
            yield from self.work(self._service.servers * self._service.listener_s)

    def _log(self) -> Events:
        while True:
            yield self._wake
            self._wake = self._env.event()
            while self._waiting:
                taken, self._waiting = self._waiting, []
                size = sum(log_bytes for log_bytes, _ in taken)
                yield self._env.timeout(self._service.flush_s + size / self._service.log_bytes_a_s)
                if self.is_measured:
                    self._outcome.written_bytes += size
                for _, flushed in taken:
                    flushed.succeed()


def simulate(
    service: Service, operation: Operation, costs: Costs, *, seed: int, warm_s: float = 3.0, measured_s: float = 6.0
) -> Outcome:
    """Run the service under full load until it is steady, and for `measured_s` more."""
    one = service.of_one_database()
    env, chance, outcome = simpy.Environment(), random.Random(seed), Outcome()
    database = Database(env, one, outcome)
    for _ in range(one.servers):
        _Server(env, one, operation, costs, database, outcome, chance).start()
    env.run(warm_s)
    database.is_measured = True
    before = outcome.recorded
    outcome.commits_s.clear()
    outcome.leases_s.clear()
    env.run(warm_s + measured_s)
    outcome.measured_s = measured_s
    outcome.items_a_s = (outcome.recorded - before) / measured_s * service.databases
    return outcome


class _Server:
    _TICK_S = 0.05

    def __init__(
        self,
        env: simpy.Environment,
        service: Service,
        operation: Operation,
        costs: Costs,
        database: Database,
        outcome: Outcome,
        chance: random.Random,
    ) -> None:
        self._env, self._service, self._costs = env, service, costs
        self._database, self._outcome, self._chance = database, outcome, chance
        self._rate = max(_LEAST_A_S, most_items_a_s(service, operation, costs))
        output_bytes = operation.output_bytes - costs.noop_output_bytes
        self._log_bytes = costs.item_wal_bytes + max(0.0, output_bytes)
        self._backlog = 0

    def start(self) -> None:
        for part in (self._work(), self._record(), self._submit(), self._renew()):
            self._env.process(part)

    def _later(self) -> simpy.Event:
        """Begin at another time than the other servers."""
        return self._env.timeout(self._chance.random())

    def _work(self) -> Events:
        yield self._later()
        while True:
            yield self._env.timeout(self._TICK_S)
            # Workers wait while the recorder is far behind: what is in flight is bounded.
            if self._backlog < 2 * self._costs.most_rows:
                self._backlog += _poisson(self._chance, self._rate * self._TICK_S)

    def _record(self) -> Events:
        yield self._later()
        while True:
            began_at = self._env.now
            rows = min(self._backlog, self._costs.most_rows)
            if rows:
                self._backlog -= rows
                processor_s = self._costs.transaction_s + rows * self._costs.row_s
                yield from self._database.commit(processor_s, rows * self._log_bytes / 2)
                self._outcome.commits_s.append(self._env.now - began_at)
                self._outcome.recorded += rows
                if self._chance.random() < self._service.watched_elsewhere:
                    self._env.process(self._database.notify())
            yield self._env.timeout(max(1e-3, began_at + self._costs.recorder_every_s - self._env.now))

    def _submit(self) -> Events:
        """Take in as many items as are recorded, a thousand a transaction at the most."""
        yield self._later()
        while True:
            rows = min(1_000.0, max(1.0, self._rate * 0.2))
            began_at = self._env.now
            processor_s = self._costs.transaction_s + rows * self._costs.submit_row_s
            yield from self._database.commit(processor_s, rows * self._log_bytes / 2)
            yield self._env.timeout(max(0.0, began_at + rows / self._rate - self._env.now))

    def _renew(self) -> Events:
        yield self._later()
        while True:
            began_at = self._env.now
            yield from self._database.commit(self._costs.idle_server_s, 200)
            self._outcome.leases_s.append(self._env.now - began_at)
            yield self._env.timeout(max(0.0, 1 - (self._env.now - began_at)))


def _poisson(chance: random.Random, mean: float) -> int:
    if mean > 50:  # as good as normal
        return max(0, round(chance.gauss(mean, mean**0.5)))
    count, at = 0, chance.expovariate(1.0)
    while at < mean:
        count, at = count + 1, at + chance.expovariate(1.0)
    return count


def most_items_a_s(service: Service, operation: Operation, costs: Costs) -> float:
    """Answer what one server can do at the most, by its workers, its own process and its driver."""
    by_workers = service.workers / service.servers / operation.item_s
    by_process = 1 / costs.server_item_s
    return min(by_workers, by_process, driver_items_a_s(service, costs, by_workers))


def driver_items_a_s(service: Service, costs: Costs, wanted: float) -> float:
    """Answer what a server's driver bears of the items that its server wants to have done in a second."""
    low, high = 0.0, wanted
    if driver_share(service, costs, high) <= 1:
        return high
    while high - low > 1e-3 * wanted:
        middle = (low + high) / 2
        low, high = (middle, high) if driver_share(service, costs, middle) <= 1 else (low, middle)
    return low


def linked_nodes(service: Service) -> float:
    """Count the nodes that one driver asks."""
    nodes = service.workers / service.workers_a_node
    return nodes if service.nodes_a_driver is None else min(nodes, service.nodes_a_driver)


def driver_share(service: Service, costs: Costs, items_a_s: float) -> float:
    """Tell how busy a driver is, of 1, where its server does so many items.

    An item is a call that gives it and one that hears of it, unless others of the same node come within `gather_s`; a
    node that has nothing to tell is asked all the same.
    """
    nodes = linked_nodes(service)
    each_a_s = items_a_s / nodes
    calls_a_s = min(each_a_s, 1 / costs.gather_s)
    return nodes * (max(1 / costs.driver_waits_s, calls_a_s) + calls_a_s) * costs.driver_call_s


def percentile(values: list[float], share: float) -> float:
    """Find the value that `share` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
