"""All peers by name."""

from __future__ import annotations

from functools import partial

from benchmarks.peers import Entrant, celery_peer, dramatiq_peer, pool_peer, procrastinate_peer, ray_peer, taskiq_peer
from benchmarks.peers.redis_server import Fsync

SLOW_ROUND_ITEMS = 4_000
"""A round of Celery, Procrastinate and Ray's tasks, which run about 1,000 to 2,000 items a second."""
FSYNCS: tuple[Fsync, ...] = ("always", "everysec")

# At each fsync the fastest durable peer is held against the largest batch too.
ENTRANTS = (
    *(
        Entrant(
            f"Taskiq, Redis {fsync}", taskiq_peer.HOW, "durable", "sqlite",
            partial(taskiq_peer.taskiq_on_redis, fsync=fsync),
            largest_batch=100_000 if fsync == "always" else 10_000,
        )
        for fsync in FSYNCS
    ),
    *(
        Entrant(
            f"Dramatiq, Redis {fsync}", dramatiq_peer.how(fsync), "durable", "sqlite",
            partial(dramatiq_peer.dramatiq_on_redis, fsync=fsync),
            largest_batch=100_000 if fsync == "everysec" else 10_000,
        )
        for fsync in FSYNCS
    ),
    *(
        Entrant(
            f"Celery, Redis {fsync}", celery_peer.HOW, "slow", "sqlite",
            partial(celery_peer.celery_on_redis, fsync=fsync), SLOW_ROUND_ITEMS,
        )
        for fsync in FSYNCS
    ),
    Entrant(
        "Procrastinate, PostgreSQL", procrastinate_peer.HOW, "slow", "postgres",
        procrastinate_peer.procrastinate_on_postgres, SLOW_ROUND_ITEMS,
    ),
    Entrant("Ray actors", "2 actors called directly; not durable", "memory", "sqlite", ray_peer.ray_actors),
    Entrant("Ray tasks", "a task an item; not durable", "memory", "sqlite", ray_peer.ray_tasks, SLOW_ROUND_ITEMS),
    Entrant(
        "ProcessPoolExecutor", "2 processes, one item at a time; not durable", "memory", "sqlite",
        pool_peer.process_pool,
    ),
)  # fmt: skip
