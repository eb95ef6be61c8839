"""Uvicorn, with the two things that it leaves to a proxy in front: who sends nothing goes, and an end loses nothing."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT_SECONDS = 10
MAX_HEAD_BYTES = 65_536
# After SIGTERM, for requests that are on their way on connections that are open.
DRAIN_SECONDS = 1


class HeadTimeoutProtocol(HttpToolsProtocol):
    """Closes a connection on which the head of a request does not arrive in time, or goes on without end."""

    _timeout: asyncio.TimerHandle  # cancelled while no head is expected
    _head_bytes: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        waiting = self._timeout
        super().data_received(data)
        if waiting is self._timeout and not waiting.cancelled():  # all of it was head, which is not at its end
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._timeout.cancel()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._timeout.cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timeout.cancel()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._timeout = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self.transport.close)


class DrainingServer(uvicorn.Server):
    """Goes on answering for a moment before it closes: a client may have sent on a connection that looks idle."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def shutdown(self, sockets: Any = None) -> None:
        self._announce()
        await asyncio.sleep(DRAIN_SECONDS)
        await super().shutdown(sockets)
