"""Every Python example runs as printed and says what it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "client-examples" / "python"
EXPECTED = {
    "pyarrow_example.py": ["stored 5 rows", "the table has 5 rows", "'sensor': 'cellar', 'n': 3"],
    "adbc_example.py": ["stored 10000 rows", "after the rollback: 10000 rows"],
    "pandas_example.py": ["2026-01-01", "2026-02-01", "2026-03-01"],
    "exactly_once_example.py": ["rows: 300"],
    "producer_example.py": ["shut out: True", "every reading once: True"],
    "polars_example.py": [
        "stored 900 rows", "the same values: True", "read in pieces: 1000000 rows", "after the rollback: 1000 rows",
        "no copies: True",
    ],
    "sqlalchemy_example.py": [
        "by its key: 900719925474099312.75", "in the transaction: 5101 rows", "after the rollback: 5001 rows",
        "listed: True",
    ],
    "bulk_loader_example.py": ["400000 rows in the files, 400000 in the table"],
}


def test_every_example_is_tested():
    assert {path.name for path in FOLDER.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name, server):
    """Twice: an example that works once only is no example."""
    assert len((FOLDER / name).read_text().splitlines()) < 150
    for _ in range(2):
        printed = run(name, server)
        for text in EXPECTED[name]:
            assert text in printed, printed


def test_bulk_loader_stores_what_is_new(server, schema, tmp_path):
    """Files of one's own, in both formats, with any name; the second run stores the one that was added."""
    options = [str(tmp_path), "--table", f"{schema}.loaded", "--workers", "3"]
    for number in range(4):
        parquet.write_table(pa.table({"n": [number] * 10}), tmp_path / f"größe {number}.parquet")
    printed = run("bulk_loader_example.py", server, *options)
    assert "40 rows stored, 0 were there already" in printed, printed
    feather.write_feather(pa.table({"n": [4] * 10}), tmp_path / "more.arrow")
    printed = run("bulk_loader_example.py", server, *options)
    assert "10 rows stored, 40 were there already" in printed, printed
    assert "50 rows in the files, 50 in the table" in printed, printed


def run(name: str, server, *options: str) -> str:
    """What the example prints."""
    command = [sys.executable, str(FOLDER / name), server.uri, server.user, server.password, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
