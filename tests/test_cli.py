"""The `quiver` command: sql, load, administration, settings, help, and how serve starts and stops."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import subprocess
import time

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from quiver_testing.data import numbered
from quiver_testing.errors import CLIENT_ERRORS, assert_refused
from quiver_testing.flight import Flight
from quiver_testing.server import free_port

ONE_TO_THREE = "SELECT * FROM (VALUES (1, 'a'), (2, NULL), (3, 'c, \"d\"')) AS v(n, s) ORDER BY n"


def quiver(binary, *arguments, env=None, cwd=None, timeout=60, input=""):
    """The command without any server."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("QUIVER_")}
    return subprocess.run(
        [str(binary), *arguments],
        capture_output=True, text=True, env={**clean, **(env or {})}, cwd=cwd, timeout=timeout,
        input=input,
    )


def assert_one_line_error(done, *mentions: str, code: int | None = None) -> None:
    assert done.returncode in ((1, 2) if code is None else (code,)), done
    text = done.stderr.strip()
    assert text and "\n" not in text, f"expected one line: {text!r}"
    for word in mentions:
        assert word in text, f"{word!r} is not in {text!r}"
    assert "panicked" not in text


# quiver sql


def test_sql_as_a_table(server):
    done = server.run("sql", ONE_TO_THREE)
    assert done.returncode == 0, done.stderr
    for text in ("n", "s", "1", "a", 'c, "d"'):
        assert text in done.stdout


def test_sql_as_csv(server):
    done = server.run("sql", "--format", "csv", ONE_TO_THREE)
    assert list(csv.reader(io.StringIO(done.stdout))) == [
        ["n", "s"], ["1", "a"], ["2", ""], ["3", 'c, "d"'],
    ]


def test_sql_as_json(server):
    done = server.run("sql", "--format", "json", ONE_TO_THREE)
    rows = json.loads(done.stdout)
    assert [row["n"] for row in rows] == [1, 2, 3]
    assert rows[0]["s"] == "a" and rows[1].get("s") is None


def test_sql_as_ndjson(server):
    done = server.run("sql", "--format", "ndjson", ONE_TO_THREE)
    assert [json.loads(line)["n"] for line in done.stdout.splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("kind", ("arrow", "parquet"))
def test_sql_into_a_file(server, tmp_path, kind):
    path = tmp_path / f"out.{kind}"
    done = server.run("sql", "--format", kind, "--output", str(path), ONE_TO_THREE)
    assert done.returncode == 0, done.stderr
    if kind == "parquet":
        table = pq.read_table(path)
    else:
        with pa.OSFile(str(path)) as file:
            data = file.read()
        try:
            table = pa.ipc.open_file(data).read_all()
        except pa.ArrowInvalid:
            table = pa.ipc.open_stream(data).read_all()
    assert table["n"].to_pylist() == [1, 2, 3]


def test_sql_of_several_statements_from_stdin(server, name):
    script = f"CREATE TABLE {name} (a BIGINT); INSERT INTO {name} VALUES (1), (2);\n" \
             f"SELECT sum(a) AS total FROM {name};"
    done = server.run("sql", "--format", "csv", input=script)
    assert done.returncode == 0, done.stderr
    assert "total" in done.stdout and "3" in done.stdout.split("total")[1]


def test_sql_says_how_many_rows_changed(server, flight, name):
    flight.execute(f"CREATE TABLE {name} (a BIGINT)")
    done = server.run("sql", f"INSERT INTO {name} VALUES (1), (2), (3)")
    assert done.returncode == 0 and "3" in done.stdout + done.stderr


def test_sql_errors(server):
    assert_one_line_error(server.run("sql", "SELECT * FROM no_such_table"), "no_such_table", code=1)
    assert_one_line_error(server.run("sql", "SELECT 1", password="wrong"), code=1)
    done = quiver(
        server.binary, "sql", "--uri", f"grpc://127.0.0.1:{free_port()}", "SELECT 1",
        env={"QUIVER_PASSWORD": "x"},
    )
    assert_one_line_error(done, code=1)


def test_no_password_and_no_terminal(server):
    done = quiver(server.binary, "sql", "--uri", server.uri, "SELECT 1")
    assert_one_line_error(done, "password")


# quiver load


@pytest.fixture
def files(tmp_path):
    """The same rows in each format."""
    table = numbered(0, 5000)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=1000)
    pyarrow.csv.write_csv(table, tmp_path / "rows.csv")
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=700)
    with pa.OSFile(str(tmp_path / "stream.arrow"), "wb") as sink:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=700)
    lines = (json.dumps(row) + "\n" for row in table.to_pylist())
    (tmp_path / "rows.ndjson").write_text("".join(lines))
    return tmp_path


