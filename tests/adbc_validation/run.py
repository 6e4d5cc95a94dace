"""Runs arrow-adbc's C++ validation suite, with the stock driver of PyPI, against a server of its own.

    QUIVER_BIN=target/release/quiver .venv/bin/python tests/adbc_validation/run.py --source ARROW_ADBC

ARROW_ADBC is a checkout of github.com/apache/arrow-adbc: no registry has the suite. Needs g++, and googletest with
googlemock (Debian: `apt install libgmock-dev`). What is built stays in .cache/adbc_validation.

Twice: with the driver as it is, and with statements that are made anew after an ingest (see README.md). Exit code: 0
when every test that failed or was skipped is one that is explained here, for the reason given here.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

from quiver_testing.server import NO_TIMED_FLUSH, Server  # noqa: E402

DRIVER = "libadbc_driver_flightsql.so"
WRAPPED = ("AdbcStatementNew", "AdbcStatementSetOption", "AdbcStatementSetSqlQuery")
RUN_SECONDS_MAX = 600

# The driver as it is runs no query with a statement that has ingested: whatever fails with this says nothing of Quiver.
STALE_ROWS = "must set IngestTargetTable before bulk ingestion"

# Test: (what its failure has to contain, why).
EXPLAINED = {
    "QuiverStatementTest.SqlIngestDuration": (
        "has type Duration(s), which cannot be kept", "the open catalog has no type for durations",
    ),
    "QuiverStatementTest.SqlIngestInterval": (
        "type INTERVAL in a table is not supported", "Parquet has no type for intervals with nanoseconds",
    ),
    "QuiverStatementTest.SqlIngestTimestampTz": (
        "has digits that Timestamp", "the open catalog has zones with microseconds only: 42 ns do not fit",
    ),
    "QuiverStatementTest.TestSqlIngestStreamZeroArrays": (
        "the upload has no message", "the driver sends nothing, not even a schema, when there is no batch",
    ),
}
SKIPPED = {
    "QuiverConnectionTest.MetadataGetObjectsPrimaryKey": "there are no keys (RefusalTest.Keys)",
    "QuiverConnectionTest.MetadataGetObjectsForeignKey": "there are no keys (RefusalTest.Keys)",
    "QuiverStatementTest.SqlIngestPrimaryKey": "there are no keys (RefusalTest.Keys)",
    "QuiverConnectionTest.MetadataGetStatisticNames": "the driver has no statistics (RefusalTest.Statistics)",
    **{
        f"QuiverStatementTest.SqlIngestTemporary{what}": "there are no temporary tables (RefusalTest.TemporaryTables)"
        for what in ("", "Append", "Replace", "Exclusive")
    },
}


@dataclass
class Outcome:
    test: str
    result: str  # passed, failed or skipped
    messages: str

    def explanation(self, fresh_statements: bool) -> str | None:
        """Why this was to be expected; None when it was not."""
        if self.result == "skipped":
            return SKIPPED.get(self.test)
        if not fresh_statements and STALE_ROWS in self.messages:
            return "the driver keeps the rows of an ingest"
        needle, why = EXPLAINED.get(self.test, (None, None))
        return why if needle and needle in self.messages else None


def main() -> int:
    options = arguments()
    program = build(options.source.resolve(), options.prefix.resolve(), options.build.resolve())
    print(f"adbc-driver-flightsql {metadata.version('adbc-driver-flightsql')}, arrow-adbc {revision(options.source)}")
    unexplained, total = [], {"passed": 0, "failed": 0, "skipped": 0}
    for fresh_statements in (False, True):
        print("-- statements made anew after an ingest" if fresh_statements else "-- the driver as it is")
        outcomes = run(program, fresh_statements)
        for outcome in outcomes:
            total[outcome.result] += 1
        unexplained += show(outcomes, fresh_statements)
    for line in unexplained:
        print(f"NOT EXPECTED: {line}")
    print(", ".join(f"{count} {result}" for result, count in total.items()))
    return 1 if unexplained else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = os.environ.get("ARROW_ADBC_SOURCE")
    parser.add_argument(
        "--source", type=Path, default=source, required=source is None,
        help="checkout of arrow-adbc (or ARROW_ADBC_SOURCE)",
    )
    parser.add_argument("--prefix", type=Path, default=Path("/usr"), help="where googletest and googlemock are")
    parser.add_argument("--build", type=Path, default=ROOT / ".cache" / "adbc_validation", help="where to build")
    return parser.parse_args()


def revision(source: Path) -> str:
    if not (source / ".git").exists():
        return "of unknown revision"
    ask = ["git", "-C", str(source), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()


def build(source: Path, prefix: Path, folder: Path) -> Path:
    """The suite with our quirks, linked against the driver of this Python environment."""
    c = source / "c"
    assert (c / "validation" / "adbc_validation.h").is_file(), f"{source} is no checkout of arrow-adbc"
    folder.mkdir(parents=True, exist_ok=True)
    includes = [f"-I{path}" for path in (c, c / "include", c / "driver", c / "vendor", prefix / "include")]
    sources = sorted((c / "validation").glob("*.cc"))
    sources += [c / "driver" / "common" / "utils.c", c / "vendor" / "nanoarrow" / "nanoarrow.c"]
    sources.append(HERE / "quiver_validation.cc")
    objects = []
    for file in sources:
        compiler = ["cc"] if file.suffix == ".c" else ["c++", "-std=c++17"]
        made = folder / f"{file.name}.o"
        command = [*compiler, "-O0", *includes, "-c", str(file), "-o", str(made)]
        compile_once(command, made, newer_than=file)
        objects.append(str(made))
    program = folder / "quiver_validation"
    wrapped = ",".join(["-Wl", *(f"--wrap={name}" for name in WRAPPED)])
    libraries = [f"-L{path}" for path in (prefix / "lib", *(prefix / "lib").glob("*-linux-gnu"))]
    libraries += ["-lgmock_main", "-lgmock", "-lgtest", "-lpthread"]
    link = ["c++", "-o", str(program), *objects, str(driver_under_its_name(folder)), f"-Wl,-rpath,{folder}", wrapped]
    subprocess.run([*link, *libraries], check=True)
    return program


def compile_once(command: list[str], made: Path, newer_than: Path) -> None:
    """Runs a compiler unless what it makes is there: made by the same command from the same source."""
    note = made.with_suffix(".command")
    same = made.exists() and note.exists() and note.read_text() == shlex.join(command)
    if same and made.stat().st_mtime > newer_than.stat().st_mtime:
        return
    print(f"-- compiling {newer_than.name}", flush=True)
    subprocess.run(command, check=True)
    note.write_text(shlex.join(command))


def driver_under_its_name(folder: Path) -> Path:
    """A link to the driver's library, and one under the name by which programs ask for it when they start."""
    import adbc_driver_flightsql

    library = Path(adbc_driver_flightsql.__file__).with_name(DRIVER)
    dynamic = subprocess.run(["objdump", "-p", str(library)], check=True, capture_output=True, text=True).stdout
    names = [line.split()[1] for line in dynamic.splitlines() if line.split()[:1] == ["SONAME"]]
    for name in {DRIVER, *names}:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(library)
    return folder / DRIVER


