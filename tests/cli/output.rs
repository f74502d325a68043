//! What is printed, and the environment.

use std::fs;

use serde_json::Value;

use super::Disks;
use crate::common::run::{self, diskpour};
use crate::common::{digest, qemu};

#[test]
fn the_result_has_every_field() {
    let disks = Disks::new();
    let outcome = run::import_piped(&qemu::pack(&disks.qcow2, "zstd"), &disks.target).run();
    outcome.expect(0);
    let result = outcome.result();
    for field in [
        "virtual_size",
        "fetched_bytes",
        "requests",
        "retries",
        "written_bytes",
        "zeroed_bytes",
        "resumed_bytes",
        "held_peak_bytes",
        "scratch_bytes",
    ] {
        assert!(result[field].is_u64(), "{field} in {result}");
    }
    assert!(result["seconds"].is_number(), "{result}");
    assert_eq!(result["format"], "qcow2");
    assert_eq!(result["codecs"], serde_json::json!(["zstd"]));
    assert_eq!(result["route"], "forward");
    assert_eq!(result["virtual_size"], disks.bytes.len());
    let source = fs::read(disks.dir().join("disk.qcow2.zst")).unwrap();
    assert_eq!(result["fetched_bytes"], source.len());
    assert_eq!(result["digest"]["algorithm"], "sha256");
    assert_eq!(result["digest"]["value"], digest::bytes(&source));
    assert!(result["digest"].get("expected").is_some(), "{result}");
    assert!(outcome.peak < 64 << 20, "{} bytes of memory", outcome.peak);
    let (written, zeroed) = (outcome.number("written_bytes"), outcome.number("zeroed_bytes"));
    assert!(written <= disks.bytes.len() as u64 && zeroed >= 512 << 10, "{result}");
}

#[test]
fn what_is_read_at_random_has_no_digest() {
    let disks = Disks::new();
    let outcome = run::import(&disks.qcow2, &disks.target).run();
    outcome.expect(0);
    assert_eq!(outcome.result()["route"], "ranged");
    assert!(outcome.result()["digest"].is_null(), "{}", outcome.stdout);
}

#[test]
fn raw_through_a_pipe_takes_the_stream() {
    let disks = Disks::new();
    let outcome = run::import_piped(&disks.raw, &disks.target).run();
    outcome.expect(0);
    assert_eq!(outcome.result()["route"], "stream");
    assert_eq!(outcome.number("scratch_bytes"), 0);
    disks.is_poured();
}

#[test]
fn the_result_as_text_is_for_people() {
    let disks = Disks::new();
    let outcome = diskpour().arg("import").arg(&disks.qcow2).arg(&disks.target).run();
    outcome.expect(0);
    assert!(outcome.stdout.contains("qcow2"), "{}", outcome.stdout);
    assert!(serde_json::from_str::<Value>(&outcome.stdout).is_err());
}

#[test]
fn progress_is_json_lines_on_request() {
    let disks = Disks::new();
    let run = diskpour().arg("import").arg(&disks.qcow2).arg(&disks.target);
    let outcome = run.args(["--progress", "json"]).run();
    outcome.expect(0);
    let lines: Vec<Value> = outcome.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().expect("no line of progress");
    for field in
        ["phase", "fetched", "fetch_total", "written", "zeroed", "virtual_size", "rate", "eta_seconds"]
    {
        assert!(last.get(field).is_some(), "{field} in {last}");
    }
    assert_eq!(last["phase"], "done", "{last}");
}

#[test]
fn plain_progress_has_no_control_codes() {
    let disks = Disks::new();
    for style in ["plain", "auto"] {
        let run = diskpour().arg("import").arg(&disks.qcow2).arg(&disks.target);
        let outcome = run.args(["--progress", style, "--force"]).run();
        outcome.expect(0);
        assert!(!outcome.stderr.contains(['\u{1b}', '\r']), "{:?}", outcome.stderr);
    }
}

