"""One driver child from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from imagebatch_server.executors.processes.channel import Channel
from imagebatch_server.executors.processes.child_output import ChildOutput
from imagebatch_server.executors.processes.child_process import ChildProcess, ending
from imagebatch_server.executors.processes.deadline import Deadline
from imagebatch_server.executors.protocol.cluster import FromDriver, NotConnected, StartDriver, decode_from_driver
from imagebatch_server.executors.protocol.frames import frame
from imagebatch_server.executors.protocol.messages import Message

_MODULE = "imagebatch_server.executors.ray"
_CONNECT_S = 90.0
"""How long the driver may take to become part of the cluster; Ray itself gives up earlier."""

_SILENCE_S = 15.0
"""How long it may say nothing after that, although it beats every second."""


class DriverSession:
    """Starts a driver and stays with it. Belongs to one event loop. Raises OSError if the system can't start one."""

    def __init__(self, start: StartDriver, on_message: Callable[[FromDriver], None]) -> None:
        self._memory_bytes = start.memory_bytes
        self._on_message = on_message
        self._ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._process = ChildProcess("driver", module=_MODULE)
        self._output = ChildOutput(self._process.printed, self._process.pid)
        self._channel = Channel(self._process.channel_end, decode_from_driver, self._handle, lambda: None, self._end)
        self._deadline = Deadline(lambda: self._end("was silent for too long"))
        self._deadline.set(_CONNECT_S)
        self.send(start)

    def send(self, message: Message) -> None:
        """Send what a driver is told."""
        self._channel.send([frame(message)])

    async def run(self) -> str:
        """Wait for the driver's end; answers how it ended. Cancelled, end it."""
        status: int | None = None
        try:
            why = await self._ended
        finally:
            self._deadline.close()
            self._channel.close()
            self._process.kill()
            status = await self._process.gone()
            self._output.close()
        return why or ending(status, self._memory_bytes)

    def restart(self, why: str) -> None:
        """End the driver, so that another one is started."""
        self._end(why)

    def _handle(self, message: FromDriver) -> None:
        self._deadline.set(_SILENCE_S)
        if isinstance(message, NotConnected):
            self._end(message.why)
        else:
            self._on_message(message)

    def _end(self, why: str | None) -> None:
        if not self._ended.done():
            self._ended.set_result(why)
