"""Every Python example runs as printed and says what it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "client-examples" / "python"
EXPECTED = {
    "pyarrow_example.py": ["stored 5 rows", "the table has 5 rows", "'sensor': 'cellar', 'n': 3"],
    "adbc_example.py": ["stored 10000 rows", "after the rollback: 10000 rows"],
    "pandas_example.py": ["2026-01-01", "2026-02-01", "2026-03-01"],
    "exactly_once_example.py": ["rows: 300"],
    "producer_example.py": ["shut out: True", "every reading once: True"],
}


def test_every_example_is_tested():
    assert {path.name for path in FOLDER.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name, server):
    """Twice: an example that works once only is no example."""
    path = FOLDER / name
    assert len(path.read_text().splitlines()) < 150
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(path), server.uri, server.user, server.password],
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        for text in EXPECTED[name]:
            assert text in done.stdout, done.stdout
