"""What the black-box tests share: the server under test, its clients, and DuckDB to compare with."""
