"""News between servers on one PostgreSQL: each hears the others, and finds out when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs
from tests.postgres import PostgresServer, pooled
from tests.server import free_port

from imagebatch_server.batches.loops import running
from imagebatch_server.batches.news import LocalNews
from imagebatch_server.batches.ports.servers import NewsKind
from imagebatch_server.store import listening
from imagebatch_server.store import news as shared
from imagebatch_server.store.database import Database
from imagebatch_server.store.news import SharedNews

pytestmark = pytest.mark.postgres

Told = tuple[NewsKind, str, str]
ID = "0195d2f0-0000-7000-8000-000000000001"


class Server:
    """The news of one server, and what it was told."""

    def __init__(self, database: Database, name: str, *, others: bool = True) -> None:
        self.news = SharedNews(LocalNews(), database, name, lambda: others)
        self.told: list[Told] = []
        self.looks = 0
        self._changed = asyncio.Event()
        self.news.subscribe(self._on_news)
        self.news.when_missed(self._look)
        self._came_back = self.news.listening.came_back
        self.news.listening.came_back = self._on_probe  # type: ignore[method-assign]

    def _on_probe(self, number: int) -> None:
        self._came_back(number)
        self._changed.set()

    def _on_news(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        self.told.append((kind, tenant, batch_id))
        self._changed.set()

    def _look(self) -> None:
        self.looks += 1
        self._changed.set()

    async def hears(self, told: Told) -> None:
        """Wait until it was told."""
        await self._until(lambda: told in self.told)

    async def looks_again(self) -> None:
        """Wait until it looks for what it missed."""
        before = self.looks
        await self._until(lambda: self.looks > before)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def listens(self) -> None:
        """Wait until a probe has come back."""
        await self._until(lambda: self.news.listening.hears)


@asynccontextmanager
async def servers(*made: Server) -> AsyncIterator[None]:
    """Run their loops."""
    async with AsyncExitStack() as stack:
        for server in made:
            await stack.enter_async_context(running(server.news.listening))
            await stack.enter_async_context(running(server.news))
        yield


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


async def test_what_one_publishes_all_hear_once(open_database: Callable[[], Database]) -> None:
    one, two = Server(open_database(), "one"), Server(open_database(), "two")
    async with servers(one, two):
        await one.listens()
        await two.listens()
        for _ in range(3):
            one.news.publish(NewsKind.REOPENED, "default", ID)
        one.news.tell_others(NewsKind.RECORDED, "default", ID)
        two.news.publish(NewsKind.DELETED, "a-tenant", ID)
        await two.hears((NewsKind.RECORDED, "default", ID))
        await one.hears((NewsKind.DELETED, "a-tenant", ID))
        one.news.tell_others(NewsKind.WATCHED, "default", "last")
        await two.hears((NewsKind.WATCHED, "default", "last"))
    reopened = (NewsKind.REOPENED, "default", ID)
    assert one.told == [reopened] * 3 + [(NewsKind.DELETED, "a-tenant", ID)]
    assert two.told.count(reopened) == 1, "those published in one go are one"
    assert len(two.told) == 4


async def test_many_at_once_all_arrive(open_database: Callable[[], Database]) -> None:
    one, two = Server(open_database(), "one"), Server(open_database(), "two")
    async with servers(one, two):
        await two.listens()
        for number in range(1_000):
            one.news.tell_others(NewsKind.RECORDED, "default", str(number))
        await two.hears((NewsKind.RECORDED, "default", "999"))
    assert [batch_id for _, _, batch_id in two.told] == [str(number) for number in range(1_000)]


async def test_a_server_that_is_alone_tells_the_database_nothing(
    url: str, open_database: Callable[[], Database]
) -> None:
    one, two = Server(open_database(), "one", others=False), Server(open_database(), "two")
    async with servers(two):
        await two.listens()
        one.news.publish(NewsKind.SUBMITTED, "default", ID)
        await one.news.step()
        await two.looks_again()
    assert (one.told, two.told) == ([(NewsKind.SUBMITTED, "default", ID)], [])
    assert not one.looks


async def test_a_lost_connection_is_made_again_and_what_was_missed_looked_for(
    url: str, open_database: Callable[[], Database]
) -> None:
    one, two = Server(open_database(), "one"), Server(open_database(), "two")
    async with servers(one, two):
        await two.listens()
        with capture_logs() as logged:
            end_listeners(url)
            await two.looks_again()
            await two.listens()
        one.news.publish(NewsKind.REOPENED, "default", ID)
        await two.hears((NewsKind.REOPENED, "default", ID))
    assert {line["event"] for line in logged} >= {"news.connection_lost", "news.heard_again"}


@pytest.mark.pgbouncer
async def test_a_listener_that_a_pooler_keeps_the_news_from_is_found_out(
    postgres: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "OVERDUE_S", 0.1)
    monkeypatch.setattr(listening, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(shared, "QUICK_POLL_S", 0.02)
    with pooled(postgres, url, free_port()) as pooled_url:
        database = Database(url, direct_url=pooled_url)
        try:
            deaf = Server(database, "deaf")
            with capture_logs() as logged:
                async with servers(deaf):
                    while not any(line["event"] == "news.not_heard" for line in logged):
                        await deaf.looks_again()
                    await deaf.looks_again()
                    assert not deaf.news.listening.hears
        finally:
            database.close()


def end_listeners(url: str) -> None:
    """End PostgreSQL's processes that somebody listens by."""
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
