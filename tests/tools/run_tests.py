"""Runs everything `make test` runs and adds it up in one last line: `N passed, N failed, N skipped`.

Steps: the Python environment (made when missing, brought to the pinned versions when they changed),
their S3 server (built when missing), `cargo test --workspace`, then pytest against the debug binary
that the same build made. Every step runs even if an earlier one failed, so that one run shows all
that is broken; only tests that need a binary that did not build are not started, and that counts as
a failure.

What failed is named once more before that line, where the end of a cut log still shows it.

Exit code: 0 when nothing failed; with CI=true, when nothing was skipped either.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

from s3_server import install_s3_server

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
LOGIC_TESTS_VERSION = "55.2.0"
RESULT_LINE = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
TEST_LINE = re.compile(r"^test (.+) \.\.\. (ok|FAILED)$")


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    broken: list[str] = field(default_factory=list)  # what failed: names of tests, or what did not run

    def add(self, other: "Count") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.broken += other.broken

    def fail(self, what: str) -> None:
        """Counts something that failed without being a test."""
        self.failed += 1
        self.broken.append(what)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def main() -> int:
    total = Count()
    python = prepare_environment()
    s3_server = install_s3_server()
    binary = build_binary()
    logic_tests = fetch_logic_tests()
    total.add(timed("Rust tests", lambda: run_cargo_tests(logic_tests)))
    if binary is None:
        total.fail("the binary did not build, so the black-box tests cannot run")
    else:
        total.add(timed("black-box tests", lambda: run_pytest(python, binary, s3_server)))
    refused = total.skipped > 0 and os.environ.get("CI", "").lower() == "true"
    if refused:
        total.broken.append("CI=true allows no skipped test")
    for what in total.broken:
        print(f"FAILED: {what}")
    print(total, flush=True)
    return 1 if total.failed > 0 or total.passed == 0 or refused else 0


def timed(name: str, step) -> Count:
    started = time.monotonic()
    count = step()
    print(f"-- {name}: {count} in {time.monotonic() - started:.0f} s", flush=True)
    return count


def prepare_environment() -> Path:
    """The interpreter of the tests' virtual environment, holding exactly the pinned packages."""
    venv = Path(os.environ.get("QUIVER_VENV") or ROOT / ".venv")
    python = venv / "bin" / "python"
    requirements = TESTS / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = venv / ".quiver-requirements"
    if python.exists() and stamp.exists() and stamp.read_text() == digest:
        return python
    if sys.version_info < (3, 11):
        sys.exit("the tests need Python 3.11 or newer; set PYTHON=/path/to/python3")
    print(f"-- preparing {venv}", flush=True)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--requirement", str(requirements)], check=True)
    stamp.write_text(digest)
    return python


def build_binary() -> Path | None:
    """Builds the binary the black-box tests start.

    All targets at once, as the tests need them: cargo then settles on one set of features, and the
    dependencies, DataFusion first of all, are compiled once for both.
    """
    build = ["cargo", "build", "--workspace", "--all-targets", "--quiet"]
    if subprocess.run(build, cwd=ROOT).returncode != 0:
        return None
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return (ROOT / target / "debug" / "quiver").resolve()


def fetch_logic_tests() -> Path:
    """The folder of DataFusion's SQL test files, which its test crate carries.

    The crate itself is not a dependency: it would bring a second DataFusion with other features. `cargo
    info` gets it as it is.
    """
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    crate = f"datafusion-sqllogictest-{LOGIC_TESTS_VERSION}"
    for fetched in (False, True):
        if folders := list(home.glob(f"registry/src/*/{crate}/test_files")):
            return folders[0]
        if not fetched:
            print(f"-- getting {crate}", flush=True)
            ask = ["cargo", "info", "--quiet", f"datafusion-sqllogictest@{LOGIC_TESTS_VERSION}"]
            # Outside of the workspace, which would answer with what its lock file names.
            subprocess.run(ask, cwd=home, check=True, stdout=subprocess.DEVNULL)
    sys.exit(f"cargo did not bring {crate}")


def run_cargo_tests(logic_tests: Path) -> Count:
    """`cargo test`, its output passed on without the tests that passed, its result lines added up."""
    count = Count()
    command = ["cargo", "test", "--workspace", "--no-fail-fast"]
    environment = dict(os.environ, QUIVER_SLT_DIR=str(logic_tests))
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        text=True,
    ) as cargo:
        for line in cargo.stdout:
            if test := TEST_LINE.match(line):
                if test[2] == "ok":
                    continue
                count.broken.append(test[1])
            if match := RESULT_LINE.match(line):
                count.add(Count(*map(int, match.groups())))
            print(line, end="", flush=True)
    if cargo.returncode != 0 and count.failed == 0:
        count.fail(f"cargo test did not finish (exit code {cargo.returncode})")
    return count


def run_pytest(python: Path, binary: Path, s3_server: Path) -> Count:
    """pytest over tests/, counted from its JUnit file."""
    report = binary.parents[1] / "quiver-pytest.xml"
    report.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-c", str(TESTS / "pytest.ini"), str(TESTS)]
    command += [f"--junit-xml={report}", "--color=no", "-q"]
    environment = dict(os.environ, QUIVER_BIN=str(binary), QUIVER_S3_SERVER=str(s3_server))
    code = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL).returncode
    count = count_junit(report) if report.exists() else Count()
    if code != 0 and count.failed == 0:
        count.fail(f"pytest did not finish (exit code {code})")
    return count


def count_junit(report: Path) -> Count:
    count = Count()
    root = ElementTree.parse(report).getroot()
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            count.broken.append(f"{case.get('classname')}::{case.get('name')}")
    for suite in root.iter("testsuite"):
        numbers = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
        broken = numbers["failures"] + numbers["errors"]
        count.add(
            Count(
                passed=max(0, numbers["tests"] - broken - numbers["skipped"]),
                failed=broken,
                skipped=numbers["skipped"],
            )
        )
    return count


if __name__ == "__main__":
    sys.exit(main())
