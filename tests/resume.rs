//! Imports that were killed, and the same command again.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::common::device::Device;
use crate::common::run::{self, Outcome, Run};
use crate::common::server::{Ranges, Server};
use crate::common::tally::Tally;
use crate::common::{child, noise, qemu, wait_for, workshop};

const MIB: usize = 1 << 20;

/// Times that a route is killed, each at another moment.
const MOMENTS: u64 = 20;

/// A disk, its images, a server that takes its time, and a target.
struct Scene {
    workshop: tempfile::TempDir,
    disk: Vec<u8>,
    server: Server,
    image: &'static str,
    target: PathBuf,
}

impl Scene {
    /// A disk of `mib` MiB as the image `image`; a connection of the server rests for `rest` after each 64 KiB.
    /// At least 3 MiB.
    fn new(mib: usize, image: &'static str, rest: Duration) -> Self {
        let workshop = workshop();
        let mut disk = noise(mib * MIB, 41);
        disk[mib * MIB / 2..][..MIB + 4096].fill(0);
        disk[mib * MIB - MIB / 2..].fill(0);
        let raw = workshop.path().join("disk.raw");
        fs::write(&raw, &disk).unwrap();
        let made = workshop.path().join(image);
        match image {
            "disk.raw" => {}
            "disk.qcow2" => qemu::img("convert -f raw -O qcow2", &[&raw, &made]),
            "disk.raw.gz" => gzip(&raw),
            "disk.qcow2.gz" => {
                let plain = workshop.path().join("disk.qcow2");
                qemu::img("convert -f raw -O qcow2", &[&raw, &plain]);
                gzip(&plain);
            }
            other => panic!("{other}"),
        }
        let server = Server::slow(workshop.path(), Ranges::Served, rest);
        let target = workshop.path().join("target.img");
        Self { workshop, disk, server, image, target }
    }

    fn import(&self) -> Run {
        // One after the other, the pieces of a small image are durable one after the other.
        run::import(self.server.url(self.image), &self.target).args(["--resume", "--connections", "1"])
    }

    fn marker(&self) -> PathBuf {
        self.workshop.path().join(".target.img.diskpour")
    }

    /// What the journal calls durable, in bytes.
    fn journalled(&self) -> u64 {
        durable(&self.marker())
    }

    /// Starts, and kills when `sent` more bytes have left the server.
    fn kill_after(&self, sent: u64) {
        let before = self.server.sent();
        let running = self.import().start();
        assert!(wait_for(|| self.server.sent() - before >= sent), "the server sends nothing");
        child::signal(&running.child, Signal::KILL);
        assert_eq!(running.finish_killed(), 9);
        assert!(self.starts_with_zeros(), "a first MiB although the import was killed");
    }

    /// Whether the target's first MiB is zero, or not there.
    fn starts_with_zeros(&self) -> bool {
        let head = fs::read(&self.target).unwrap_or_default();
        head.iter().take(MIB).all(|byte| *byte == 0)
    }

    /// Imports to the end, and returns what that said.
    fn go_on(&self) -> Outcome {
        let outcome = self.import().run();
        outcome.expect(0);
        assert!(fs::read(&self.target).unwrap() == self.disk, "the target differs");
        assert!(!self.marker().exists(), "the journal is left");
        outcome
    }
}

fn gzip(path: &Path) {
    let status = std::process::Command::new("gzip").args(["-1", "-k"]).arg(path).status().unwrap();
    assert!(status.success());
}

/// What the journal at `path` calls durable, in bytes.
fn durable(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let Some(record) = text.lines().nth(1) else { return 0 };
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    let ranges: Vec<(u64, u64)> = serde_json::from_value(record["durable"].clone()).unwrap();
    ranges.iter().map(|(start, end)| end - start).sum()
}

