#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Settings, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("quiver.toml");
    std::fs::write(&path, file).unwrap();
    let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    let flag = |(key, value): &(&str, &str)| Flag {
        flag: format!("--set {key}"),
        key: key.to_string(),
        value: value.to_string(),
    };
    let layers = Layers {
        file: Some(path.clone()),
        environment: environment.iter().map(own).collect(),
        flags: flags.iter().map(flag).collect(),
    };
    layers.load().map_err(|error| {
        error
            .to_string()
            .replace(&path.display().to_string(), "FILE")
    })
}

#[test]
fn the_defaults_are_valid() {
    Settings::default().validate().unwrap();
    assert_eq!(load("", &[], &[]).unwrap(), Settings::default());
}

#[test]
fn a_later_layer_wins() {
    let file = "[wal]\nfile_bytes = 2_097_152\n[server]\ndata_dir = 'a'\nhttp_addr = '127.0.0.1:1'";
    let environment = [
        ("QUIVER_SERVER__DATA_DIR", "b"),
        ("QUIVER_SERVER__HTTP_ADDR", "127.0.0.1:2"),
    ];
    let settings = load(file, &environment, &[("server.http_addr", "[::1]:3")]).unwrap();
    assert_eq!(settings.wal.file_bytes, 2_097_152);
    assert_eq!(settings.server.data_dir, PathBuf::from("b"));
    assert_eq!(settings.server.http_addr.to_string(), "[::1]:3");
}

#[test]
fn environment_text_is_read_as_the_type_of_the_setting() {
    let environment = [
        ("QUIVER_SERVER__DEV", "true"),
        ("QUIVER_QUERY__TIMEOUT_MS", " 250 "),
        ("QUIVER_LOG__FORMAT", "text"),
        ("QUIVER_SERVER__DATA_DIR", "17"),
        ("QUIVER_SERVER__TLS__CERT_FILE", "c.pem"),
        ("QUIVER_SERVER__TLS__KEY_FILE", "k.pem"),
    ];
    let settings = load("", &environment, &[]).unwrap();
    assert!(settings.server.dev);
    assert_eq!(settings.query.timeout_ms, 250);
    assert_eq!(settings.log.format, LogFormat::Text);
    assert_eq!(settings.server.data_dir, PathBuf::from("17"));
    assert_eq!(
        settings.server.tls.files().unwrap().1,
        &PathBuf::from("k.pem")
    );
}

#[test]
fn variables_of_other_tools_are_ignored() {
    let environment = [
        ("QUIVER_URI", "x"),
        ("QUIVER_PASSWORD", "y"),
        ("QUIVER_BIN", "z"),
        ("PATH", "p"),
    ];
    assert_eq!(load("", &environment, &[]).unwrap(), Settings::default());
}

