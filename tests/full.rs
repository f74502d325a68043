//! Targets and scratch space without room, and targets that fail: the exit code, the words, what is left.
//!
//! Quotas of a file system are the kernel's affair, which may have none; a file system of our own gives
//! their error as real ones do.

mod failing;
mod pods;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::device::Device;
use crate::common::mount::Mount;
use crate::common::run::{self, Outcome};
use crate::common::server::{Ranges, Server};
use crate::common::{noise, qemu, workshop};

const NO_SPACE: &str = "no space left on device";

/// A disk of which 6 MiB are data, in every form, and a web server without ranges.
pub(crate) struct Images {
    workshop: tempfile::TempDir,
    pub(crate) bytes: Vec<u8>,
    pub(crate) raw: PathBuf,
    qcow2: PathBuf,
    gz: PathBuf,
    /// An image whose table lies behind its data, packed: all of them have to wait.
    late: PathBuf,
    server: Server,
}

impl Images {
    pub(crate) fn new() -> Self {
        let workshop = workshop();
        let at = |name: &str| workshop.path().join(name);
        let mut bytes = noise((7 << 20) + 1024, 41);
        bytes[2 << 20..3 << 20].fill(0);
        let (raw, qcow2, late) = (at("disk.raw"), at("disk.qcow2"), at("late.qcow2"));
        fs::write(&raw, &bytes).unwrap();
        qemu::img("convert -f raw -O qcow2", &[&raw, &qcow2]);
        qemu::img("convert -f raw -O qcow2 -o cluster_size=4k", &[&raw, &late]);
        qemu::img_last("resize", &late, "64M");
        let (gz, late) = (qemu::pack(&raw, "gzip"), qemu::pack(&late, "gzip"));
        let server = Server::start(workshop.path(), Ranges::Ignored);
        Self { bytes, raw, qcow2, gz, late, server, workshop }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.workshop.path()
    }

    /// A source for each route, by the route's name.
    pub(crate) fn sources(&self) -> [(&'static str, String); 4] {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        [
            ("ranged", path(&self.raw)),
            ("ranged", path(&self.qcow2)),
            ("stream", path(&self.gz)),
            ("forward", self.server.url("disk.qcow2")),
        ]
    }
}

/// That nothing lies in `dir`, but what file systems have by themselves.
#[track_caller]
fn is_empty(dir: &Path) {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name != "lost+found").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A message of one line that `words` are in, and no second error hides behind it.
#[track_caller]
pub(crate) fn says_once(outcome: &Outcome, words: &str) {
    outcome.says(words);
    let errors = outcome.stderr.lines().filter(|line| line.contains("error")).count();
    assert!(errors <= 1, "{}", outcome.stderr);
}

#[test]
fn a_file_system_in_memory_that_is_full_ends_with_7_and_leaves_nothing() {
    let images = Images::new();
    let Some(mount) = Mount::memory(4 << 20, &images.dir().join("small")) else { return };
    let target = mount.dir().join("disk.img");
    for (_, source) in images.sources() {
        for options in [&[][..], &["--preallocation", "falloc"], &["--preallocation", "full"]] {
            let outcome = run::import(&source, &target).args(options).run();
            let words = format!("unable to write to file: write {}: {NO_SPACE}", target.display());
            says_once(outcome.expect(7), &words);
            is_empty(mount.dir());
        }
    }
    // The file was there: it stays, and is empty.
    fs::write(&target, "").unwrap();
    run::import(&images.raw, &target).run().expect(7);
    assert_eq!(fs::read(&target).unwrap(), b"");
    assert_eq!(fs::read_dir(mount.dir()).unwrap().count(), 1);
}

