"""A real S3 server as the place where segments are: started on a free port, stopped, started again.

It keeps each object as a plain file, so that DuckDB can read what a bucket holds without S3 in
between. What it does not do as Amazon's does: `a` and `a/b` cannot both be objects.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import signal
import subprocess
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from unittest.mock import patch

from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

from .server import end_with_parent, free_port

READY_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30
REQUEST_SECONDS_MAX = 60
HEALTH_PATH = "/health"
XMLNS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def xml(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.body)


@dataclass
class S3Client:
    """Signed requests as they are: for what file system clients cannot ask or hide."""

    port: int
    access_key: str
    secret_key: str
    region: str

    def request(self, method: str, path: str, query: Mapping[str, str] | None = None,
                body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """One request over a connection of its own; `path` is `/bucket/key` and not escaped."""
        path = urllib.parse.quote(path, safe="/-_.~")
        pairs = sorted((query or {}).items())
        arguments = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in pairs)
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        self._sign(method, path, arguments, body, sent)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS_MAX)
        try:
            target = f"{path}?{arguments}" if arguments else path
            connection.request(method, target, body or None, sent)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def signed_head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """The head of a request without a query, for who sends it over a socket."""
        sent = {name.lower(): value for name, value in headers.items()}
        self._sign(method, path, "", b"", sent)
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()

    def _sign(self, method: str, path: str, query: str, body: bytes, headers: dict[str, str]):
        """AWS Signature Version 4 over all headers there are."""
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = headers.setdefault("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
        headers |= {"host": f"127.0.0.1:{self.port}", "x-amz-date": now}
        names = ";".join(sorted(headers))
        lines = [f"{name}:{headers[name].strip()}\n" for name in sorted(headers)]
        canonical = "\n".join([method, path, query, "".join(lines), names, digest])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{self.secret_key}".encode()
        for part in (*scope.split("/"), "\n".join(["AWS4-HMAC-SHA256", now, scope, hashed])):
            key = hmac.digest(key, part.encode(), "sha256")
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={key.hex()}"
        )

    def create_bucket(self, bucket: str) -> None:
        answer = self.request("PUT", f"/{bucket}")
        assert answer.status == 200, answer

    def objects(self, bucket: str, prefix: str = "") -> dict[str, int]:
        """The sizes of the objects by key."""
        found: dict[str, int] = {}
        query = {"list-type": "2", "prefix": prefix}
        while True:
            answer = self.request("GET", f"/{bucket}", query)
            assert answer.status == 200, answer
            listing = answer.xml()
            for entry in listing.iter(f"{XMLNS}Contents"):
                found[entry.findtext(f"{XMLNS}Key")] = int(entry.findtext(f"{XMLNS}Size"))
            token = listing.findtext(f"{XMLNS}NextContinuationToken")
            if not token:
                return found
            query["continuation-token"] = token

    def uploads(self, bucket: str) -> list[str]:
        """The keys of the multipart uploads that were neither completed nor aborted.

        They cost what objects cost, and no listing of objects shows them.
        """
        answer = self.request("GET", f"/{bucket}", {"uploads": ""})
        assert answer.status == 200, answer
        return [entry.findtext(f"{XMLNS}Key") for entry in answer.xml().iter(f"{XMLNS}Upload")]


class S3Server:
    """One versitygw over one folder. The port stays the same across restarts."""

    access_key = "quiver-key"
    secret_key = "quiver-secret"
    # Not the region that clients take for granted: one that ignores its setting is found out.
    region = "eu-test-1"

    def __init__(self, binary: Path, folder: Path):
        self.binary = binary
        self.folder = folder
        self.data_dir = folder / "objects"
        self.log_path = folder / "s3.log"
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        for made in (self.data_dir, folder / "metadata"):
            made.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "S3Server":
        return self.start()

    def __exit__(self, *_):
        self.close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        command = [str(self.binary), "--port", f"127.0.0.1:{self.port}", "--region", self.region]
        # Without the option it closes the connection after each answer.
        command += ["--keep-alive", "--health", HEALTH_PATH]
        # Metadata beside the files: not every file system has attributes for them.
        return [*command, "posix", "--sidecar", str(self.folder / "metadata"), str(self.data_dir)]

    def start(self) -> "S3Server":
        """Starts the process and returns once it answers."""
        assert self.process is None, "the S3 server runs already"
        # Settings of its own that whoever runs the tests may have set.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("VGW_", "ROOT_", "AWS_"))}
        keys = {"ROOT_ACCESS_KEY_ID": self.access_key, "ROOT_SECRET_ACCESS_KEY": self.secret_key}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env={**clean, **keys}, cwd=self.folder, preexec_fn=end_with_parent,
            )
        self._wait_ready()
        return self

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the S3 server ended:\n{self.log()[-4000:]}"
            try:
                if self.client().request("GET", HEALTH_PATH).status == 200:
                    return
            except OSError:
                pass  # it does not listen yet
            time.sleep(0.02)
        raise AssertionError(f"no S3 after {READY_SECONDS_MAX} s:\n{self.log()[-4000:]}")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"still running after SIGTERM:\n{self.log()[-4000:]}") from None

    def close(self) -> None:
        """Ends the process whatever state it is in; for the end of a test."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def client(self, port: int | None = None) -> S3Client:
        """Signed requests to the server, or to the port of a proxy before it."""
        return S3Client(port or self.port, self.access_key, self.secret_key, self.region)

    def filesystem(self, port: int | None = None, attempts: int = 1) -> S3FileSystem:
        """pyarrow's client, likewise; it tries once unless told otherwise, so that faults are seen.

        It sends no checksums: it would put them behind chunks within chunks, of which versitygw 1.8
        leaves the last five bytes in a connection that is kept, and takes them for a request.
        """
        with patch.dict(os.environ, {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}):
            return S3FileSystem(
                access_key=self.access_key,
                secret_key=self.secret_key,
                region=self.region,
                scheme="http",
                endpoint_override=f"127.0.0.1:{port or self.port}",
                retry_strategy=AwsStandardS3RetryStrategy(max_attempts=attempts),
                request_timeout=REQUEST_SECONDS_MAX,
            )

    def path(self, bucket: str, key: str) -> Path:
        """The file that an object is."""
        return self.data_dir / bucket / key


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")
