//! 9.A: a large image, little memory and a slow target.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Row;
use super::bench::{Bench, ODD, Volumes, is_complete};
use crate::common::apart::command;
use crate::common::{digest, noise, pod, qemu, wait_for};

pub(super) const ROWS: &[Row] = &[("A43", "3 GiB within 256 MiB of memory, to a slow target", a43)];

const SIZE: u64 = 3 << 30;
const MEMORY: u64 = 256 << 20;

/// Bits per second that the slow device takes: some 64 MB/s.
const RATE: &str = "rate=512M";

/// A control group that ends with the test.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let name = format!("diskpour-test-{}", std::process::id());
        let limits = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        limits.into_iter().find_map(|(root, limit)| {
            let dir = Path::new(root).join(&name);
            fs::create_dir(&dir).ok()?;
            let group = Self(dir);
            fs::write(group.0.join(limit), MEMORY.to_string()).ok()?;
            Some(group)
        })
    }

    /// A number of the group, by its name in either version.
    fn number(&self, names: [&str; 2]) -> Option<u64> {
        names.iter().find_map(|name| fs::read_to_string(self.0.join(name)).ok()?.trim().parse().ok())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

/// A block device that takes its time, with a file system on it.
struct Slow {
    server: Child,
    mounts: Vec<PathBuf>,
}

impl Slow {
    fn mount(volumes: &Volumes) -> Result<Self, String> {
        let [backing, fuse] = ["backing", "fuse"].map(|name| volumes.dir.join(name));
        File::create(&backing).unwrap().set_len(SIZE + (1 << 30)).unwrap();
        fs::create_dir(&fuse).unwrap();
        let device = fuse.join("device");
        let mut nbdfuse = Command::new("nbdfuse");
        nbdfuse.arg(&device).args(["[", "nbdkit", "--filter=rate", "file"]).arg(&backing).args([RATE, "]"]);
        nbdfuse.stdin(Stdio::null()).stdout(Stdio::null());
        let server = nbdfuse.spawn().map_err(|error| format!("nbdfuse: {error}"))?;
        let slow = Self { server, mounts: vec![fuse, volumes.data.clone()] };
        if !wait_for(|| device.exists()) {
            return Err("nbdfuse mounts nothing".to_owned());
        }
        let (device, data) = (device.to_str().unwrap(), volumes.data.to_str().unwrap());
        command("mkfs.ext4", &["-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", device])?;
        command("mount", &["-o", "loop", device, data])?;
        pod::own(&volumes.data);
        Ok(slow)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // The file system before the device below it. What was never mounted cannot be unmounted.
        for at in self.mounts.iter().rev() {
            command("umount", &[at.to_str().unwrap()]).ok();
        }
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// An image of which some 700 MiB are data, all over the disk; the disk's digest.
fn image(dir: &Path) -> String {
    let (raw, qcow2) = (dir.join("large.raw"), dir.join("large.qcow2"));
    let file = File::create(&raw).unwrap();
    file.set_len(SIZE).unwrap();
    let chunk = noise(64 << 20, 9);
    for number in 0..11 {
        file.write_all_at(&chunk, number * (280 << 20)).unwrap();
    }
    qemu::img("convert -f raw -O qcow2", &[&raw, &qcow2]);
    let sum = digest::disk(&raw);
    fs::remove_file(raw).unwrap();
    sum
}

fn a43(bench: &Bench) -> String {
    let sum = image(&bench.root());
    let volumes = bench.volumes();
    let (slow, target) = match Slow::mount(&volumes) {
        Ok(slow) => (Some(slow), "ext4 on a device of 64 MB/s".to_owned()),
        Err(why) => (None, format!("a usual target ({why})")),
    };
    let group = Group::new();
    let run = |url: &str| {
        let mut pod =
            volumes.http(url).env("IMPORTER_IMAGE_SIZE", SIZE.to_string()).within(Duration::from_secs(300));
        if let Some(group) = &group {
            pod = pod.cgroup(&group.0);
        }
        let ended = pod.env("FILESYSTEM_OVERHEAD", "0").run();
        is_complete(&ended, false);
        assert_eq!(digest::disk(&volumes.disk()), sum);
        ended.peak
    };
    // In one pass, and by ranges.
    let peaks = [run(&bench.nginx.url(ODD, "plain/large.qcow2")), run(&bench.url("large.qcow2"))];
    let most = group.as_ref().and_then(|group| group.number(["memory.max_usage_in_bytes", "memory.peak"]));
    fs::remove_file(bench.root().join("large.qcow2")).unwrap();
    drop(slow);
    let memory = match (&group, most) {
        (Some(_), Some(most)) => format!("a group of 256 MiB used {} MiB, page cache included", most >> 20),
        (Some(_), None) => "a group of 256 MiB".to_owned(),
        (None, _) => "no control group can be made here".to_owned(),
    };
    format!("exit 0 twice onto {target}; {memory}; resident {} and {} MiB", peaks[0] >> 20, peaks[1] >> 20)
}