#[test]
fn a_small_file_system_on_a_disk_that_is_full_ends_with_7_and_leaves_nothing() {
    let images = Images::new();
    let disk = images.dir().join("ext4");
    File::create(&disk).unwrap().set_len(6 << 20).unwrap();
    qemu::tool("mkfs.ext4", ["-q", "-F", "-m", "0", "-O", "^has_journal", disk.to_str().unwrap()]);
    let options = ["-o", "loop", disk.to_str().unwrap()];
    let Some(mount) = Mount::new(&options, &images.dir().join("mounted")) else { return };
    let target = mount.dir().join("disk.img");
    for (_, source) in images.sources() {
        says_once(run::import(&source, &target).run().expect(7), NO_SPACE);
        is_empty(mount.dir());
    }
    // What it had room for before, it has room for after.
    let little = images.dir().join("little.raw");
    fs::write(&little, &images.bytes[..1 << 20]).unwrap();
    run::import(&little, &target).run().expect(0);
}

/// A device whose file lies where there is no room for it, with a boot sector on it.
fn thin(images: &Images) -> Option<(Mount, Device)> {
    let mount = Mount::memory(4 << 20, &images.dir().join("thin"))?;
    let device = Device::sparse(mount.dir(), 16 << 20)?;
    let old = OpenOptions::new().write(true).open(&device.path).unwrap();
    let mut boot = noise(1 << 20, 3);
    boot[510..512].copy_from_slice(&[0x55, 0xaa]);
    old.write_all_at(&boot, 0).unwrap();
    old.sync_all().unwrap();
    Some((mount, device))
}

#[test]
fn a_device_whose_storage_runs_out_is_told_and_boots_no_more() {
    let images = Images::new();
    for (_, source) in images.sources() {
        let Some((_mount, device)) = thin(&images) else { return };
        let outcome = run::import(&source, &device.path).run();
        outcome.says(device.path.to_str().unwrap());
        // Older kernels know of nothing but an error.
        match outcome.code {
            1 => outcome.says("input/output error"),
            _ => outcome.expect(7).says(NO_SPACE),
        };
        let mut first = vec![1; 1 << 20];
        File::open(&device.path).unwrap().read_exact_at(&mut first, 0).unwrap();
        assert!(first.iter().all(|byte| *byte == 0), "{source}");
    }
}

#[test]
fn scratch_space_that_is_full_is_told_from_a_full_target() {
    let images = Images::new();
    let Some(scratch) = Mount::memory(1 << 20, &images.dir().join("scratch")) else { return };
    let target = images.dir().join("target.img");
    let spilling = run::import(&images.late, &target).args(["--memory-budget", "256Ki"]);
    let packed = qemu::pack(&images.qcow2, "zstd");
    let staging = run::import(&packed, &target).args(["--scratch-policy", "strict"]);
    for run in [spilling, staging] {
        let outcome = run.arg("--scratch-dir").arg(scratch.dir()).run();
        outcome.expect(7).says(&format!("cannot write to scratch in {} at byte", scratch.dir().display()));
        outcome.says(NO_SPACE);
        let said = outcome.stderr.lines().find(|line| line.contains("scratch in")).unwrap_or_default();
        assert!(!said.contains("target.img"), "{said}");
        assert!(!target.exists() && !images.dir().join(".target.img.diskpour").exists());
        is_empty(scratch.dir());
    }
    // And a full target, whose scratch space has room.
    let Some(small) = Mount::memory(2 << 20, &images.dir().join("small")) else { return };
    let target = small.dir().join("disk.img");
    let run = run::import(&images.late, &target).args(["--memory-budget", "256Ki", "--scratch-dir"]);
    let outcome = run.arg(images.dir()).run();
    outcome.expect(7).says(&format!("unable to write to file: write {}: {NO_SPACE}", target.display()));
    is_empty(small.dir());
}

#[test]
fn an_archive_that_does_not_fit_leaves_nothing() {
    let images = Images::new();
    let Some(mount) = Mount::memory(4 << 20, &images.dir().join("small")) else { return };
    let tar = images.dir().join("files.tar");
    let mut command = Command::new("tar");
    command.arg("-C").arg(images.dir()).args(["-cf", tar.to_str().unwrap(), "disk.raw"]);
    assert!(command.status().unwrap().success());
    let outcome = run::import(&tar, mount.dir()).args(["--content-type", "archive"]).run();
    outcome.expect(7).says(NO_SPACE);
    is_empty(mount.dir());
}