/// Kills imports of `image` at moments all over their way; each must end well the second time.
fn kill_everywhere(image: &'static str) {
    let scene = Scene::new(12, image, Duration::from_millis(5));
    let whole = fs::metadata(scene.workshop.path().join(image)).unwrap().len();
    let (mut tally, mut resumed) = (Tally::of(format!("kills of {image}")), 0);
    for moment in 0..MOMENTS {
        // Neither even steps nor chance: a fixed order that leaves no part of the way out.
        let sent = whole * (moment * 7 % MOMENTS) / MOMENTS + moment * 1777;
        tally.case(format!("after {sent} bytes"), || {
            scene.kill_after(sent);
            resumed += u64::from(scene.go_on().number("resumed_bytes") > 0);
            fs::remove_file(&scene.target).unwrap();
        });
    }
    tally.finish();
    println!("{image}: {resumed} of {MOMENTS} went on where they were killed");
    assert!(resumed > 0, "none went on where it was killed");
}

#[test]
fn a_ranged_raw_import_killed_anywhere_ends_well_the_next_time() {
    kill_everywhere("disk.raw");
}

#[test]
fn a_ranged_qcow2_import_killed_anywhere_ends_well_the_next_time() {
    kill_everywhere("disk.qcow2");
}

#[test]
fn a_streamed_import_killed_anywhere_ends_well_the_next_time() {
    kill_everywhere("disk.raw.gz");
}

#[test]
fn a_forward_import_killed_anywhere_ends_well_the_next_time() {
    kill_everywhere("disk.qcow2.gz");
}

#[test]
fn what_a_ranged_import_has_made_durable_is_neither_fetched_nor_written_again() {
    for image in ["disk.raw", "disk.qcow2"] {
        let scene = Scene::new(192, image, Duration::ZERO);
        let whole = fs::metadata(scene.workshop.path().join(image)).unwrap().len();
        scene.server.hold(whole / 2);
        let running = scene.import().start();
        assert!(wait_for(|| scene.journalled() > whole * 47 / 100), "{} in the journal", scene.journalled());
        child::signal(&running.child, Signal::KILL);
        running.finish_killed();
        let durable = scene.journalled();
        scene.server.hold(u64::MAX);
        let outcome = scene.go_on();
        assert_eq!(outcome.number("resumed_bytes"), durable);
        // The server stood still at the half.
        let fetched = whole / 2 + outcome.number("fetched_bytes");
        let written = durable + outcome.number("written_bytes");
        println!("{image}: {whole} bytes, fetched {fetched}, written {written}");
        assert!(fetched <= whole * 105 / 100, "{fetched} bytes fetched of {whole}");
        assert!(written <= whole * 105 / 100, "{written} bytes written of {whole}");
    }
}

/// A streamed import that was killed when its journal had `least` bytes.
fn killed_with_a_journal(least: u64) -> Scene {
    let scene = Scene::new(16, "disk.raw.gz", Duration::from_millis(2));
    scene.server.hold(12 * MIB as u64);
    let running = scene.import().start();
    assert!(wait_for(|| scene.journalled() > least), "{} in the journal", scene.journalled());
    child::signal(&running.child, Signal::KILL);
    running.finish_killed();
    scene.server.hold(u64::MAX);
    scene
}

#[test]
fn a_compressed_stream_is_fetched_again_but_not_written_again() {
    let scene = killed_with_a_journal(4 << 20);
    let durable = scene.journalled();
    let outcome = scene.import().arg("--verify").run();
    outcome.expect(0);
    assert!(fs::read(&scene.target).unwrap() == scene.disk);
    assert_eq!(outcome.number("resumed_bytes"), durable);
    let made = outcome.number("written_bytes") + outcome.number("zeroed_bytes");
    assert_eq!(made + durable, scene.disk.len() as u64);
}

#[test]
fn what_lies_outside_of_the_journal_is_not_trusted() {
    let scene = killed_with_a_journal(4 << 20);
    let file = fs::OpenOptions::new().write(true).open(&scene.target).unwrap();
    // Behind everything that was written, where the disk has zeros.
    file.write_all_at(&[0xee; 8192], (16 * MIB - MIB / 4) as u64).unwrap();
    file.write_all_at(&[0xee; 512], 0).unwrap();
    assert!(scene.go_on().number("resumed_bytes") > 0);
}