def run(program: Path, fresh_statements: bool) -> list[Outcome]:
    """All tests against a new server."""
    binary = os.environ.get("QUIVER_BIN")
    assert binary and Path(binary).is_file(), "set QUIVER_BIN to the quiver binary"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        server = Server(Path(binary).resolve(), Path(folder), settings=NO_TIMED_FLUSH).start()
        environment = dict(
            os.environ, QUIVER_URI=server.uri, QUIVER_USER=server.user, QUIVER_PASSWORD=server.password,
            QUIVER_FRESH_STATEMENTS="1" if fresh_statements else "",
        )
        try:
            done = subprocess.run(
                [str(program), f"--gtest_output=json:{report}", "--gtest_brief=1"],
                env=environment, capture_output=True, text=True, timeout=RUN_SECONDS_MAX,
            )
            assert report.exists(), f"the suite ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}"
            assert server.alive(), server.log()[-4000:]
            assert server.stop() == 0, server.log()[-4000:]
            return outcomes_of(json.loads(report.read_text()))
        finally:
            server.close()


def outcomes_of(report: dict) -> list[Outcome]:
    outcomes = []
    for suite in report["testsuites"]:
        for test in suite["testsuite"]:
            messages = "\n".join(failure["failure"] for failure in test.get("failures", []))
            result = "failed" if messages else "skipped" if test["result"] == "SKIPPED" else "passed"
            outcomes.append(Outcome(f"{suite['name']}.{test['name']}", result, messages))
    return outcomes


def show(outcomes: list[Outcome], fresh_statements: bool) -> list[str]:
    """Prints what did not pass by reason; comes back with what is not as it is listed here."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    unexpected = []
    listed = EXPLAINED.keys() | SKIPPED.keys()
    for outcome in outcomes:
        if outcome.result == "passed":
            if outcome.test in listed:
                unexpected.append(f"{outcome.test} passed: it is listed as failing or skipped")
            continue
        why = outcome.explanation(fresh_statements)
        by_reason.setdefault((outcome.result, why or "not explained"), []).append(outcome.test)
        if why is None:
            unexpected.append(f"{outcome.test} {outcome.result}\n{outcome.messages}")
    for (result, why), tests in by_reason.items():
        print(f"{len(tests)} {result}: {why}\n    " + " ".join(test.split(".")[1] for test in tests))
    unknown = listed - {outcome.test for outcome in outcomes}
    return unexpected + [f"{test} is listed, but the suite does not have it" for test in sorted(unknown)]


if __name__ == "__main__":
    sys.exit(main())
