"""Who may go into a node's executor: many at a time, or one that goes alone."""

from __future__ import annotations

from collections.abc import Callable

from imagebatch_server.batches.model import Dispatch


class Gate:
    """Let dispatches in, in the order they came. Belongs to one event loop.

    One that goes alone waits until those before it have ended, and those behind it until it has. It goes in when its
    server has been told so: if the agent ends then, the server knows that nothing else was there.
    """

    def __init__(self, go_in: Callable[[Dispatch], None], announce: Callable[[Dispatch], None]) -> None:
        """`announce` has the server told; `told` is to be called once it is."""
        self._go_in = go_in
        self._announce = announce
        self._waiting: dict[int, tuple[Dispatch, bool]] = {}
        self._inside: set[int] = set()
        self._alone: int | None = None
        """The identity of the one that is inside alone, or will be once its server is told."""

    @property
    def is_shut(self) -> bool:
        """Whether what comes now has to wait."""
        return self._alone is not None or bool(self._waiting)

    def come(self, dispatch: Dispatch, *, alone: bool) -> None:
        """Let a dispatch in as soon as that can be."""
        self._waiting[id(dispatch)] = dispatch, alone
        self._let_in()

    def told(self, dispatch: Dispatch) -> None:
        """Note that a dispatch's server knows that it is alone."""
        if self._alone == id(dispatch) and self._alone not in self._inside:
            self._inside.add(id(dispatch))
            self._go_in(dispatch)

    def leave(self, dispatch: Dispatch) -> bool:
        """Let go of a dispatch, because it has ended or nobody wants it; answers whether it was inside."""
        self._waiting.pop(id(dispatch), None)
        was_inside = id(dispatch) in self._inside
        self._inside.discard(id(dispatch))
        if self._alone == id(dispatch):
            self._alone = None
        self._let_in()
        return was_inside

    def _let_in(self) -> None:
        while self._waiting and self._alone is None:
            dispatch, alone = next(iter(self._waiting.values()))
            if alone and self._inside:
                return
            del self._waiting[id(dispatch)]
            if alone:
                self._alone = id(dispatch)
                self._announce(dispatch)
            else:
                self._inside.add(id(dispatch))
                self._go_in(dispatch)
