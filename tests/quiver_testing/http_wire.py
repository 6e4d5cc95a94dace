"""HTTP/1.1 as a proxy needs it: heads as the bytes that came, bodies in pieces as on the wire."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

HEAD_BYTES_MAX = 256 << 10
PIECE_BYTES = 64 << 10


@dataclass
class Message:
    """The head of a request or an answer: the bytes as they came, and what they say."""

    head: bytes
    first_line: list[str]
    headers: dict[str, str]  # names in lower case

    @classmethod
    async def read(cls, reader: Reader) -> "Message":
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return cls(head, first.split(" ", 2), headers)

    @property
    def method(self) -> str:
        return self.first_line[0]

    @property
    def status(self) -> int:
        return int(self.first_line[1])

    @property
    def chunked(self) -> bool:
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    @property
    def length(self) -> int | None:
        length = self.headers.get("content-length")
        return None if length is None else int(length)

    @property
    def empty_request(self) -> bool:
        return self.length is None and not self.chunked

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"

    @property
    def expects_continue(self) -> bool:
        return self.headers.get("expect", "").lower() == "100-continue"


class ServerWire:
    """A connection to the server that can be read when it cannot be written any more.

    A server that refuses an upload answers early and hangs up. asyncio's own streams drop such an
    answer, for they end altogether with the first write that fails.
    """

    def __init__(self, wire: socket.socket):
        self.wire = wire
        self.ahead = b""

    @classmethod
    async def open(cls, port: int) -> "ServerWire":
        wire = socket.socket()
        wire.setblocking(False)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", port))
        except BaseException:
            wire.close()
            raise
        return cls(wire)

    def close(self) -> None:
        self.wire.close()

    async def write(self, data: bytes) -> bool:
        """Whether the server still takes it."""
        try:
            await asyncio.get_running_loop().sock_sendall(self.wire, data)
        except OSError:
            return False
        return True

    async def read(self, most: int) -> bytes:
        if not self.ahead:
            return await asyncio.get_running_loop().sock_recv(self.wire, most)
        data, self.ahead = self.ahead[:most], self.ahead[most:]
        return data

    async def readuntil(self, end: bytes) -> bytes:
        while end not in self.ahead:
            data = await asyncio.get_running_loop().sock_recv(self.wire, PIECE_BYTES)
            if not data:
                raise EOFError("the server closed the connection")
            self.ahead += data
        length = self.ahead.index(end) + len(end)
        data, self.ahead = self.ahead[:length], self.ahead[length:]
        return data


Reader = asyncio.StreamReader | ServerWire


async def body_of(reader: Reader, message: Message, empty: bool) -> AsyncIterator[bytes]:
    """The body in pieces: chunked, of a known length, or until the connection ends."""
    if empty:
        return
    if message.chunked:
        size = -1
        while size != 0:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            yield line
            async with aclosing(exactly(reader, size + 2 if size else 0)) as pieces:
                async for piece in pieces:
                    yield piece
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            yield line  # a trailer
        yield line
    elif message.length is not None:
        async with aclosing(exactly(reader, message.length)) as pieces:
            async for piece in pieces:
                yield piece
    else:
        while piece := await reader.read(PIECE_BYTES):
            yield piece


async def exactly(reader: Reader, length: int) -> AsyncIterator[bytes]:
    while length > 0:
        piece = await reader.read(min(length, PIECE_BYTES))
        if not piece:
            raise EOFError("the connection ended within a body")
        length -= len(piece)
        yield piece
