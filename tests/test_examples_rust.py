"""The Rust example runs as printed and says what it should."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "client-examples" / "rust" / "src" / "main.rs"


def test_example(server):
    """Twice: an example that works once only is no example. It is built with the server, beside it."""
    assert len(SOURCE.read_text().splitlines()) < 150
    program = server.binary.with_name("quiver-rust-example")
    for _ in range(2):
        done = subprocess.run(
            [program, f"http://127.0.0.1:{server.flight_port}", server.user, server.password],
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        for line in ("stored 1000 rows", "| station 2 | 16 |", "changed 1 row"):
            assert line in done.stdout, done.stdout
