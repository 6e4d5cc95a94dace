#![expect(clippy::unwrap_used, reason = "tests")]

pub(crate) mod stub;

use clap::CommandFactory;
use tonic::Status;

use super::client::ClientError;
use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples_in_its_help() {
    fn check(command: &mut clap::Command) {
        let help = command.render_long_help().to_string();
        let is_group = command.has_subcommands();
        assert!(
            help.contains("Example") || is_group,
            "{}\n{help}",
            command.get_name()
        );
        for inner in command
            .get_subcommands_mut()
            .filter(|inner| inner.get_name() != "help")
        {
            check(inner);
        }
    }
    check(&mut Cli::command());
}

#[test]
fn wrong_command_lines_exit_with_2() {
    for line in [
        "quiver",
        "quiver frobnicate",
        "quiver serve --frobnicate",
        "quiver serve --flight-addr localhost",
        "quiver load",
        "quiver load a.csv",
        "quiver load a.csv --table a.b.c",
        "quiver load a.csv --table t --append --replace",
        "quiver load a.csv --table t --parallel 0",
        "quiver load a.csv --table t --batch-bytes 100",
        "quiver load a.csv --table t --delimiter ::",
        "quiver sql --format xml",
        "quiver user create",
        "quiver user create bob --ask --new-password-file f",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}: {error}");
    }
}

#[test]
fn good_command_lines_parse() {
    for line in [
        "quiver serve --dev --data-dir d --http-addr 127.0.0.1:0 --set wal.file_bytes=1",
        "quiver sql -f csv -o out.csv --tenant acme --user bob@acme SELECT",
        "quiver load a.csv b.csv -t s.t -j 4 --create --delimiter \\t",
        "quiver tenant create acme --if-not-exists",
        "quiver tenant drop acme --password-file f",
        "quiver user create bob --tenant acme --new-password-file f",
        "quiver user list --format json",
    ] {
        Cli::try_parse_from(line.split(' ')).unwrap();
    }
}

#[test]
fn errors_are_one_line_and_have_their_code() {
    let usage = CliError::Usage {
        message: "first\n  second".to_owned(),
    };
    assert_eq!(
        (usage.line().as_str(), usage.exit_code()),
        ("first second", 2)
    );
    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
    let failed = CliError::Io {
        action: "read x".to_owned(),
        source,
    };
    assert_eq!(failed.exit_code(), 1);
    assert!(!failed.is_broken_pipe());
    let source = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    assert!(
        CliError::Io {
            action: "print".to_owned(),
            source
        }
        .is_broken_pipe()
    );
    // A socket breaks with the same words, and what was to be sent is not there.
    let source = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    let broken = ClientError::from(Status::from_error(Box::new(source)));
    assert!(broken.is_passing());
    let broken = CliError::from(broken);
    assert!(!broken.is_broken_pipe());
    assert_eq!(broken.exit_code(), 1);
}
