"""Java programs with Arrow's JDBC driver, which Maven gets."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

# The newest that was published with its dependencies in it: 19.0 has only some of its parts there.
JDBC_VERSION = "18.3.0"
MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


@cache
def jdbc_driver() -> Path:
    """The driver, beside the packages of the tests."""
    folder = Path(sys.prefix) / "jdbc"
    jar = folder / f"flight-sql-jdbc-driver-{JDBC_VERSION}.jar"
    if jar.exists():
        return jar
    for program, source in (("java", "a JDK 17"), ("mvn", "Apache Maven")):
        assert shutil.which(program), f"the tests of JDBC need {program}: install {source}"
    artifact = f"org.apache.arrow:flight-sql-jdbc-driver:{JDBC_VERSION}"
    subprocess.run(
        [
            "mvn", "--quiet", "--batch-mode", f"{MAVEN_PLUGIN}:copy", f"-Dartifact={artifact}",
            f"-DoutputDirectory={folder}",
        ],
        check=True, cwd=sys.prefix, timeout=600,
    )
    assert jar.exists(), "Maven did not say why it brought nothing"
    return jar


def jdbc_url(server) -> str:
    return f"jdbc:arrow-flight-sql://127.0.0.1:{server.flight_port}/?useEncryption=false"


def java(
    classpath: Path, source: Path, *arguments: str, options=(), seconds: int = 120
) -> subprocess.CompletedProcess:
    """Runs a source file as it is."""
    return subprocess.run(
        [
            "java", *options, "--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", str(classpath),
            str(source), *arguments,
        ],
        capture_output=True, text=True, timeout=seconds,
    )
