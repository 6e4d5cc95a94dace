"""The S3 server and the faulty proxy before it, by themselves: other tests lean on them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import threading
import time
from contextlib import suppress

import pytest

from quiver_testing.s3 import S3Server
from quiver_testing.s3_proxy import Fault, Kind, S3Proxy

MIB = 1 << 20
PART_BYTES = 5 * MIB  # the smallest that S3 takes, but for the last


@pytest.fixture
def proxy(s3):
    with S3Proxy(s3.port, stall_seconds=0.2) as proxy:
        yield proxy


def make_bytes(size: int) -> bytes:
    """Not the same anywhere, so that a piece in the wrong place is found out."""
    return hashlib.shake_128(str(size).encode()).digest(size)


def try_request(client, *request) -> int:
    """The status; 0 when the connection ended instead."""
    try:
        return client.request(*request).status
    except (OSError, http.client.HTTPException):
        return 0


def test_file_system_round_trip(s3, bucket):
    """pyarrow writes 24 MiB in parts, reads and deletes; the object is a file on the disk, too."""
    files, data = s3.filesystem(), make_bytes(24 * MIB)
    with files.open_output_stream(f"{bucket}/a/large") as sink:
        for start in range(0, len(data), MIB):
            sink.write(data[start : start + MIB])
    with files.open_output_stream(f"{bucket}/a/small") as sink:
        sink.write(b"small")
    with files.open_input_file(f"{bucket}/a/large") as source:
        assert source.read_at(1000, 7 * MIB) == data[7 * MIB : 7 * MIB + 1000]
        assert source.read() == data
    assert s3.client().objects(bucket) == {"a/large": len(data), "a/small": 5}
    assert s3.client().objects(bucket, "a/s") == {"a/small": 5}
    assert s3.client().uploads(bucket) == []
    assert s3.path(bucket, "a/large").read_bytes() == data
    files.delete_file(f"{bucket}/a/large")
    # pyarrow leaves a mark for the folder that may have become empty.
    assert list(s3.client().objects(bucket)) == ["a/", "a/small"]


def test_only_the_first_conditional_put_wins(s3, bucket):
    client, only_new = s3.client(), {"If-None-Match": "*"}
    assert client.request("PUT", f"/{bucket}/k", body=b"first", headers=only_new).status == 200
    assert client.request("PUT", f"/{bucket}/k", body=b"second", headers=only_new).status == 412
    assert client.request("GET", f"/{bucket}/k").body == b"first"


def test_checksums_and_signatures_are_checked(s3, bucket):
    client = s3.client()
    right = base64.b64encode(hashlib.sha256(b"right").digest()).decode()
    for body, status in ((b"right", 200), (b"wrong", 400)):
        headers = {"x-amz-checksum-sha256": right, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
        answer = client.request("PUT", f"/{bucket}/{status}", body=body, headers=headers)
        assert answer.status == status
    client.secret_key = "not the secret"
    assert client.request("GET", f"/{bucket}/200").status == 403


def test_multipart_uploads_that_end_and_that_do_not(s3, bucket):
    client = s3.client()
    upload = client.request("POST", f"/{bucket}/k", {"uploads": ""})
    part = {"uploadId": upload.xml()[-1].text, "partNumber": "1"}
    assert client.request("PUT", f"/{bucket}/k", part, make_bytes(PART_BYTES)).status == 200
    assert client.uploads(bucket) == ["k"] and client.objects(bucket) == {}
    del part["partNumber"]
    assert client.request("DELETE", f"/{bucket}/k", part).status == 204
    assert client.uploads(bucket) == []


def test_bulk_delete_and_long_listings(s3, bucket):
    """More keys than one answer lists; a key that is not there counts as deleted."""
    client, keys = s3.client(), [f"k/{number:04}" for number in range(1005)]
    for key in keys:
        s3.path(bucket, key).parent.mkdir(exist_ok=True)
        s3.path(bucket, key).touch()
    assert list(client.objects(bucket)) == keys
    names = "".join(f"<Object><Key>{key}</Key></Object>" for key in [*keys[:999], "none"])
    body = f"<Delete>{names}</Delete>".encode()
    digest = {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    answer = client.request("POST", f"/{bucket}", {"delete": ""}, body, digest)
    assert answer.status == 200 and b"<Error>" not in answer.body
    assert list(client.objects(bucket)) == keys[999:]


def test_objects_survive_a_restart(s3_program, tmp_path):
    with S3Server(s3_program, tmp_path) as server:
        server.client().create_bucket("bucket")
        server.client().request("PUT", "/bucket/k", body=b"kept")
        assert server.stop() == 0, server.log()
        server.start()
        assert server.client().request("GET", "/bucket/k").body == b"kept"


def test_healthy_proxy_changes_nothing(s3, bucket, proxy):
    """64 MiB in one request and many small ones are answered as by the server itself."""
    files, data = s3.filesystem(proxy.port), make_bytes(64 * MIB)
    client, direct = s3.client(proxy.port), s3.client()
    assert client.request("PUT", f"/{bucket}/one", body=data).status == 200
    assert direct.request("GET", f"/{bucket}/one").body == data
    assert client.request("GET", f"/{bucket}/one").body == data
    with files.open_output_stream(f"{bucket}/parts") as sink:
        for start in range(0, len(data), MIB):
            sink.write(data[start : start + MIB])
    with files.open_input_file(f"{bucket}/parts") as source:
        assert all(source.read_at(9, at) == data[at : at + 9] for at in range(0, 64 * MIB, MIB))
    for request in (("GET", f"/{bucket}/none"), ("HEAD", f"/{bucket}/one"), ("GET", "/"),
                    ("GET", f"/{bucket}", {"list-type": "2"}), ("DELETE", f"/{bucket}/none")):
        through, straight = client.request(*request), direct.request(*request)
        assert through.status == straight.status
        assert through.headers.keys() == straight.headers.keys()
    files.delete_file(f"{bucket}/parts")
    assert not proxy.counts().faults


def test_refusal_of_a_large_body_arrives(s3, bucket, proxy):
    """The server answers and hangs up before it has read the body."""
    client, data, only_new = s3.client(proxy.port), make_bytes(16 * MIB), {"If-None-Match": "*"}
    client.request("PUT", f"/{bucket}/k", body=b"first")
    for _ in range(5):
        assert client.request("PUT", f"/{bucket}/k", None, data, only_new).status == 412
    assert s3.client().objects(bucket) == {"k": 5}


def test_counts_tell_requests_apart(s3, bucket, proxy):
    client, path = s3.client(proxy.port), f"/{bucket}/some/key"
    client.request("PUT", path, body=b"12345")
    client.request("GET", path)
    client.request("GET", path, None, b"", {"Range": "bytes=1-2"})
    client.request("HEAD", path)
    client.request("PUT", f"/{bucket}/copy", None, b"", {"x-amz-copy-source": path})
    client.request("DELETE", path)
    client.objects(bucket)
    client.uploads(bucket)
    upload = {"uploadId": client.request("POST", path, {"uploads": ""}).xml()[-1].text}
    client.request("PUT", path, {**upload, "partNumber": "1"}, b"123")
    client.request("POST", path, upload, b"<CompleteMultipartUpload/>")
    client.request("DELETE", path, upload)
    client.request("POST", f"/{bucket}", {"delete": ""}, b"<Delete/>")
    counts = proxy.counts()
    assert counts.kinds == dict.fromkeys(Kind, 1)
    assert counts.methods == {"PUT": 3, "GET": 4, "HEAD": 1, "DELETE": 2, "POST": 3}
    assert (counts.bytes_in[Kind.PUT], counts.bytes_in[Kind.UPLOAD_PART]) == (5, 3)
    assert (counts.bytes_out[Kind.GET], counts.bytes_out[Kind.GET_RANGE]) == (5, 2)
    proxy.reset_counts()
    assert not proxy.counts().kinds


@pytest.mark.parametrize(("fault", "status", "stored"), [
    (Fault.SLOW_DOWN, 503, False),
    (Fault.INTERNAL_ERROR, 500, False),
    (Fault.STALL, 0, False),
    (Fault.DROP, 0, False),
    (Fault.LOSE, 0, True),
    (Fault.LOSE_BY_RESET, 0, True),
    (Fault.TRUNCATE, 0, True),
])
def test_faults_of_a_put(s3, bucket, proxy, fault, status, stored):
    """What the client sees, and whether the server has done it all the same."""
    client = s3.client(proxy.port)
    proxy.faulty(1.0, [fault], [Kind.PUT])
    assert try_request(client, "PUT", f"/{bucket}/k", None, make_bytes(3 * MIB)) == status
    assert proxy.counts().faults == {fault: 1}
    assert ("k" in s3.client().objects(bucket)) == stored
    # Of another kind, so it is spared.
    assert try_request(client, "HEAD", f"/{bucket}/k") == (200 if stored else 404)
    proxy.healthy()
    assert try_request(client, "PUT", f"/{bucket}/k", None, b"again") == 200


def test_body_is_cut_in_the_middle(s3, bucket, proxy):
    s3.client().request("PUT", f"/{bucket}/k", body=make_bytes(MIB))
    proxy.faulty(1.0, [Fault.TRUNCATE])
    with pytest.raises(http.client.IncompleteRead) as cut:
        s3.client(proxy.port).request("GET", f"/{bucket}/k")
    assert len(cut.value.partial) == MIB // 2 == proxy.counts().bytes_out[Kind.GET]


def test_answer_that_ends_with_a_reset(s3, bucket, proxy):
    proxy.faulty(1.0, [Fault.LOSE_BY_RESET])
    with pytest.raises(ConnectionResetError):
        s3.client(proxy.port).request("PUT", f"/{bucket}/k", body=b"1")
    proxy.faulty(1.0, [Fault.LOSE])
    with pytest.raises(http.client.RemoteDisconnected) as closed:
        s3.client(proxy.port).request("PUT", f"/{bucket}/k", body=b"1")
    assert "without response" in str(closed.value)


def test_share_of_faults_and_the_same_seed(s3, bucket):
    """A fifth of the requests, give or take; with the same seed the same ones."""
    outcomes = []
    for _ in range(2):
        with S3Proxy(s3.port, seed=7, stall_seconds=0.01) as proxy:
            proxy.faulty(0.2)
            client = s3.client(proxy.port)
            outcomes.append([try_request(client, "HEAD", f"/{bucket}/k") for _ in range(200)])
            faults = proxy.counts().faults
    assert outcomes[0] == outcomes[1]
    assert 20 <= faults.total() <= 70 and faults.keys() == set(Fault)
    # There is no such key, which only those that were spared are told.
    assert outcomes[0].count(404) == 200 - faults.total()


def test_clients_that_try_again_get_through(s3, bucket, proxy):
    proxy.faulty(0.2, [fault for fault in Fault if fault is not Fault.STALL])
    files, data = s3.filesystem(proxy.port, attempts=10), make_bytes(MIB)
    for number in range(8):
        with files.open_output_stream(f"{bucket}/{number}") as sink:
            sink.write(data)
        with files.open_input_file(f"{bucket}/{number}") as source:
            assert source.read() == data
    assert proxy.counts().faults.total() >= 3


def test_down_refuses_and_ends_what_goes_on(s3, bucket, proxy):
    """A request that stalls is ended at once; nobody listens until the proxy is healthy again."""
    proxy.stall_seconds = 60
    proxy.faulty(1.0, [Fault.STALL])
    client, statuses = s3.client(proxy.port), []
    request = (client, "GET", f"/{bucket}/k")
    waiting = threading.Thread(target=lambda: statuses.append(try_request(*request)))
    waiting.start()
    deadline = time.monotonic() + 30
    while not proxy.counts().faults and time.monotonic() < deadline:
        time.sleep(0.01)
    proxy.down()
    waiting.join(30)
    assert statuses == [0]
    with pytest.raises(ConnectionRefusedError):
        client.request("GET", f"/{bucket}/k")
    proxy.healthy()
    assert try_request(*request) == 404


@pytest.mark.parametrize("faults", [[], [Fault.SLOW_DOWN]])
def test_expect_100_continue(s3, bucket, proxy, faults):
    """The server's word to go on is passed on; an error comes before the body was sent."""
    proxy.faulty(1.0 if faults else 0.0, faults)
    client = s3.client(proxy.port)
    headers = {"expect": "100-continue", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    head = client.signed_head("PUT", f"/{bucket}/k", {**headers, "content-length": "5"})
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as wire:
        wire.sendall(head)
        first = wire.recv(1 << 16)
        assert first.startswith(b"HTTP/1.1 503" if faults else b"HTTP/1.1 100"), first
        with suppress(OSError):
            wire.sendall(b"12345")
        if not faults:
            assert b"HTTP/1.1 200" in first + wire.recv(1 << 16)
    assert s3.client().objects(bucket) == ({} if faults else {"k": 5})
