"""What the server, its Ray driver and the agents of nodes say to each other. Dispatches are named by numbers."""

from __future__ import annotations

from typing import Any

import msgspec

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import Dispatch, Outcome, StoredObject
from imagebatch_server.executors.protocol.messages import Message


class Home(msgspec.Struct):
    """What every node's agent is made of; agents of equal homes are shared by all servers."""

    opener: str
    """What makes a node's executor, as `module:function`."""
    versions: dict[str, str]
    """Of the server's package and its operations, by name; a node has to have the same."""
    settings: dict[str, Any]
    """Those that were set at the server and concern nodes."""
    files: dict[str, str]
    """Texts of the files that settings name, by the setting."""
    reserved: list[str]
    """Resources that operations ask for: an agent has all that its node has of them."""
    store_id: str | None
    """By which the object store is known again; None where it can't be told."""


class StartDriver(Message):
    """To the driver, first: where the cluster is, and what agents are made of."""

    memory_bytes: int
    """What the driver's process may use."""
    address: str
    namespace: str
    server: str
    """The server's name, unique to each of its starts."""
    home: Home


class Parcel(msgspec.Struct, array_like=True, gc=False):
    """One dispatch on its way to a node."""

    number: int
    dispatch: Dispatch
    goes_alone: bool = False
    """Whether the node is to run nothing else beside it."""


class Give(Message):
    """To the driver: pass these on to a node, in the session that it told of last."""

    node: str
    session: int
    parcels: list[Parcel]


class Drop(Message):
    """To the driver: nobody wants these any more; what no worker has begun need not run."""

    node: str
    session: int
    numbers: list[int]


class Beat(Message):
    """The driver is well."""


class Connected(Message):
    """The driver is part of the cluster, which has so many nodes with processors."""

    nodes: int


class NotConnected(Message):
    """It can't be; it ends."""

    why: str


class NodeUp(Message):
    """A node takes dispatches, in a session of this number."""

    node: str
    session: int
    host: str


class NodeLost(Message):
    """The session with a node is over, whatever it had."""

    node: str
    session: int
    why: str
    agent_died: bool = False
    """Whether the agent has ended and its node has not: something that it ran may be why."""


class NodeRefused(Message):
    """A node can't be used; `why` says what is to be done. It is tried again."""

    node: str
    host: str
    why: str


class Heard(Message):
    """A node's report, serialised."""

    node: str
    session: int
    report: bytes


FromDriver = Beat | Connected | NotConnected | NodeUp | NodeLost | NodeRefused | Heard
ToDriver = Give | Drop


class Fetched(Message):
    """The image is there, could not be got, or is not wanted."""

    number: int


class Answered(Message):
    """The image's host answered."""

    number: int


class FetchEnded(Message):
    """A fetch of its image has ended, as an `OnFetch` hears it."""

    number: int
    code: ItemErrorCode | None
    took_s: float
    size_bytes: int


class Slow(Message):
    """The image takes long to come."""

    number: int


class Alone(Message):
    """Nothing else is at the node but this one, which goes alone; it runs once the next report is asked for."""

    number: int


class Underway(Message):
    """A worker began with it."""

    number: int


class Finished(Message):
    """An attempt has ended."""

    number: int
    outcome: Outcome
    objects: tuple[StoredObject, ...] = ()
    transient: bool = False
    busy: bool = False
    retry_after_s: float | None = None


Event = Fetched | Answered | FetchEnded | Slow | Alone | Underway | Finished


class LaneState(msgspec.Struct, array_like=True, gc=False):
    """How many dispatches one lane of a node wants to hold of this server's, and whose turns wait there."""

    stored: int
    fetched: int
    first_turn_ms: float
    last_turn_ms: float


class Report(msgspec.Struct, array_like=True):
    """What has happened at a node since its last report, in order, and how it stands."""

    events: list[Event]
    lanes: dict[str, LaneState]
    alive: int
    """Workers that take items."""
    restarts: int


decode_from_driver = msgspec.msgpack.Decoder(FromDriver).decode
decode_to_driver = msgspec.msgpack.Decoder(ToDriver).decode
decode_report = msgspec.msgpack.Decoder(Report).decode
decode_parcels = msgspec.msgpack.Decoder(list[Parcel]).decode
decode_home = msgspec.msgpack.Decoder(Home).decode
encode = msgspec.msgpack.Encoder().encode
