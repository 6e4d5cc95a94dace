"""The real binary as a test subject: started on free ports, watched, stopped, killed, started again."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
# Long enough that nothing is flushed behind a test's back: tests that want a flush call for it.
NO_TIMED_FLUSH = {"QUIVER_WRITE_BUFFER__FLUSH_INTERVAL_MS": "3600000"}
# And nothing compacted.
NO_BACKGROUND = {**NO_TIMED_FLUSH, "QUIVER_COMPACTION__ENABLED": "false"}


# Below the ports that the kernel gives to whoever connects (32768 on), so that none of these is lost between the
# question and the server's start, or while a server restarts.
_ports = itertools.cycle(random.sample(range(20_000, 32_000), 12_000))


def free_port() -> int:
    """A port of the loopback interface that nothing listens on; another one at each call."""
    for port in itertools.islice(_ports, 12_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port between 20000 and 32000 is free")


def end_with_parent() -> None:
    """Runs in a child: it is killed when the test run is, so that none is left behind (Linux)."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """One `quiver serve` over one data folder. The ports stay the same across restarts."""

    user = "admin"
    password = "quiver"

    def __init__(self, binary: Path, folder: Path, *, dev: bool = True, settings=None):
        self.binary = binary
        self.folder = folder
        self.data_dir = folder / "data"
        self.log_path = folder / "server.log"
        self.dev = dev
        self.settings = dict(settings or {})
        self.flight_port = free_port()
        self.http_port = free_port()
        self.process: subprocess.Popen | None = None
        self._log_start = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def uri(self) -> str:
        return f"grpc://127.0.0.1:{self.flight_port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def catalog_path(self) -> Path:
        return self.tenant_catalog("default")

    def tenant_catalog(self, tenant: str) -> Path:
        return self.data_dir / "tenants" / tenant / "catalog.sqlite"

    def environment(self) -> dict[str, str]:
        """The process environment without settings of whoever runs the tests."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("QUIVER_")}
        return {**clean, "QUIVER_LOG__FORMAT": "json", **self.settings}

    def command(self) -> list[str]:
        command = [str(self.binary), "serve", "--data-dir", str(self.data_dir)]
        command += ["--flight-addr", f"127.0.0.1:{self.flight_port}"]
        command += ["--http-addr", f"127.0.0.1:{self.http_port}"]
        return command + (["--dev"] if self.dev else [])

    def start(self) -> "Server":
        """Starts the process and returns once /ready says so."""
        assert self.process is None, "the server runs already"
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
                cwd=self.folder,
                preexec_fn=end_with_parent,
            )
        self._wait_ready()
        return self

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise AssertionError(f"the server exited with {code}:\n{self.log()[-4000:]}")
            if self.get("/ready")[0] == 200:
                return
            time.sleep(0.02)
        raise AssertionError(f"not ready after {READY_SECONDS_MAX} s:\n{self.log()[-4000:]}")

    def get(self, path: str) -> tuple[int, str]:
        """(status, body) of an HTTP GET; (0, why) when nobody answers."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def stop(self) -> int:
        """SIGTERM; the exit code. A server that does not end in time is killed and fails the test."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"still running {STOP_SECONDS_MAX} s after SIGTERM:\n{self.log()[-4000:]}"
            ) from None

    def kill9(self) -> None:
        """SIGKILL: what the process had not made durable is gone."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def restart(self) -> "Server":
        """A clean stop and a start over the same data."""
        code = self.stop()
        assert code == 0, f"exit code {code}: {self.log()[-4000:]}"
        return self.start()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def close(self) -> None:
        """Ends the process whatever state it is in; for the end of a test."""
        if self.process is not None:
            self.kill9()

    def log(self, since_start: bool = True) -> str:
        """What the server wrote, of this start only unless told otherwise."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start if since_start else 0)
            return log.read().decode(errors="replace")

    def log_records(self) -> list[dict]:
        """The JSON lines of the log of this start."""
        records = []
        for line in self.log().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the banner is for people
            if isinstance(record, dict):
                records.append(record)
        return records

    def run(self, *arguments: str, input: str | None = None, password: str | None = None,
            timeout: int = 120, user: str | None = None) -> subprocess.CompletedProcess:
        """A `quiver` command against this server."""
        environment = {
            **self.environment(),
            "QUIVER_URI": self.uri,
            "QUIVER_PASSWORD": password or self.password,
        }
        return subprocess.run(
            [str(self.binary), *arguments, *(["--user", user] if user else [])],
            input=input if input is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            cwd=self.folder,
        )