#[test]
fn mistakes_are_told_in_one_line_with_key_place_and_remedy() {
    let file_cases = [
        (
            "[sever]\nflight_addr = 'x'",
            "unknown setting sever.flight_addr in the settings file FILE; did you mean \
             server.flight_addr?",
        ),
        (
            "[server]\nflush_bytes = 1",
            "unknown setting server.flush_bytes in the settings file FILE; did you mean \
             write_buffer.flush_bytes?",
        ),
        (
            "[zzzzzzzzzzzzzzzzz]\nqqqqqqqqqqqqqq = 1",
            "unknown setting zzzzzzzzzzzzzzzzz.qqqqqqqqqqqqqq in the settings file FILE; \
             quiver serve --print-settings shows all names",
        ),
        (
            "server = 3",
            "unknown setting server in the settings file FILE",
        ),
        (
            "[wal]\nfile_bytes = 'big'",
            "setting wal.file_bytes in the settings file FILE is not usable: invalid type: \
             string \"big\", expected u64",
        ),
        (
            "[wal]\nfile_bytes = 3",
            "setting wal.file_bytes is 3, but it must be from 1048576 to 4294967296",
        ),
        (
            "[log]\nformat = 'xml'",
            "setting log.format in the settings file FILE is not usable: unknown variant `xml`, \
             expected `json` or `text`",
        ),
        (
            "[log]\nfilter = 'quiver=loud'",
            "setting log.filter is quiver=loud, but a level or directives are expected",
        ),
        (
            "\n[log\n",
            "the settings file FILE is not valid TOML (line 2)",
        ),
        (
            "[server]\nflight_addr = 'localhost'",
            "setting server.flight_addr in the settings file FILE is not usable: invalid socket \
             address syntax",
        ),
        (
            "[server.tls]\ncert_file = 'c.pem'",
            "setting server.tls.cert_file is c.pem, but server.tls.key_file is not set; TLS \
             needs both",
        ),
        (
            "[write_buffer]\ntenant_bytes_max = 5_000_000_000",
            "setting write_buffer.tenant_bytes_max is 5000000000, but it must be from 1048576 \
             to 4294967296",
        ),
        (
            "[server]\nhttp_addr = '127.0.0.1:50051'",
            "setting server.http_addr is 127.0.0.1:50051, but server.flight_addr has that \
             address; they need different ports",
        ),
    ];
    for (file, expected) in file_cases {
        let message = load(file, &[], &[]).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn so_are_mistakes_in_the_environment_and_in_flags() {
    let environment_cases = [
        (
            "QUIVER_SERVER__DATADIR",
            "a",
            "unknown setting QUIVER_SERVER__DATADIR in the environment; did you mean \
             QUIVER_SERVER__DATA_DIR (server.data_dir)?",
        ),
        (
            "QUIVER_SERVER_DATA_DIR",
            "a",
            "unknown setting QUIVER_SERVER_DATA_DIR in the environment; did you mean \
             QUIVER_SERVER__DATA_DIR (server.data_dir)?",
        ),
        (
            "QUIVER_DATA_DIR",
            "a",
            "unknown setting QUIVER_DATA_DIR in the environment; did you mean \
             QUIVER_SERVER__DATA_DIR (server.data_dir)?",
        ),
        (
            "QUIVER_SERVER__DEV",
            "yes",
            "setting server.dev in the environment (QUIVER_SERVER__DEV) is not usable: invalid \
             type: string \"yes\", expected a boolean",
        ),
        (
            "QUIVER_WAL__FILE_BYTES",
            "-1",
            "setting wal.file_bytes in the environment (QUIVER_WAL__FILE_BYTES) is not usable: \
             invalid value: integer `-1`, expected u64",
        ),
    ];
    for (name, value, expected) in environment_cases {
        let message = load("", &[(name, value)], &[]).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
    }
    let message = load("", &[], &[("wal.files_bytes", "1")]).unwrap_err();
    assert!(
        message.ends_with("did you mean wal.file_bytes?"),
        "{message}"
    );
}

#[test]
fn remote_addresses_need_tls_or_a_setting_that_says_so() {
    let remote = ("QUIVER_SERVER__FLIGHT_ADDR", "0.0.0.0:50051");
    let refused = load("", &[remote], &[]).unwrap_err();
    assert!(
        refused.contains("server.allow_insecure_remote = true"),
        "{refused}"
    );
    load("[server]\nallow_insecure_remote = true", &[remote], &[]).unwrap();
    load(
        "[server.tls]\ncert_file = 'c'\nkey_file = 'k'",
        &[remote],
        &[],
    )
    .unwrap();
    let dev = load(
        "[server]\nallow_insecure_remote = true\ndev = true",
        &[remote],
        &[],
    )
    .unwrap_err();
    assert!(dev.contains("--dev"), "{dev}");
}

#[test]
fn a_missing_file_is_named() {
    let layers = Layers {
        file: Some("/no/such/quiver.toml".into()),
        ..Layers::default()
    };
    let message = layers.load().unwrap_err().to_string();
    assert!(
        message.starts_with("cannot read the settings file /no/such/quiver.toml"),
        "{message}"
    );
}

#[test]
fn printed_settings_can_be_read_back() {
    let environment = [
        ("QUIVER_SERVER__TLS__CERT_FILE", "c.pem"),
        ("QUIVER_SERVER__TLS__KEY_FILE", "k.pem"),
    ];
    let settings = load("", &environment, &[("query.batch_rows", "1024")]).unwrap();
    let text = toml::to_string(&settings).unwrap();
    assert_eq!(load(&text, &[], &[]).unwrap(), settings);
}