@pytest.mark.parametrize(
    "file", ("rows.parquet", "rows.csv", "rows.arrow", "stream.arrow", "rows.ndjson")
)
def test_load_and_load_again(server, flight, files, name, file):
    """The exact count; and a second run, as after an interruption, adds nothing."""
    for _ in range(2):
        done = server.run("load", str(files / file), "--table", f"main.{name}")
        assert done.returncode == 0, done.stderr
        assert "5000" in (done.stdout + done.stderr).replace(",", "").replace("_", "")
        assert flight.rows(f"SELECT count(*), sum(id), max(payload) FROM {name}") == [
            (5000, sum(range(5000)), "row 000000004999")
        ]


def test_load_of_several_files_at_once(server, flight, tmp_path, name):
    paths = []
    for part in range(6):
        paths.append(str(tmp_path / f"part{part}.parquet"))
        pq.write_table(numbered(part * 1000, 1000), paths[-1])
    done = server.run("load", *paths, "--table", name)
    assert done.returncode == 0, done.stderr
    assert flight.rows(f"SELECT count(*), count(DISTINCT id) FROM {name}") == [(6000, 6000)]


def test_load_after_an_interruption(server, flight, tmp_path, name):
    """Some files are in when the client is killed; the next run brings the others, and only them."""
    paths = []
    for part in range(8):
        paths.append(str(tmp_path / f"part{part}.parquet"))
        pq.write_table(numbered(part * 50_000, 50_000), paths[-1])
    command = [str(server.binary), "load", *paths, "--table", name]
    environment = {
        **server.environment(), "QUIVER_URI": server.uri, "QUIVER_PASSWORD": server.password,
    }
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as client:
        time.sleep(0.4)
        client.kill()
    done = server.run("load", *paths, "--table", name)
    assert done.returncode == 0, done.stderr
    assert flight.rows(f"SELECT count(*), count(DISTINCT id) FROM {name}") == [(400_000, 400_000)]


def test_load_while_the_server_dies(make_server, tmp_path):
    """The server is killed again and again: the loader waits for it, and no row is lost or doubled."""
    server = make_server().start()
    paths = []
    for part in range(30):
        paths.append(str(tmp_path / f"part{part}.csv"))
        pyarrow.csv.write_csv(numbered(part * 200_000, 200_000), paths[-1])
    command = [str(server.binary), "load", *paths, "--table", "t", "--parallel", "1"]
    environment = {
        **server.environment(), "QUIVER_URI": server.uri, "QUIVER_PASSWORD": server.password,
    }
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as loader:
        kills = 0
        while loader.poll() is None and kills < 4:
            time.sleep(0.3)
            server.kill9()
            server.start()
            kills += 1
        out, error = loader.communicate(timeout=120)
    assert loader.returncode == 0, error
    assert kills >= 2, "the loader was faster than the axe"
    with Flight(server.uri) as client:
        assert client.rows("SELECT count(*), count(DISTINCT id) FROM t") == [(6_000_000, 6_000_000)]
    again = server.run("load", *paths, "--table", "t")
    assert "already loaded: 6000000 rows of 30 files" in again.stdout, again.stderr
    assert server.stop() == 0


