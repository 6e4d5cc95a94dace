"""A bad day of S3: a proxy that refuses, stalls, cuts and loses some requests, and counts them all.

What it lets through passes as it is, the Host header first of all, which the client has signed. It
knows buckets by path (`/bucket/key`), not by host name. Which requests are hit follows from the
seed and the order they arrive in, so a client that asks one thing after the other has the same day
again.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import urllib.parse
from collections import Counter
from collections.abc import Collection, Coroutine
from contextlib import aclosing, closing, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum

from .http_wire import HEAD_BYTES_MAX, Message, ServerWire, body_of
from .server import free_port

CALL_SECONDS_MAX = 30
# How long a client may take to send what nobody reads, or to close.
REST_SECONDS_MAX = 5


class Fault(StrEnum):
    SLOW_DOWN = "503 at once"
    INTERNAL_ERROR = "500 at once"
    STALL = "no answer for a while, then closed"
    DROP = "closed before the server sees the request"
    # Clients take these two for different things: the first for a request that never left.
    LOSE = "closed after the server has carried the request out"
    LOSE_BY_RESET = "reset after the server has carried the request out"
    TRUNCATE = "closed in the middle of the answer"


class Kind(StrEnum):
    """What a request asks for."""

    GET = "get"
    GET_RANGE = "get range"
    HEAD = "head"
    PUT = "put"
    COPY = "copy"
    DELETE = "delete"
    BULK_DELETE = "bulk delete"
    LIST = "list"
    UPLOAD_CREATE = "multipart create"
    UPLOAD_PART = "multipart part"
    UPLOAD_COMPLETE = "multipart complete"
    UPLOAD_ABORT = "multipart abort"
    OTHER = "other"


@dataclass
class Counts:
    """Of all requests that arrived, those that met a fault included. Bytes are those of bodies."""

    methods: Counter[str] = field(default_factory=Counter)
    kinds: Counter[Kind] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)
    bytes_in: Counter[Kind] = field(default_factory=Counter)
    bytes_out: Counter[Kind] = field(default_factory=Counter)


@dataclass
class Plan:
    """Which share of which requests meets which faults."""

    rate: float = 0.0
    faults: tuple[Fault, ...] = tuple(Fault)
    kinds: frozenset[Kind] = frozenset(Kind)


class S3Proxy:
    """Forwards to a port of loopback from a port of its own, in a thread of its own."""

    def __init__(self, target: int, seed: int = 0, stall_seconds: float = 5.0):
        self.target = target
        self.port = free_port()
        self.stall_seconds = stall_seconds
        self._random = random.Random(seed)
        self._plan = Plan()
        self._counts = Counts()
        self._lock = threading.Lock()
        self._listener: asyncio.Server | None = None
        self._serving: set[asyncio.Task] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "S3Proxy":
        return self.start()

    def __exit__(self, *_):
        self.close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "S3Proxy":
        """Healthy until told otherwise."""
        self._thread.start()
        self._call(self._listen())
        return self

    def close(self) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def healthy(self) -> None:
        self.faulty(0.0)

    def faulty(self, rate: float = 0.05, faults: Collection[Fault] = tuple(Fault),
               kinds: Collection[Kind] = tuple(Kind)) -> None:
        """From now on, that share of the requests of these kinds meets one of these faults."""
        with self._lock:
            self._plan = Plan(rate, tuple(faults), frozenset(kinds))
        self._call(self._listen())

    def down(self) -> None:
        """Ends what goes on and refuses connections, until told to be healthy or faulty."""
        self._call(self._refuse())

    def counts(self) -> Counts:
        """What has been counted so far, as a copy."""
        with self._lock:
            return deepcopy(self._counts)

    def reset_counts(self) -> None:
        with self._lock:
            self._counts = Counts()

    def _call(self, work: Coroutine) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS_MAX)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port, limit=HEAD_BYTES_MAX
            )

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: requests one after the other, until either side or a fault closes it."""
        if self._listener is None:
            return writer.transport.abort()  # it came in just before the listener closed
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            # Either side may hang up at any moment: that is what this is for.
            with suppress(OSError, EOFError):
                while await self._exchange(reader, writer):
                    pass
            writer.close()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._serving.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection may carry another."""
        request = await Message.read(reader)
        kind = kind_of(request)
        fault = self._note(request.method, kind)
        match fault:
            case Fault.SLOW_DOWN:
                return await self._answer(request, kind, reader, writer, 503, "SlowDown")
            case Fault.INTERNAL_ERROR:
                return await self._answer(request, kind, reader, writer, 500, "InternalError")
            case Fault.STALL:
                await asyncio.sleep(self.stall_seconds)
                return False
            case Fault.DROP:
                return False
        with closing(await ServerWire.open(self.target)) as server:
            sending = asyncio.create_task(self._send(request, kind, reader, server))
            try:
                open_still = await self._receive(request, kind, fault, server, writer)
                # An answer may come before the body was sent, and many a client reads it only then.
                done, _ = await asyncio.wait({sending}, timeout=REST_SECONDS_MAX)
                return open_still and bool(done) and sending.exception() is None
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    def _note(self, method: str, kind: Kind) -> Fault | None:
        """Counts a request and draws what happens to it."""
        with self._lock:
            self._counts.methods[method] += 1
            self._counts.kinds[kind] += 1
            if kind not in self._plan.kinds or self._random.random() >= self._plan.rate:
                return None
            fault = self._random.choice(self._plan.faults)
            self._counts.faults[fault] += 1
            return fault

    async def _answer(self, request: Message, kind: Kind, reader: asyncio.StreamReader,
                      writer: asyncio.StreamWriter, status: int, code: str) -> bool:
        """An error as S3 words it, without asking the server."""
        if not request.expects_continue:
            async with aclosing(body_of(reader, request, request.empty_request)) as pieces:
                async for piece in pieces:
                    self._count_in(kind, piece)
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
        closes = "Connection: close\r\n" if request.expects_continue else ""
        head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n{closes}"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        writer.write((head if request.method == "HEAD" else head + body).encode())
        await writer.drain()
        return not request.expects_continue

    async def _send(self, request: Message, kind: Kind, reader: asyncio.StreamReader,
                    server: ServerWire) -> None:
        await server.write(request.head)
        listens = True
        async with aclosing(body_of(reader, request, request.empty_request)) as pieces:
            async for piece in pieces:
                self._count_in(kind, piece)
                # A server that has answered and hung up does not end what the client sends.
                listens = listens and await server.write(piece)

    async def _receive(self, request: Message, kind: Kind, fault: Fault | None,
                       server: ServerWire, writer: asyncio.StreamWriter) -> bool:
        """Passes on what the fault leaves of the answer; whether the connection stays."""
        answer = await Message.read(server)
        while answer.status < 200:  # 100 Continue
            writer.write(answer.head)
            answer = await Message.read(server)
        empty = request.method == "HEAD" or answer.status in (204, 304) or answer.length == 0
        left = None
        if fault is Fault.TRUNCATE:
            left = 0 if empty else (answer.length or 2) // 2
            # Without a body within the status line: to some clients half a head is a head.
            writer.write(answer.head[:8] if empty else answer.head)
        elif fault is None:
            writer.write(answer.head)
        async with aclosing(body_of(server, answer, empty)) as pieces:
            async for piece in pieces:
                if fault in (Fault.LOSE, Fault.LOSE_BY_RESET):
                    continue  # read to its end: the server is done when it has said everything
                passed = piece[:left]
                writer.write(passed)
                await writer.drain()
                with self._lock:
                    self._counts.bytes_out[kind] += len(passed)
                if left is not None:
                    left -= len(passed)
                    if left <= 0:
                        return False
        if fault is Fault.LOSE_BY_RESET:
            # With a linger of zero, closing resets.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await writer.drain()
        return fault is None and not answer.closes

    def _count_in(self, kind: Kind, piece: bytes) -> None:
        with self._lock:
            self._counts.bytes_in[kind] += len(piece)


def kind_of(request: Message) -> Kind:
    """What a request asks for, by the S3 API."""
    path, _, query = request.first_line[1].partition("?")
    names = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    has_key = "/" in path.strip("/")
    if request.method == "HEAD":
        return Kind.HEAD
    if request.method == "POST" and "delete" in names:
        return Kind.BULK_DELETE
    if not has_key:
        return Kind.LIST if request.method == "GET" and "list-type" in names else Kind.OTHER
    if "uploadId" in names or "uploads" in names:
        return UPLOAD_KINDS.get((request.method, "uploads" in names), Kind.OTHER)
    if request.method == "GET":
        return Kind.GET_RANGE if "range" in request.headers else Kind.GET
    if request.method == "PUT":
        return Kind.COPY if "x-amz-copy-source" in request.headers else Kind.PUT
    return Kind.DELETE if request.method == "DELETE" else Kind.OTHER


# By method, and whether the query says `uploads` (with `uploadId` otherwise).
UPLOAD_KINDS = {
    ("POST", True): Kind.UPLOAD_CREATE,
    ("PUT", False): Kind.UPLOAD_PART,
    ("POST", False): Kind.UPLOAD_COMPLETE,
    ("DELETE", False): Kind.UPLOAD_ABORT,
}
