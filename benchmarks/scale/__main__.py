"""`python -m benchmarks.scale`: run the model, print its figures, and draw docs/scale/*.svg."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from benchmarks.scale.model import (
    DESCRIBE,
    THUMBNAIL,
    Costs,
    Operation,
    Outcome,
    Service,
    driver_share,
    percentile,
    simulate,
)

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "imagebatch"

FOLDER = Path(__file__).parents[2] / "docs" / "scale"
SEED = 20261129
LONGER_BYTES = DESCRIBE.output_bytes - Costs().noop_output_bytes
"""Than a no-op's is an item of `describe`."""
ITEMS = 1_000_000_000
WORKERS = (100, 300, 1_000, 3_000, 10_000, 30_000)
NOW = ("as it is", Service(), Costs())
LINKED = ("drivers with 16 nodes each, which gather for 50 ms", Service(nodes_a_driver=16), Costs(gather_s=0.05))
SPLIT = ("and four databases", replace(LINKED[1], databases=4), LINKED[2])
SCENARIOS = (NOW, LINKED, SPLIT)
KEY_BYTES = 75
"""Of an entry of the items' primary key: tenant, batch, index, and what PostgreSQL adds."""
PAGE_BYTES = 8_192 * 0.9


def main() -> None:
    """Draw and print everything."""
    FOLDER.mkdir(exist_ok=True)
    for operation in (DESCRIBE, THUMBNAIL):
        found = {
            name: [_run(service, operation, costs, workers) for workers in WORKERS]
            for name, service, costs in SCENARIOS
        }
        _print(operation, found)
        _draw_rates(
            operation, {name: [max(1.0, outcome.items_a_s) for outcome in each] for name, each in found.items()}
        )
        if operation is THUMBNAIL:
            _draw_waits(found)
    _draw_parts()
    _draw_tables()


def _run(service: Service, operation: Operation, costs: Costs, workers: int) -> Outcome:
    return simulate(replace(service, workers=workers), operation, costs, seed=SEED)


def _print(operation: Operation, found: dict[str, list[Outcome]]) -> None:
    print(f"\n{operation.name}: workers, items/s (of linear), commit p50 and p99, lease p99, database, log, driver")
    for name, service, costs in SCENARIOS:
        print(f"  {name}")
        for workers, outcome in zip(WORKERS, found[name], strict=True):
            one = replace(service, workers=workers).of_one_database()
            log = outcome.written_bytes / outcome.measured_s / one.log_bytes_a_s
            driver = driver_share(one, costs, outcome.items_a_s / service.servers)
            linear = workers / operation.item_s
            p50_ms, p99_ms = (percentile(outcome.commits_s, share) * 1e3 for share in (0.5, 0.99))
            print(
                f"    {workers:6,}: {outcome.items_a_s:9,.0f} ({outcome.items_a_s / linear:4.0%}), {p50_ms:6.1f} and "
                f"{p99_ms:6.1f} ms, {percentile(outcome.leases_s, 0.99) * 1e3:6.1f} ms, "
                f"{outcome.busy_s / outcome.measured_s / one.processors:4.0%}, {log:4.0%}, {driver:4.0%}; "
                f"{ITEMS / max(1.0, outcome.items_a_s) / 3600:,.1f} h for {ITEMS:,}"
            )


def _draw_rates(operation: Operation, rates: dict[str, list[float]]) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4))
    axes.loglog(WORKERS, [workers / operation.item_s for workers in WORKERS], ":", color="grey", label="linear")
    for (name, values), marker in zip(rates.items(), "os^", strict=True):
        axes.loglog(WORKERS, values, marker=marker, markersize=4, label=name)
    axes.set(xlabel="workers", ylabel="items a second", title=f"{operation.name}, 100 servers")
    axes.legend()
    _save(figure, f"{operation.name}.svg")


def _draw_waits(found: dict[str, list[Outcome]]) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4))
    for (name, outcomes), marker in zip(found.items(), "os^", strict=True):
        waits = [percentile(outcome.leases_s, 0.99) * 1e3 for outcome in outcomes]
        axes.loglog(WORKERS, waits, marker=marker, markersize=4, label=name)
    axes.axhline(2_000, color="red", linewidth=1, label="a lease of 3 s, less its second of safety")
    axes.set(xlabel="workers", ylabel="ms", title="thumbnail: p99 of a lease's renewal")
    axes.legend()
    _save(figure, "leases.svg")


def _draw_parts() -> None:
    """Draw how busy each part is by what is done in a second, without waiting: where each one ends."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    rates = [10 ** (power / 10) for power in range(20, 61)]
    service, costs = NOW[1], NOW[2]
    parts: dict[str, Callable[[float], float]] = {
        "a driver, linked with 1,250 nodes": lambda rate: driver_share(service, costs, rate / service.servers),
        "a driver, linked with 16": lambda rate: driver_share(LINKED[1], LINKED[2], rate / service.servers),
        "a server's own process": lambda rate: rate / service.servers * costs.server_item_s,
        "the database's 32 processors": lambda rate: _database_share(service, costs, rate),
        "the log's 500 MB/s": lambda rate: rate * (costs.item_wal_bytes + LONGER_BYTES) / service.log_bytes_a_s,
    }
    for name, share in parts.items():
        axes.loglog(rates, [share(rate) for rate in rates], label=name)
    axes.axhline(1, color="red", linewidth=1)
    axes.set(xlabel="items a second, of 100 servers", ylabel="share of what there is", ylim=(1e-3, 10))
    axes.set_title("how busy each part is")
    axes.legend(fontsize=8)
    _save(figure, "parts.svg")


def _database_share(service: Service, costs: Costs, rate: float) -> float:
    rows = min(float(costs.most_rows), max(1.0, rate / service.servers * costs.recorder_every_s))
    item_s = 2 * costs.transaction_s / rows + costs.row_s + costs.submit_row_s
    return (rate * item_s + service.servers * costs.idle_server_s) / service.processors


def _draw_tables() -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4))
    items: Sequence[float] = [10**power for power in range(4, 11)]
    costs = Costs()
    sizes = [count * (costs.item_stored_bytes + LONGER_BYTES) / 1e9 for count in items]
    axes.loglog(items, sizes, marker="o", markersize=4, label="tables and indexes, GB (describe)")
    axes.set(xlabel="items that are kept", ylabel="GB")
    levels = axes.twinx()
    levels.semilogx(items, [index_levels(count) for count in items], "s--", color="tab:orange", markersize=4)
    levels.set(ylabel="levels of an index (dashed)", ylim=(0, 6))
    axes.legend()
    _save(figure, "tables.svg")
    stored_tb = ITEMS * (costs.item_stored_bytes + LONGER_BYTES) / 1e12
    print(f"\n{ITEMS:,} items of describe: {stored_tb:.1f} TB, indexes of {index_levels(ITEMS)} levels")


def index_levels(entries: float) -> int:
    """Count the levels of a B-tree of so many entries."""
    return max(1, math.ceil(math.log(entries) / math.log(PAGE_BYTES / KEY_BYTES)))


def _save(figure: Figure, name: str) -> None:
    figure.tight_layout()
    figure.savefig(FOLDER / name, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
