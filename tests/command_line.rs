//! The program from outside: what it says, where, and with which exit code.

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn diskpour() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diskpour"));
    command.stdin(Stdio::null()).env_remove("DISKPOUR_OUTPUT");
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn usage_errors_end_with_2_and_speak_on_standard_error() {
    for args in [&["import"][..], &[], &["import", "a", "-"], &["pour"], &["import", "a", "b", "--size", "x"]]
    {
        let (code, stdout, stderr) = run(diskpour().args(args));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr.starts_with("diskpour: error: "), "{args:?}: {stderr}");
    }
}

#[test]
fn json_errors_stand_on_standard_output_too() {
    let (code, stdout, _) = run(diskpour().args(["import", "--output", "json"]));
    let object: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, Some(2));
    assert_eq!(
        (object["error"]["kind"].as_str(), object["error"]["exit_code"].as_u64()),
        (Some("usage"), Some(2))
    );
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let mut command = diskpour();
    command.args(["import", "a", "a"]);
    for name in
        ["CONNECTIONS", "MEMORY_BUDGET", "FORCE", "CHECKSUM", "SCRATCH_DIR", "SIZE", "OUTPUT", "LOG_LEVEL"]
    {
        command.env(format!("DISKPOUR_{name}"), "");
    }
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("the same file"), "{stderr}");
}

#[test]
fn a_wrong_variable_is_named() {
    let (code, _, stderr) = run(diskpour().args(["import", "a", "b"]).env("DISKPOUR_CONNECTIONS", "99"));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("99 is not in 1..=64 (DISKPOUR_CONNECTIONS in the environment)"), "{stderr}");
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let mut command = diskpour();
    command.args(["import", "a", "a", "--connections", "3", "--output", "text"]);
    let (code, stdout, stderr) =
        run(command.env("DISKPOUR_CONNECTIONS", "99").env("DISKPOUR_OUTPUT", "json"));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("the same file"), "{stderr}");
}

#[test]
fn texts_go_to_standard_output_and_end_with_0() {
    let texts =
        ["--version", "--help", "matrix", "matrix --output json", "completions bash", "man", "man import"];
    for args in texts {
        let (code, stdout, stderr) = run(diskpour().args(args.split(' ')));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args}");
        assert!(stdout.ends_with('\n'), "{args}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (code, _, stderr) = run_into(writer.into(), "man");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_output_that_is_full_is_one() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, _, stderr) = run_into(full.into(), "matrix");
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("diskpour: error: cannot write to standard output"), "{stderr}");
}

fn run_into(stdout: Stdio, arg: &str) -> (Option<i32>, (), String) {
    let mut child = diskpour().arg(arg).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap().code(), (), stderr)
}

#[test]
fn a_signal_ends_an_import_that_waits_for_its_source() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("disk.img");
        let mut command = diskpour();
        command.args(["import", "-"]).arg(&target).args(["--progress", "plain"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Standard input stays open and silent.
        let stdin = child.stdin.take();
        let mut stderr = child.stderr.take().unwrap();
        // The first line says that the program listens.
        stderr.read_exact(&mut [0; 7]).unwrap();
        let sent = Instant::now();
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(sent.elapsed() < Duration::from_secs(5));
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        assert!(text.contains("stopped by SIG"), "{text}");
        assert!(!target.exists());
        drop(stdin);
    }
}