#[test]
fn a_failure_is_one_message_without_a_result() {
    let disks = Disks::new();
    let run = diskpour().arg("import").arg(disks.dir().join("nothing")).arg(&disks.target);
    let outcome = run.run();
    assert!(outcome.code != 0);
    outcome.says("nothing");
    assert_eq!(outcome.stdout, "");
    disks.is_clean();
}

#[test]
fn inspect_says_what_an_import_would_do_and_writes_nothing() {
    let disks = Disks::new();
    let before = fs::read_dir(disks.dir()).unwrap().count();
    let outcome = diskpour().arg("inspect").arg(&disks.qcow2).args(["--output", "json"]).run();
    outcome.expect(0);
    let result = outcome.result();
    assert_eq!(result["format"], "qcow2");
    assert_eq!(result["virtual_size"], disks.bytes.len());
    assert_eq!(result["route"], "ranged");
    let packed = qemu::pack(&disks.raw, "xz");
    let outcome = diskpour().args(["inspect", "-", "--output", "json"]).fed_from(&packed).run();
    outcome.expect(0);
    assert_eq!(outcome.result()["codecs"], serde_json::json!(["xz"]));
    assert_eq!(outcome.result()["route"], "stream");
    let outcome = diskpour().arg("inspect").arg(&disks.qcow2).run();
    outcome.expect(0);
    assert!(outcome.stdout.contains("qcow2"), "{}", outcome.stdout);
    assert_eq!(fs::read_dir(disks.dir()).unwrap().count(), before + 1, "inspect wrote something");
    diskpour().arg("inspect").arg(disks.dir().join("nothing")).run().says("nothing");
}

#[test]
fn the_matrix_comes_as_text_and_as_json() {
    let text = diskpour().arg("matrix").run();
    text.expect(0);
    assert!(text.stdout.to_lowercase().contains("registry"), "{}", text.stdout);
    let json = diskpour().args(["matrix", "--output", "json"]).run();
    json.expect(0);
    json.result();
}

#[test]
fn completions_and_the_manual_are_generated() {
    for shell in ["bash", "zsh", "fish"] {
        let outcome = diskpour().args(["completions", shell]).run();
        outcome.expect(0);
        assert!(outcome.stdout.contains("diskpour"), "{shell}");
    }
    let outcome = diskpour().arg("man").run();
    outcome.expect(0);
    assert!(outcome.stdout.contains(".TH"), "{}", outcome.stdout);
    diskpour().args(["completions", "nosuchshell"]).run().expect(2);
}

#[test]
fn help_fits_80_columns_and_names_every_option() {
    let help = diskpour().args(["import", "--help"]).run();
    help.expect(0);
    for line in help.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
    for option in [
        "--format",
        "--compression",
        "--checksum",
        "--scratch-dir",
        "--scratch-policy",
        "--memory-budget",
        "--connections",
        "--workers",
        "--size",
        "--max-size",
        "--preallocation",
        "--progress",
        "--output",
        "--force",
        "--idle-timeout",
        "--verify",
    ] {
        assert!(help.stdout.contains(option), "{option}");
    }
    let version = diskpour().arg("--version").run();
    assert!(version.expect(0).stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_environment_stands_for_options_and_options_win() {
    let disks = Disks::new();
    let import = || diskpour().arg("import").arg(&disks.qcow2).arg(&disks.target);
    let outcome = import().env("DISKPOUR_OUTPUT", "json").env("DISKPOUR_SIZE", "8M").run();
    outcome.expect(0);
    assert_eq!(fs::metadata(&disks.target).unwrap().len(), 8 << 20);
    outcome.result();
    import().env("DISKPOUR_FORCE", "true").run().expect(0);
    disks.is_poured();
    let run = import().arg("--force").env("DISKPOUR_FORMAT", "raw").args(["--format", "qcow2"]);
    run.run().expect(0);
    disks.is_poured();
    import().arg("--force").env("DISKPOUR_MEMORY_BUDGET", "many").run().expect(2);
    disks.is_poured();
}
