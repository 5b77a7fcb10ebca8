"""Celery's application and task, for its workers and for the client."""

from __future__ import annotations

import os

from celery import Celery

from benchmarks import work

URL = os.environ["BENCHMARK_REDIS"]
app = Celery("benchmark", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=500,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


noop = app.task(work.answer, name="noop")