@pytest.mark.parametrize("file", ("rows.parquet", "rows.csv", "rows.arrow", "rows.ndjson"))
@pytest.mark.parametrize("portion", (1_000, 1_234, 4_999, 5_000, 9_999))
def test_load_in_portions(server, flight, files, name, file, portion):
    """Every row once, in portions that the server numbers; a second run adds nothing."""
    command = ["load", str(files / file), "--table", name, "--portion-rows", str(portion)]
    done = server.run(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5000 rows loaded from 1 files"), done.stdout
    again = server.run(*command)
    assert "already loaded: 5000 rows of 1 files" in again.stdout, again.stderr
    count_and_sum = [(5000, sum(range(5000)))]
    assert flight.rows(f"SELECT count(*), sum(id) FROM {name}") == count_and_sum
    last = f"SELECT last_sequence FROM system.producers WHERE table_name = '{name}'"
    assert flight.rows(last) == [(-(-5000 // portion),)]


def test_load_in_portions_of_a_file_without_rows(server, flight, tmp_path, name):
    pq.write_table(numbered(0, 1).slice(0, 0), tmp_path / "none.parquet")
    for _ in range(2):
        done = server.run(
            "load", str(tmp_path / "none.parquet"), "--table", name, "--portion-rows", "10"
        )
        assert done.returncode == 0, done.stderr
    assert flight.rows(f"SELECT count(*) FROM {name}") == [(0,)]


def test_load_in_portions_replaces_and_creates(server, flight, tmp_path, name):
    """Only the first portion replaces or creates, and a load that replaces begins anew."""
    pq.write_table(numbered(0, 100), tmp_path / "rows.parquet")
    command = ["load", str(tmp_path / "rows.parquet"), "--table", name, "--portion-rows", "30"]
    for mode in ("--create", "--replace", "--replace"):
        done = server.run(*command, mode)
        assert done.returncode == 0, done.stderr
        assert flight.rows(f"SELECT count(*), sum(id) FROM {name}") == [(100, sum(range(100)))]


def test_load_in_other_portions_is_refused(server, flight, files, name):
    """Other portions would be other numbers: rows would come twice."""
    file = str(files / "rows.csv")
    command = ["load", file, "--table", name]
    assert server.run(*command, "--portion-rows", "1000").returncode == 0
    for other in (["--portion-rows", "2000"], [], ["--portion-rows", "1000", "--delimiter", ";"]):
        done = server.run(*command, *other)
        assert_one_line_error(done, "--portion-rows 1000", code=1)
    assert server.run(*command, "--portion-rows", "1000").returncode == 0
    assert flight.scalar(f"SELECT count(*) FROM {name}") == 5000
    assert server.run(*command, "--replace").returncode == 0
    assert flight.scalar(f"SELECT count(*) FROM {name}") == 5000


def test_load_in_portions_stops_at_a_mistake_and_goes_on_after_it(server, flight, tmp_path, name):
    """What came before the mistake stays; the mended file is another one."""
    flight.execute(f"CREATE TABLE {name} (a BIGINT)")
    file = tmp_path / "rows.csv"
    lines = [str(i) for i in range(100_000)]
    file.write_text("\n".join(["a", *lines, "not a number"]) + "\n")
    command = ["load", str(file), "--table", name, "--portion-rows", "10000"]
    done = server.run(*command)
    assert_one_line_error(done, "rows.csv", code=1)
    kept = flight.scalar(f"SELECT count(*) FROM {name}")
    assert kept % 10_000 == 0 and kept <= 100_000
    assert flight.scalar(f"SELECT count(DISTINCT a) FROM {name}") == kept


def test_load_in_portions_while_either_side_dies(make_server, tmp_path):
    """Loader and server are killed in turn: every run goes on where the last one stopped."""
    server = make_server().start()
    rows, portion = 3_000_000, 20_000
    pq.write_table(numbered(0, rows), tmp_path / "rows.parquet", row_group_size=70_000)
    command = [
        str(server.binary), "load", str(tmp_path / "rows.parquet"), "--table", "t",
        "--portion-rows", str(portion),
    ]
    environment = {
        **server.environment(), "QUIVER_URI": server.uri, "QUIVER_PASSWORD": server.password,
    }
    came_to, kills = [], 0
    with Flight(server.uri) as client:
        client.execute("CREATE TABLE t (id BIGINT, payload VARCHAR)")
    for round_ in range(6):
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as loader:
            before = came_to[-1] % rows if came_to else 0
            with Flight(server.uri) as client:
                while client.scalar("SELECT count(*) FROM t") < before + 3 * portion:
                    if loader.poll() is not None:
                        break
            killed = loader if round_ % 2 == 0 else server
            kills += loader.poll() is None
            if killed is loader:
                loader.kill()
                loader.communicate()
            else:
                server.kill9()
                server.start()
                out, error = loader.communicate(timeout=120)
                assert loader.returncode == 0, error
        with Flight(server.uri) as client:
            came_to.append(client.scalar("SELECT count(*) FROM t"))
            last = client.rows("SELECT last_sequence FROM system.producers")
            assert came_to[-1] == portion * (last[0][0] if last else 0)
            if came_to[-1] == rows:
                client.execute("DROP TABLE t")
                client.execute("CREATE TABLE t (id BIGINT, payload VARCHAR)")
    assert kills >= 3, "the loader was faster than the axe"
    done = server.run(*command[1:])
    assert done.returncode == 0, done.stderr
    with Flight(server.uri) as client:
        assert client.rows("SELECT count(*), count(DISTINCT id) FROM t") == [(rows, rows)]
    assert any(0 < count < rows for count in came_to), f"no load was cut in its middle: {came_to}"
    assert server.stop() == 0


def test_the_same_file_is_loaded_once_whatever_happened_to_it(server, flight, tmp_path, name):
    """Touched, moved to another folder, or loaded by another mode: the same rows."""
    rows = "id,name\n1,a\n2,b\n"
    file = tmp_path / "day.csv"
    file.write_text(rows)
    assert server.run("load", str(file), "--table", name).returncode == 0
    os.utime(file, (1, 1))
    (tmp_path / "archive").mkdir()
    moved = tmp_path / "archive" / "day.csv"
    moved.write_text(rows)
    for again in (["load", str(file)], ["load", str(file), "--append"], ["load", str(moved)]):
        done = server.run(*again, "--table", name)
        assert done.returncode == 0, done.stderr
        assert "already loaded: 2 rows" in done.stdout
    other = tmp_path / "next_day.csv"
    other.write_text(rows)
    assert server.run("load", str(other), "--table", name).returncode == 0
    assert flight.scalar(f"SELECT count(*) FROM {name}") == 4


def test_the_name_of_the_output_tells_its_format(server, tmp_path):
    for file, expected in (("o.csv", b"a\n1\n"), ("o.ndjson", b'{"a":1}\n'), ("o.parquet", b"PAR1")):
        path = tmp_path / file
        assert server.run("sql", "SELECT 1 AS a", "-o", str(path)).returncode == 0
        assert path.read_bytes().startswith(expected)


def test_load_errors(server, flight, tmp_path, name):
    assert_one_line_error(server.run("load", "/no/such.parquet", "--table", name), "/no/such.parquet")
    strange = tmp_path / "rows.xyz"
    strange.write_text("?")
    assert_one_line_error(server.run("load", str(strange), "--table", name), "rows.xyz")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 this is not Parquet PAR1")
    assert_one_line_error(server.run("load", str(broken), "--table", name), "broken.parquet")
    uneven = tmp_path / "uneven.csv"
    uneven.write_text("a,b\n1,2\n3\n")
    assert_one_line_error(server.run("load", str(uneven), "--table", name), "uneven.csv")
    with pytest.raises(CLIENT_ERRORS) as caught:
        flight.query(f"SELECT * FROM {name}")
    assert_refused(caught.value, "NOT_FOUND")


# Administration


def test_tenants_and_users(server, name):
    tenant = "t" + name
    done = server.run("tenant", "create", tenant)
    assert done.returncode == 0, done.stderr
    secret = server.folder / "secret"
    secret.write_text("a long secret\n")
    done = server.run("user", "create", "bob", "--tenant", tenant, "--new-password-file", str(secret))
    assert done.returncode == 0, done.stderr
    with Flight(server.uri, f"bob@{tenant}", "a long secret") as bob:
        assert bob.scalar("SELECT 1") == 1
    assert tenant in server.run("tenant", "list").stdout
    assert "bob" in server.run("user", "list").stdout
    assert_one_line_error(server.run("tenant", "create", tenant), tenant, code=1)
    assert server.run("user", "drop", "bob", "--tenant", tenant).returncode == 0
    assert server.run("tenant", "drop", tenant).returncode == 0
    assert tenant not in server.run("tenant", "list").stdout


def test_a_password_is_made_and_shown_once(server, name):
    tenant = "g" + name
    server.run("tenant", "create", tenant)
    done = server.run("user", "create", "eve", "--tenant", tenant)
    assert done.returncode == 0, done.stderr
    words = (done.stdout + done.stderr).split()
    assert any(logs_in(server, f"eve@{tenant}", word) for word in words if len(word) >= 12)


def logs_in(server, user: str, password: str) -> bool:
    try:
        Flight(server.uri, user, password).close()
    except CLIENT_ERRORS:
        return False
    return True


# Help and usage


@pytest.mark.parametrize("command", (
    [], ["serve"], ["sql"], ["load"], ["tenant"], ["tenant", "create"], ["user"], ["user", "create"],
))
def test_help_has_examples(binary, command):
    done = quiver(binary, *command, "--help")
    assert done.returncode == 0
    assert "quiver" in done.stdout and "example" in done.stdout.lower()


def test_usage_errors(binary):
    for arguments in (["frobnicate"], ["serve", "--frobnicate"], ["load"]):
        done = quiver(binary, *arguments)
        assert done.returncode == 2 and done.stderr.strip(), done


def test_version(binary):
    done = quiver(binary, "--version")
    assert done.returncode == 0 and done.stdout.startswith("quiver ")


# Settings


def serve_refused(binary, tmp_path, *arguments, env=None):
    return quiver(
        binary, "serve", "--data-dir", str(tmp_path / "data"),
        "--flight-addr", f"127.0.0.1:{free_port()}", "--http-addr", f"127.0.0.1:{free_port()}",
        *arguments, env=env, cwd=tmp_path,
    )


def test_unknown_settings_are_refused_with_the_nearest(binary, tmp_path):
    config = tmp_path / "quiver.toml"
    config.write_text("[write_buffer]\nflush_intervall_ms = 5\n")
    done = serve_refused(binary, tmp_path, "--config", str(config))
    assert_one_line_error(done, "flush_intervall_ms", "flush_interval_ms")
    done = serve_refused(binary, tmp_path, env={"QUIVER_WAL__FILE_BYTE": "1"})
    assert_one_line_error(done, "file_bytes")
    config.write_text("[write_bufer]\nflush_interval_ms = 5\n")
    assert_one_line_error(
        serve_refused(binary, tmp_path, "--config", str(config)), "write_bufer", "write_buffer"
    )


def test_bad_values_name_their_key(binary, tmp_path):
    config = tmp_path / "quiver.toml"
    config.write_text('[write_buffer]\nflush_interval_ms = "soon"\n')
    done = serve_refused(binary, tmp_path, "--config", str(config))
    assert_one_line_error(done, "flush_interval_ms")
    done = serve_refused(binary, tmp_path, env={"QUIVER_WRITE_BUFFER__FLUSH_INTERVAL_MS": "soon"})
    assert_one_line_error(done, "flush_interval_ms")
    config.write_text("not toml at all")
    assert_one_line_error(serve_refused(binary, tmp_path, "--config", str(config)), "quiver.toml")
    done = serve_refused(binary, tmp_path, "--config", str(tmp_path / "missing.toml"))
    assert_one_line_error(done, "missing.toml")


def test_layers_of_settings(make_server):
    """A flag over the environment over the file: seen by where the server listens."""
    by_file, by_environment, by_flag = free_port(), free_port(), free_port()
    server = make_server()
    config = server.folder / "quiver.toml"
    config.write_text(
        f'[server]\nflight_addr = "127.0.0.1:{by_file}"\n'
        f'http_addr = "127.0.0.1:{server.http_port}"\ndev = true\n'
    )
    base = [str(server.binary), "serve", "--data-dir", str(server.data_dir), "--config", str(config)]
    layers = [
        (by_file, {}, []),
        (by_environment, {"QUIVER_SERVER__FLIGHT_ADDR": f"127.0.0.1:{by_environment}"}, []),
        (
            by_flag,
            {"QUIVER_SERVER__FLIGHT_ADDR": f"127.0.0.1:{by_environment}"},
            ["--flight-addr", f"127.0.0.1:{by_flag}"],
        ),
    ]
    for port, settings, flags in layers:
        server.settings, server.flight_port = settings, port
        server.command = lambda flags=flags: [*base, *flags]
        server.start()
        with Flight(server.uri) as client:
            assert client.scalar("SELECT 1") == 1
        assert server.stop() == 0


def test_remote_addresses_without_tls_are_refused(binary, tmp_path):
    done = quiver(
        binary, "serve", "--data-dir", str(tmp_path / "data"),
        "--flight-addr", f"0.0.0.0:{free_port()}", "--http-addr", f"127.0.0.1:{free_port()}",
    )
    assert_one_line_error(done, "allow_insecure_remote")
    done = quiver(
        binary, "serve", "--dev", "--data-dir", str(tmp_path / "dev"),
        "--flight-addr", f"0.0.0.0:{free_port()}", "--http-addr", f"127.0.0.1:{free_port()}",
    )
    assert_one_line_error(done, "loopback")


# Start and stop


def test_first_start_makes_an_administrator(make_server):
    server = make_server(dev=False).start()
    path = server.data_dir / "admin-password"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    password = path.read_text().strip()
    assert len(password) >= 16
    with Flight(server.uri, "admin", password) as client:
        assert client.scalar("SELECT 1") == 1
        client.execute("CREATE TABLE kept (a BIGINT)")
    with pytest.raises(CLIENT_ERRORS) as caught:
        Flight(server.uri, "admin", "quiver")
    assert_refused(caught.value, "UNAUTHENTICATED")
    assert password not in server.log(since_start=False)
    server.restart()
    with Flight(server.uri, "admin", password) as client:
        assert client.scalar("SELECT count(*) FROM kept") == 0
    for secret in [*(server.data_dir / "keys").glob("*"), server.data_dir / "control.sqlite"]:
        assert stat.S_IMODE(secret.stat().st_mode) & 0o077 == 0, secret
    with Flight(server.uri, "admin", password) as client:
        client.execute("ALTER USER admin PASSWORD 'another one'")
    assert not path.exists(), "it would mislead"
    server.restart()
    assert "admin-password" not in server.log()
    with Flight(server.uri, "admin", "another one") as client:
        assert client.scalar("SELECT count(*) FROM kept") == 0
    assert server.stop() == 0


def test_dev_and_other_data_do_not_mix(make_server):
    server = make_server(dev=False).start()
    assert server.stop() == 0
    server.dev = True
    with pytest.raises(AssertionError, match="exited with"):
        server.start()
    assert "--dev" in server.log()
    other = make_server(dev=True).start()
    assert "dev" in other.log().lower(), "it says so loudly"
    assert other.stop() == 0
    other.dev = False
    with pytest.raises(AssertionError, match="exited with"):
        other.start()


def test_one_server_per_data_folder(make_server, binary):
    server = make_server().start()
    second = quiver(
        binary, "serve", "--dev", "--data-dir", str(server.data_dir),
        "--flight-addr", f"127.0.0.1:{free_port()}", "--http-addr", f"127.0.0.1:{free_port()}",
    )
    assert_one_line_error(second, str(server.data_dir), code=1)
    assert server.stop() == 0


def test_a_port_in_use_is_said_clearly(make_server, binary, tmp_path):
    server = make_server().start()
    second = quiver(
        binary, "serve", "--dev", "--data-dir", str(tmp_path / "data"),
        "--flight-addr", f"127.0.0.1:{server.flight_port}",
        "--http-addr", f"127.0.0.1:{free_port()}",
    )
    assert_one_line_error(second, str(server.flight_port), code=1)
    assert server.stop() == 0


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_a_stop_keeps_everything(make_server, number):
    server = make_server().start()
    with Flight(server.uri) as client:
        client.put("t", numbered(0, 1000), [("x-create", "true")])
    server.process.send_signal(number)
    assert server.process.wait(30) == 0
    server.process = None
    server.start()
    with Flight(server.uri) as client:
        assert client.scalar("SELECT count(*) FROM t") == 1000
        segments = "SELECT sum(record_count) FROM system.segments WHERE table_name = 't'"
        assert client.scalar(segments) == 1000, "a clean stop flushes"
    assert server.stop() == 0


def test_a_stop_ends_running_work(make_server):
    """An open transaction and a long query do not keep the server from ending in its grace period."""
    server = make_server(settings={"QUIVER_SERVER__SHUTDOWN_GRACE_MS": "1000"}).start()
    with Flight(server.uri) as client:
        client.put("t", numbered(0, 20_000), [("x-create", "true")])
        client.begin()
        info = client.info(b"SELECT count(*) FROM t a, t b, t c WHERE a.id + b.id + c.id = -1")
        client.client.do_get(info.endpoints[0].ticket, client.options())
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 20


def test_http_endpoints(server, flight):
    assert server.get("/health")[0] == 200
    assert server.get("/ready")[0] == 200
    assert server.get("/no-such-page")[0] == 404
    flight.scalar("SELECT 1")
    status, text = server.get("/metrics")
    assert status == 200
    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[:1] not in "#"}
    assert any("request" in name for name in names) and any("wal" in name for name in names), names
    assert "# TYPE" in text and "# HELP" in text
    status, page = server.get("/")
    assert status == 200 and "quiver" in page.lower()


def test_logs_are_json_with_request_and_tenant(server, flight, name):
    flight.put(name, numbered(0, 10), [("x-create", "true")])
    flight.query("CALL system.flush()")
    with pytest.raises(CLIENT_ERRORS):
        flight.query("SELECT * FROM a_table_for_the_log")
    records = server.log_records()
    assert records and all("level" in record for record in records)
    text = server.log()
    assert "tenant_id" in text and "request_id" in text
    assert "a_table_for_the_log" not in "".join(
        json.dumps(record) for record in records if record["level"] == "INFO"
    ), "no SQL text at info"
