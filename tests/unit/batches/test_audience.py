"""Other servers are told of outcomes of the batches that are watched there, and of no others."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.batches.samples import batch
from tests.unit.clock import Clock

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches.audience import WATCH_KEPT_S, Audience
from imagebatch_server.batches.news import LocalNews
from imagebatch_server.batches.ports.servers import NewsKind

ID = batch().batch_id


class News(LocalNews):
    """Keep what other servers are told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[NewsKind, str]] = []

    def tell_others(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        self.told.append((kind, batch_id))

    def taken(self) -> list[tuple[NewsKind, str]]:
        told, self.told = self.told, []
        return told


def made() -> tuple[Audience, News, Clock, Callable[[], None]]:
    news, clock = News(), Clock()
    audience = Audience(news, clock)
    return audience, news, clock, lambda: audience.committed(batch(), (), ())


def test_what_nobody_watches_elsewhere_is_told_to_nobody() -> None:
    _, news, _, commit = made()
    commit()
    news.publish(NewsKind.CANCEL_REQUESTED, "default", ID)
    commit()
    assert news.taken() == []


def test_a_new_watch_is_answered_and_then_told_of_each_commit() -> None:
    _, news, _, commit = made()
    news.publish(NewsKind.WATCHED, "default", ID)
    assert news.taken() == [(NewsKind.RECORDED, ID)]
    news.publish(NewsKind.WATCHED, "default", ID)
    assert news.taken() == []
    commit()
    commit()
    assert news.taken() == [(NewsKind.RECORDED, ID)] * 2


def test_a_watch_that_is_not_told_of_again_is_over() -> None:
    audience, news, clock, commit = made()
    news.publish(NewsKind.WATCHED, "default", ID)
    news.publish(NewsKind.WATCHED, "default", "another")
    clock.now += WATCH_KEPT_S - 1
    news.publish(NewsKind.WATCHED, "default", ID)
    news.taken()
    clock.now += 2
    commit()
    assert news.taken() == [(NewsKind.RECORDED, ID)]
    news.publish(NewsKind.WATCHED, "default", "a third")
    assert audience.batches == 2, "the other one is forgotten"


def test_nothing_follows_the_end_of_a_batch() -> None:
    audience, news, _, _ = made()
    news.publish(NewsKind.WATCHED, "default", ID)
    audience.committed(batch(status=BatchStatus.COMPLETED), (), ())
    assert news.taken() == [(NewsKind.RECORDED, ID)] * 2
    assert audience.batches == 0
