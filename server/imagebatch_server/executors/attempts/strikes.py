"""How the item is found that takes down what runs it, when others were with it."""

from __future__ import annotations

from collections import OrderedDict

from imagebatch_server.batches.model import Dispatch

STRIKES_TO_GO_ALONE = 2
"""Processes that may die over an item, with nobody knowing that it was why; then it goes alone."""

MOST_STRIKES = 5
"""Processes that may die over it; then it pays, for something in it must be why."""

_MOST_CULPRITS = 1_024


class Culprits:
    """Items that have paid for a process's death. Their next attempts go alone from the start.

    So there need be no more deaths to find out who it was. The latest ones are remembered.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int], None] = OrderedDict()

    def remember(self, dispatch: Dispatch) -> None:
        """Note that the dispatch's item has paid."""
        self._known[_item(dispatch)] = None
        if len(self._known) > _MOST_CULPRITS:
            self._known.popitem(last=False)

    def have(self, dispatch: Dispatch) -> bool:
        """Whether an earlier attempt at the dispatch's item has paid."""
        return bool(self._known) and _item(dispatch) in self._known


def _item(dispatch: Dispatch) -> tuple[str, int]:
    return dispatch.batch_id, dispatch.item.item_index
