"""Makes the benchmark's Python environments when they are missing or changed, then runs it in them.

`prepare.py BINARY [options of bench.py]`. Everything is kept below QUIVER_BENCH_DIR (default `.bench` beside the
Makefile): two environments, because DuckDB's Quack server exists for an older DuckDB than the one to compare with,
and the TPC-H files.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def environment(folder: Path, requirements: Path) -> Path:
    """The interpreter of an environment that has exactly the pinned packages."""
    python = folder / "bin" / "python"
    stamp = folder / ".requirements"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"-- preparing {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--requirement", str(requirements)], check=True)
    stamp.write_text(digest)
    return python


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    kept = Path(os.environ.get("QUIVER_BENCH_DIR") or HERE.parent / ".bench").absolute()
    python = environment(kept / "venv", HERE / "requirements.txt")
    newer = environment(kept / "venv-duckdb", HERE / "requirements-duckdb.txt")
    command = [str(python), str(HERE / "bench.py"), "--binary", sys.argv[1], "--data", str(kept / "data")]
    return subprocess.run([*command, "--duckdb", str(newer), *sys.argv[2:]]).returncode


if __name__ == "__main__":
    sys.exit(main())
