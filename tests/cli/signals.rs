//! Ctrl-C and SIGTERM in the middle of an import.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Disks;
use crate::common::{child, run, wait_for};

/// The exit code when `signal` comes while a pipe that never ends is poured.
fn stopped_by(signal: Signal, disks: &Disks, bytes: &[u8]) -> i32 {
    let running = run::import("-", &disks.target).fed_and_held(bytes).start();
    if bytes.is_empty() {
        sleep(Duration::from_millis(300));
    } else {
        assert!(wait_for(|| disks.target.exists()), "no target appeared");
        sleep(Duration::from_millis(100));
    }
    let start = Instant::now();
    child::signal(&running.child, signal);
    let outcome = running.finish();
    assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
    disks.is_clean();
    outcome.code
}

#[test]
fn sigterm_ends_an_import_within_two_seconds_and_leaves_nothing() {
    let disks = Disks::new();
    let image = std::fs::read(&disks.qcow2).unwrap();
    for bytes in [&disks.bytes[..2 << 20], &image[..3 << 19], &[]] {
        assert_eq!(stopped_by(Signal::TERM, &disks, bytes), 143);
    }
}

#[test]
fn sigint_ends_an_import_within_two_seconds_and_leaves_nothing() {
    let disks = Disks::new();
    for bytes in [&disks.bytes[..2 << 20], &[]] {
        assert_eq!(stopped_by(Signal::INT, &disks, bytes), 130);
    }
}
