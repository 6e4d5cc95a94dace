"""The tests that the ADBC driver's authors run against real servers, as they are published with the driver.

The driver's source package on PyPI has them. Its other tests, for errors and polling, need a server made for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path

import pytest

PACKAGE = "adbc-driver-flightsql"
FIXTURES = Path(__file__).with_name("adbc_validation")
# How many tests a file has, and of those that fail: what their failure contains. The driver is pinned, so is this.
FILES = {
    "test_bulk_ingest.py": (9, {}),
    "test_lowlevel.py": (4, {}),
    # Expects the name that Dremio gives to the column of SELECT 1.
    "test_dbapi.py": (4, {"test_query_partitioned": "EXPR$0"}),
}


@pytest.fixture(scope="module")
def published() -> Path:
    """The tests of the version that is installed, beside the packages of the tests."""
    version = metadata.version(PACKAGE)
    folder = Path(sys.prefix) / "sdist" / f"{PACKAGE}-{version}"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        download = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--no-binary", PACKAGE, "--dest", str(folder.parent), f"{PACKAGE}=={version}",
        ]
        # pip asks the package for its metadata, and it wants the library of a driver unless it is told this.
        subprocess.run(download, check=True, env={**os.environ, "_ADBC_IS_SDIST": "1"}, timeout=200)
        (archive,) = folder.parent.glob(f"adbc_driver_flightsql-{version}.tar.gz")
        unpack_tests(archive, folder)
    return folder


def unpack_tests(archive: Path, folder: Path) -> None:
    """All or nothing: the folder is there only with its files."""
    unfinished = folder.with_name(folder.name + ".unfinished")
    unfinished.mkdir(exist_ok=True)
    with tarfile.open(archive) as files:
        for name in FILES:
            (path,) = (path for path in files.getnames() if path.endswith(f"/tests/{name}"))
            (unfinished / name).write_bytes(files.extractfile(path).read())
    unfinished.rename(folder)


@pytest.mark.parametrize("name", FILES)
def test_published_tests(name, published, server, tmp_path):
    count, failures = FILES[name]
    outcomes = run_published(published / name, server, tmp_path / "report.xml")
    assert len(outcomes) == count, outcomes
    unexpected = {test: text for test, text in outcomes.items() if text and test not in failures}
    assert not unexpected, "\n".join(unexpected.values())
    for test, expected in failures.items():
        assert expected in (outcomes[test] or "it passed"), outcomes[test]


def run_published(file: Path, server, report: Path) -> dict[str, str | None]:
    """What each test of the file failed or was skipped with; None for those that passed."""
    command = [
        sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(file.parent), "--noconftest",
        "-p", "no:cacheprovider", "-p", "driver_fixtures", f"--junit-xml={report}", str(file),
    ]
    environment = {
        **os.environ, "PYTHONPATH": str(FIXTURES), "PYTHONDONTWRITEBYTECODE": "1",
        "QUIVER_URI": server.uri, "QUIVER_USER": server.user, "QUIVER_PASSWORD": server.password,
    }
    done = subprocess.run(command, env=environment, cwd=file.parent, capture_output=True, text=True, timeout=200)
    assert report.exists(), done.stdout + done.stderr
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {case.get("name"): "\n".join(part.text or part.get("message") for part in case) or None for case in cases}
