//! What happens to the target, and the options about it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Disks;
use crate::common::run;

#[test]
fn a_file_that_is_not_empty_needs_force() {
    let disks = Disks::new();
    fs::write(&disks.target, b"precious").unwrap();
    let outcome = run::import(&disks.qcow2, &disks.target).run();
    outcome.expect(2).says("--force");
    assert_eq!(fs::read(&disks.target).unwrap(), b"precious");
    assert!(!disks.marker().exists());
    run::import(&disks.qcow2, &disks.target).arg("--force").run().expect(0);
    disks.is_poured();
}

#[test]
fn an_empty_file_needs_no_force() {
    let disks = Disks::new();
    fs::write(&disks.target, b"").unwrap();
    run::import(&disks.qcow2, &disks.target).run().expect(0);
    disks.is_poured();
}

#[test]
fn what_the_head_shows_leaves_an_existing_file_untouched() {
    let disks = Disks::new();
    let mut image = fs::read(&disks.qcow2).unwrap();
    // A version that nobody has written yet.
    image[7] = 9;
    fs::write(&disks.target, b"precious").unwrap();
    run::import("-", &disks.target).fed(image).arg("--force").run().expect(6);
    assert_eq!(fs::read(&disks.target).unwrap(), b"precious");
}

#[test]
fn a_partial_target_with_its_marker_may_be_started_again() {
    let disks = Disks::new();
    let half = disks.bytes[..2 << 20].to_vec();
    let running = run::import("-", &disks.target).fed_and_held(half).start();
    let began = crate::common::wait_for(|| disks.marker().exists() && disks.target.exists());
    assert!(began, "neither a target nor its marker appeared");
    crate::common::child::signal(&running.child, rustix::process::Signal::KILL);
    assert_eq!(running.finish_killed(), 9);
    // Nothing could clean up: the partial target and its marker are still there.
    assert!(disks.marker().exists());
    run::import(&disks.qcow2, &disks.target).run().expect(0);
    disks.is_poured();
}

#[test]
fn the_disk_grows_to_size_and_never_shrinks() {
    let disks = Disks::new();
    let outcome = run::import(&disks.qcow2, &disks.target).args(["--size", "8M"]).run();
    outcome.expect(0);
    let poured = fs::read(&disks.target).unwrap();
    assert_eq!(poured.len(), 8 << 20);
    assert!(poured.starts_with(&disks.bytes));
    assert!(poured[disks.bytes.len()..].iter().all(|byte| *byte == 0));
    fs::remove_file(&disks.target).unwrap();
    let outcome = run::import(&disks.qcow2, &disks.target).args(["--size", "1M"]).run();
    assert!(outcome.code != 0 || fs::metadata(&disks.target).unwrap().len() == disks.bytes.len() as u64);
}

#[test]
fn a_disk_above_max_size_is_refused_before_the_first_write() {
    let disks = Disks::new();
    for source in [&disks.qcow2, &disks.raw] {
        let outcome = run::import(source, &disks.target).args(["--max-size", "1M"]).run();
        outcome.expect(7).says(&disks.bytes.len().to_string());
        disks.is_clean();
        // The size of what comes through a pipe may show only at the end.
        run::import_piped(source, &disks.target).args(["--max-size", "1M"]).run().expect(7);
        disks.is_clean();
    }
    run::import(&disks.qcow2, &disks.target).args(["--max-size", "4M"]).run().expect(0);
    disks.is_poured();
}

#[test]
fn a_full_file_system_ends_with_7() {
    let disks = Disks::new();
    // A limit of the process stands for the file system's.
    let full = "ulimit -f 1024; trap '' XFSZ; exec \"$0\" import \"$1\" \"$2\" --progress none";
    let program = env!("CARGO_BIN_EXE_diskpour");
    let mut command = std::process::Command::new("bash");
    let output = command.args(["-c", full, program]).args([&disks.raw, &disks.target]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{words}");
    disks.is_clean();
}

#[test]
fn holes_stay_holes_and_preallocation_takes_the_space() {
    let disks = Disks::new();
    let space = |how: &str| {
        run::import(&disks.qcow2, &disks.target).args(["--preallocation", how]).run().expect(0);
        disks.is_poured();
        let blocks = fs::metadata(&disks.target).unwrap().blocks() * 512;
        fs::remove_file(&disks.target).unwrap();
        blocks
    };
    let len = disks.bytes.len() as u64;
    assert!(space("off") < len - (1 << 19));
    assert!(space("falloc") >= len);
    assert!(space("full") >= len);
}

#[test]
fn verify_reads_the_target_back() {
    let disks = Disks::new();
    for source in [&disks.qcow2, &disks.raw] {
        run::import(source, &disks.target).arg("--verify").run().expect(0);
        disks.is_poured();
        fs::remove_file(&disks.target).unwrap();
    }
}

#[test]
fn a_target_in_no_directory_and_a_directory_as_target_are_refused() {
    let disks = Disks::new();
    for target in [disks.dir().join("no/such/file"), disks.dir().to_owned()] {
        let outcome = run::import(&disks.qcow2, target).run();
        assert!([1, 2].contains(&outcome.code), "{} {}", outcome.code, outcome.stderr);
    }
}
