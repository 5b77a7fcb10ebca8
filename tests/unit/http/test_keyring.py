"""Keys are turned over so that every server knows a key before any signs with it, and as long as a URL may be good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.unit.http.keys import Keys

from imagebatch_server.http.keyring import KEPT_FOR, KNOWN_AFTER, TURNED_OVER_AFTER, Keyring

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


async def opened(keys: Keys, clock: Clock) -> Keyring:
    keyring = Keyring(keys, clock)
    await keyring.open()
    return keyring


async def test_servers_that_start_together_agree_on_the_first_key() -> None:
    keys, clock = Keys(), Clock()
    one, other = await opened(keys, clock), await opened(keys, clock)
    assert one.current == other.current
    assert one.current[0] == "1"
    assert len(one.current[1]) == 32


async def test_a_new_key_signs_once_everybody_has_seen_it() -> None:
    keys, clock = Keys(), Clock()
    keyring = await opened(keys, clock)
    clock.now += TURNED_OVER_AFTER + timedelta(seconds=1)
    await keyring.open()
    assert (keyring.current[0], sorted(keys.kept)) == ("1", [1, 2])
    assert keyring.secret("2") == keys.kept[2].secret, "another server may sign with it before"
    clock.now += KNOWN_AFTER
    await keyring.open()
    assert keyring.current[0] == "2"
    assert keyring.secret("1") is not None, "URLs that it signed are still good"


async def test_a_key_goes_when_no_url_of_it_can_be_good() -> None:
    keys, clock = Keys(), Clock()
    keyring = await opened(keys, clock)
    clock.now += TURNED_OVER_AFTER + timedelta(seconds=1)
    await keyring.open()
    clock.now += KEPT_FOR + timedelta(seconds=1)
    await keyring.open()
    assert sorted(keys.kept) == [2]
    assert keyring.secret("1") is None


async def test_an_unknown_key_has_no_secret() -> None:
    keyring = await opened(Keys(), Clock())
    assert keyring.secret("7") is None
    assert keyring.secret("") is None
