"""Two servers on one database sign URLs that each of them takes, whenever keys are turned over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from imagebatch_server.http.keyring import KEPT_FOR, KNOWN_AFTER, TURNED_OVER_AFTER, Keyring
from imagebatch_server.http.signing import IMAGES, BadSignature, UrlSigner
from imagebatch_server.store.database import Database
from imagebatch_server.store.signing_keys import SqlSigningKeys

KEY = "acme.00112233445566778899aabbccddeeff"
LONGEST_S = 7 * 24 * 3600.0


class Server:
    """What signs and checks of one server."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self.keyring = Keyring(SqlSigningKeys(database), now)
        self._signer = UrlSigner("https://images.example", LONGEST_S, self.keyring, lambda: now().timestamp())

    def sign(self) -> str:
        return self._signer.url("acme", KEY)

    def takes(self, url: str) -> bool:
        try:
            self._signer.check(IMAGES, "acme", KEY, dict(parse_qsl(urlsplit(url).query)))
        except BadSignature:
            return False
        return True


async def test_keys_are_turned_over_under_two_servers(
    database: Database, open_database: Callable[[], Database]
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    one, other = (Server(database, lambda: now), Server(open_database(), lambda: now))
    both = (one, other)

    async def look(*servers: Server) -> None:
        await asyncio.gather(*(server.keyring.open() for server in servers))

    await look(*both)
    assert one.keyring.current == other.keyring.current
    first = one.sign()
    assert other.takes(first)

    now += TURNED_OVER_AFTER + timedelta(seconds=1)
    await look(*both)  # both find at once that another key is due, and make one
    before = one.sign()
    now += KNOWN_AFTER
    await look(one)  # which signs by the new key from now on; the other has not looked since
    after = one.sign()
    assert {"key=1", "key=2"} == {url[url.index("key=") :].partition("&")[0] for url in (before, after)}
    assert all(server.takes(url) for server in both for url in (before, after))
    await look(other)
    assert one.keyring.current == other.keyring.current

    lasting = [before, after]
    now += timedelta(seconds=LONGEST_S * 7 / 8 - 1)  # a URL lasts as long at the least
    await look(*both)
    assert all(server.takes(lasting[1]) for server in both)
    now += KEPT_FOR
    await look(*both)
    assert not any(server.takes(url) for server in both for url in lasting)
    assert one.keyring.secret("1") is None


async def test_servers_that_start_at_once_agree(database: Database, open_database: Callable[[], Database]) -> None:
    databases = [database, *(open_database() for _ in range(3))]
    keyrings = [Keyring(SqlSigningKeys(database)) for database in databases]
    await asyncio.gather(*(keyring.open() for keyring in keyrings))
    assert len({keyring.current for keyring in keyrings}) == 1
