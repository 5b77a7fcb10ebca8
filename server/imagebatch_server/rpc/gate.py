"""Who is let in to an rpc."""

from __future__ import annotations

from imagebatch_server.access import permissions
from imagebatch_server.access.authenticator import Authenticator
from imagebatch_server.access.credentials import Credentials
from imagebatch_server.access.principal import Principal, stranger
from imagebatch_server.rpc.call import IncomingCall

_ABOUT_THE_SERVER = frozenset({"GetServerInfo", permissions.REFLECTION})


class Gate:
    """Tell who makes a call, and whether they may."""

    def __init__(self, authenticator: Authenticator, *, public_info: bool) -> None:
        """With `public_info`, GetServerInfo and reflection answer those who show nothing, too."""
        self._authenticator = authenticator
        self._public = _ABOUT_THE_SERVER if public_info else frozenset()

    async def admit(self, rpc: str, incoming: IncomingCall) -> Principal:
        """Let a call in. Raises Unauthenticated, PermissionDenied, LimitExceeded, InvalidRequest."""
        credentials = incoming.credentials
        if self._is_open_to(rpc, credentials):
            return stranger(credentials.host)
        principal = await self._authenticator.authenticate(credentials)
        permissions.check(principal, rpc)
        return principal

    async def readmit(self, rpc: str, incoming: IncomingCall) -> None:
        """Let a call go on. Raises Unauthenticated, PermissionDenied."""
        if not self._is_open_to(rpc, incoming.credentials):
            permissions.check(await self._authenticator.reconsider(incoming.credentials), rpc)

    def _is_open_to(self, rpc: str, credentials: Credentials) -> bool:
        """Tell whether the rpc answers whoever shows nothing, where callers are asked, and this one does so."""
        shows_nothing = credentials.authorization is None and credentials.tenant is None
        return (
            rpc in self._public
            and shows_nothing
            and self._authenticator.asks
            and not self._authenticator.recognizes(credentials)
        )
