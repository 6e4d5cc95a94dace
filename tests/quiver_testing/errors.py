"""One vocabulary for the errors of three clients: the gRPC code's name and the server's message."""

from __future__ import annotations

import re

import adbc_driver_manager
import grpc
import pyarrow as pa

# How Arrow's C++ client words each code that it does not give a class of its own.
ARROW_PHRASES = {
    "cancelled call": "CANCELLED",
    "RPC failed": "UNKNOWN",
    "invalid argument error": "INVALID_ARGUMENT",
    "timeout error": "DEADLINE_EXCEEDED",
    "not found error": "NOT_FOUND",
    "already exists error": "ALREADY_EXISTS",
    "unauthorized error": "PERMISSION_DENIED",
    "resource exhausted error": "RESOURCE_EXHAUSTED",
    "precondition failed error": "FAILED_PRECONDITION",
    "aborted error": "ABORTED",
    "out-of-range error": "OUT_OF_RANGE",
    "unimplemented error": "UNIMPLEMENTED",
    "internal error": "INTERNAL",
    "unavailable error": "UNAVAILABLE",
    "data loss error": "DATA_LOSS",
    "unauthenticated error": "UNAUTHENTICATED",
}
ARROW_ERROR = re.compile(
    r"(?:Flight|gRPC) (?:returned )?(?P<phrase>[\w -]+?), ?with message: (?P<message>.*)", re.S
)
ARROW_FAILED = re.compile(r"Flight RPC failed with message: (?P<message>.*)", re.S)
# The Go driver: "NOT_FOUND: [FlightSQL] no table t (NotFound; ExecuteQuery)".
ADBC_ERROR = re.compile(
    r"\[FlightSQL\] (?P<message>.*) \((?P<code>[A-Z]\w+); (?P<call>[^()]*)\)", re.S
)


class NotAnAnswer(AssertionError):
    """The call failed, but not by an error the server sent."""


def code_and_message(error: BaseException) -> tuple[str, str]:
    """What the server answered: the code's name and its message."""
    if isinstance(error, grpc.RpcError):
        return error.code().name, error.details() or ""
    text = str(error)
    if match := ADBC_ERROR.search(text):
        return upper_snake(match["code"]), match["message"]
    if match := ARROW_ERROR.search(text):
        return ARROW_PHRASES.get(match["phrase"], match["phrase"]), clean(match["message"])
    if match := ARROW_FAILED.search(text):
        return "UNKNOWN", clean(match["message"])
    raise NotAnAnswer(f"{type(error).__module__}.{type(error).__name__}: {text}") from error


def upper_snake(name: str) -> str:
    """`NotFound` to `NOT_FOUND`; the driver writes `Canceled` with one l."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()
    return "CANCELLED" if snake == "CANCELED" else snake


def clean(message: str) -> str:
    """The message without what the client adds behind it."""
    return re.split(r"\. (?:Client context|gRPC client debug context|Detail):", message)[0]


def assert_refused(error: BaseException, *codes: str, mentions: str | None = None) -> str:
    """Asserts that `error` is an answer with one of `codes` whose message is one useful line."""
    code, message = code_and_message(error)
    assert code in codes, f"expected {' or '.join(codes)}, got {code}: {message}"
    assert message.strip(), f"{code} without a message"
    assert "\n" not in message.strip(), f"{code} with more than one line: {message!r}"
    assert len(message) <= 4000, f"{code} with {len(message)} characters"
    for leak in ("panicked", "backtrace", "RUST_BACKTRACE", "/src/", ".rs:"):
        assert leak not in message, f"{code} shows internals: {message}"
    if mentions is not None:
        assert mentions.lower() in message.lower(), f"{code} does not mention {mentions!r}: {message}"
    return message


# Arrow's "not found" is a KeyError; a connection that ends may be an OSError.
CLIENT_ERRORS: tuple[type[BaseException], ...] = (
    adbc_driver_manager.Error, pa.ArrowException, KeyError, grpc.RpcError, OSError,
)
