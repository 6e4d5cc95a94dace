"""Flight over bare gRPC: for what no well-behaved client would send."""

from __future__ import annotations

import grpc
import pyarrow as pa

from .flight import basic
from .flightsql import FLIGHT

SERVICE = "/arrow.flight.protocol.FlightService/"


class Raw:
    """A gRPC channel that sends and receives protobuf bytes as they are."""

    def __init__(self, port: int, user="admin", password="quiver"):
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
        self.metadata = [("authorization", basic(user, password))]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def unary(self, method: str, request: bytes, answer: str, metadata=None, timeout=60):
        call = self.channel.unary_unary(SERVICE + method)
        return FLIGHT[answer].FromString(call(request, timeout, self._metadata(metadata)))

    def stream(self, method: str, request: bytes, metadata=None, timeout=60) -> list[bytes]:
        call = self.channel.unary_stream(SERVICE + method)
        return list(call(request, timeout, self._metadata(metadata)))

    def do_put(self, messages, metadata=None, timeout=60) -> list[bytes]:
        """The serialised PutResults; `messages` may be a generator that sleeps or raises."""
        call = self.channel.stream_stream(SERVICE + "DoPut")
        return list(call(iter(messages), timeout, self._metadata(metadata)))

    def start_put(self, messages, metadata=None, timeout=60):
        """The running call, to be cancelled or left to its deadline."""
        call = self.channel.stream_stream(SERVICE + "DoPut")
        return call(iter(messages), timeout, self._metadata(metadata))

    def _metadata(self, metadata):
        return self.metadata if metadata is None else metadata


def descriptor(command: bytes | None = None, path: tuple[str, ...] = ()):
    """A FlightDescriptor: type 2 is CMD, type 1 is PATH."""
    if command is not None:
        return FLIGHT["FlightDescriptor"](type=2, cmd=command)
    return FLIGHT["FlightDescriptor"](type=1, path=path)


def flight_data(target, schema: pa.Schema, batches) -> list[bytes]:
    """The FlightData messages of a well-formed upload: the schema, then one per batch."""
    messages = [FLIGHT["FlightData"](
        flight_descriptor=target, data_header=_metadata_of(schema.serialize())[0]
    )]
    for batch in batches:
        header, body = _metadata_of(batch.serialize())
        messages.append(FLIGHT["FlightData"](data_header=header, data_body=body))
    return [message.SerializeToString() for message in messages]


def _metadata_of(encapsulated: pa.Buffer) -> tuple[bytes, bytes]:
    """An encapsulated IPC message split into its flatbuffer and its body."""
    data = encapsulated.to_pybytes()
    assert data[:4] == b"\xff\xff\xff\xff"
    length = int.from_bytes(data[4:8], "little")
    return data[8 : 8 + length], data[8 + length :]