#[test]
fn a_target_that_was_changed_starts_again_from_nothing() {
    let scene = killed_with_a_journal(4 << 20);
    let file = fs::OpenOptions::new().write(true).open(&scene.target).unwrap();
    file.write_all_at(&[0xee], 2 * MIB as u64 + 77).unwrap();
    let outcome = scene.go_on();
    assert_eq!(outcome.number("resumed_bytes"), 0);
    outcome
        .says("the journal of an earlier import is not used: what it says to be in the target is not there");
}

#[test]
fn a_target_that_is_gone_is_made_again() {
    let scene = killed_with_a_journal(4 << 20);
    fs::remove_file(&scene.target).unwrap();
    let outcome = scene.go_on();
    assert_eq!(outcome.number("resumed_bytes"), 0);
    outcome.says("what it says to be in the target is not there");
}

#[test]
fn another_image_starts_again_from_nothing() {
    let mut scene = killed_with_a_journal(4 << 20);
    fs::write(scene.workshop.path().join("disk.raw"), noise(3 * MIB, 5)).unwrap();
    scene.disk = noise(3 * MIB, 5);
    scene.image = "disk.raw";
    let outcome = scene.go_on();
    assert_eq!(outcome.number("resumed_bytes"), 0);
    outcome.says("it is of another source");
}

#[test]
fn without_the_option_an_import_starts_from_nothing_and_keeps_no_journal() {
    let scene = killed_with_a_journal(4 << 20);
    let outcome = run::import(scene.server.url(scene.image), &scene.target).run();
    outcome.expect(0);
    assert!(fs::read(&scene.target).unwrap() == scene.disk);
    assert_eq!(outcome.number("resumed_bytes"), 0);
    assert!(!scene.marker().exists());
}

#[test]
fn an_import_that_a_signal_ends_is_gone_on_with() {
    let scene = Scene::new(16, "disk.raw", Duration::ZERO);
    scene.server.hold(12 * MIB as u64);
    let running = scene.import().start();
    assert!(wait_for(|| scene.journalled() > 4 << 20), "{} in the journal", scene.journalled());
    child::signal(&running.child, Signal::TERM);
    assert_eq!(running.finish().code, 143);
    scene.server.hold(u64::MAX);
    assert!(scene.go_on().number("resumed_bytes") > 4 << 20);
}

#[test]
fn a_pipe_cannot_be_gone_on_with_and_says_so() {
    let scene = Scene::new(4, "disk.raw", Duration::ZERO);
    let outcome = run::import("-", &scene.target).arg("--resume").fed(scene.disk.clone()).run();
    outcome.expect(0).says("cannot be resumed: the source does not say");
    assert!(fs::read(&scene.target).unwrap() == scene.disk);
}

#[test]
fn a_device_is_gone_on_with_by_a_journal_in_the_scratch_directory() {
    let scene = Scene::new(16, "disk.qcow2", Duration::ZERO);
    let scratch = scene.workshop.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let Some(device) = Device::new(scene.workshop.path(), 17 * MIB, 512) else { return };
    let import = || run::import(scene.server.url(scene.image), &device.path).arg("--resume");
    let name = device.path.file_name().unwrap().to_str().unwrap();
    let journal = scratch.join(format!(".{name}.diskpour"));

    scene.server.hold(12 * MIB as u64);
    let running = import().arg("--connections").arg("1").arg("--scratch-dir").arg(&scratch).start();
    assert!(wait_for(|| durable(&journal) > 4 << 20), "{} in the journal", durable(&journal));
    child::signal(&running.child, Signal::KILL);
    running.finish_killed();
    assert!(device.bytes()[..MIB].iter().all(|byte| *byte == 0));

    scene.server.hold(u64::MAX);
    let outcome = import().arg("--scratch-dir").arg(&scratch).run();
    outcome.expect(0);
    assert!(outcome.number("resumed_bytes") > 4 << 20);
    assert!(device.bytes()[..16 * MIB] == scene.disk);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "the journal is left");

    let outcome = import().run();
    outcome.expect(0).says("cannot be resumed: the journal of a block device needs a scratch directory");
    assert!(device.bytes()[..16 * MIB] == scene.disk);
}
