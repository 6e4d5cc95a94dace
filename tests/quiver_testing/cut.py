"""A wire that is cut: a proxy on loopback whose connections end after so many bytes from the client or the server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading


class CutWire:
    """Forwards one connection after the other to a port; each is given how much it lives to see.

    The end is a reset, as when a client is killed with data on its way.
    """

    def __init__(self, port: int):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.bytes_left = [1 << 60]
        self.open: list[socket.socket] = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def uri(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def cut_after(self, byte_count: int) -> None:
        """For what is sent from now on, both ways together."""
        self.bytes_left[0] = byte_count

    def cut(self) -> None:
        """Ends all connections now."""
        for end in self.open:
            with contextlib.suppress(OSError):
                # With a linger of zero, closing resets.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RD)
            end.close()
        self.open.clear()

    def close(self) -> None:
        self.listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                self.open += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                # Not exact across threads, which does not matter.
                sink.sendall(data[: max(0, self.bytes_left[0])])
                self.bytes_left[0] -= len(data)
                if self.bytes_left[0] <= 0:
                    break
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        self.cut()
