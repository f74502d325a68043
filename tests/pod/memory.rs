//! 9.A: a large image, little memory and a slow target.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::Case::Needs;
use super::Row;
use super::bench::{Bench, ODD, Volumes, is_complete};
use crate::common::apart::command;
use crate::common::group::Group;
use crate::common::{digest, noise, pod, qemu, wait_for};

pub(super) const ROWS: &[Row] = &[("A43", "3 GiB within 256 MiB of memory, to a slow target", Needs(a43))];

const SIZE: u64 = 3 << 30;
/// The virtual size of the sparse disk.
const HUGE: u64 = 50 << 30;

const MEMORY: u64 = 256 << 20;

/// Bits per second that the slow device takes: some 64 MB/s.
const RATE: &str = "rate=512M";

/// A block device that takes its time, with a file system on it.
struct Slow {
    server: Child,
    mounts: Vec<PathBuf>,
}

impl Slow {
    fn mount(volumes: &Volumes) -> Result<Self, String> {
        let fuse = volumes.dir.join("fuse");
        fs::create_dir(&fuse).unwrap();
        let (device, size) = (fuse.join("device"), (SIZE + (1 << 30)).to_string());
        let mut nbdfuse = Command::new("nbdfuse");
        // In memory that is nobody's page cache.
        nbdfuse.arg(&device).args(["[", "nbdkit", "--filter=rate", "memory", &size, RATE, "]"]);
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

fn a43(bench: &Bench) -> Result<String, String> {
    let huge = huge(bench);
    let sum = image(&bench.root());
    let volumes = bench.volumes();
    // A usual target would be too fast to show anything.
    let slow = Slow::mount(&volumes).map_err(|why| format!("no slow target: {why}; {huge}"))?;
    let group = Group::new(MEMORY);
    // In one pass, and by ranges.
    let urls = [bench.nginx.url(ODD, "plain/large.qcow2"), bench.url("large.qcow2")];
    // What the making of the image left to be written is not the pod's.
    command("sync", &[]).unwrap();
    let mut dirty = 0;
    for url in urls {
        let pod =
            volumes.http(&url).env("IMPORTER_IMAGE_SIZE", SIZE.to_string()).env("FILESYSTEM_OVERHEAD", "0");
        let mut pod = pod.within(Duration::from_secs(300));
        if let Some(group) = &group {
            pod = pod.cgroup(group.dir());
        }
        let (ended, most) = thread::scope(|scope| {
            let run = scope.spawn(|| pod.run());
            let mut most = 0;
            while !run.is_finished() {
                most = most.max(waiting_pages());
                thread::sleep(Duration::from_millis(50));
            }
            (run.join().unwrap(), most)
        });
        is_complete(&ended, false);
        assert_eq!(digest::disk(&volumes.disk()), sum);
        dirty = dirty.max(most);
    }
    fs::remove_file(bench.root().join("large.qcow2")).unwrap();
    drop(slow);
    let memory = match group.map(|group| group.peak()) {
        Some(Some(most)) => format!("a group of 256 MiB used {} MiB, page cache included", most >> 20),
        Some(None) => "within a group of 256 MiB".to_owned(),
        None => {
            assert!(dirty < MEMORY, "{dirty} bytes wait to be written");
            "no control group can be made here".to_owned()
        }
    };
    let dirty = dirty >> 20;
    Ok(format!(
        "exit 0 twice onto ext4 on a device of 64 MB/s; {memory}; at most {dirty} MiB dirty on the machine; {huge}"
    ))
}

/// A disk of 50 GiB of which next to nothing is data, in the memory that CDI gives to a pod.
fn huge(bench: &Bench) -> String {
    let (raw, qcow2) = (bench.root().join("huge.raw"), bench.root().join("huge.qcow2"));
    let file = File::create(&raw).unwrap();
    file.set_len(HUGE).unwrap();
    for number in 0..8 {
        file.write_all_at(&noise(1 << 20, 30 + number), number * (7 << 30)).unwrap();
    }
    qemu::img("convert -f raw -O qcow2", &[&raw, &qcow2]);
    qemu::pack(&qcow2, "xz");
    // In memory, as not every machine has so much room on a disk; what is written of it is little.
    let volumes = bench.small(2 * HUGE);
    let size = HUGE.to_string();
    let mut pod = volumes.http(&bench.url("huge.qcow2.xz")).env("IMPORTER_IMAGE_SIZE", size);
    let group = Group::new(600 << 20);
    if let Some(group) = &group {
        pod = pod.cgroup(group.dir());
    }
    let ended = pod.env("FILESYSTEM_OVERHEAD", "0").run();
    is_complete(&ended, false);
    assert_eq!(digest::disk(&volumes.disk()), digest::disk(&raw));
    assert!(ended.peak < 600 << 20, "{} bytes", ended.peak);
    fs::remove_file(raw).unwrap();
    let limit = if group.is_some() { " in a group of 600 MB" } else { "" };
    format!("50 GiB of a qcow2.xz: {} MiB{limit}", ended.peak >> 20)
}

/// Bytes in the machine's memory that wait to be written.
fn waiting_pages() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap();
    let waiting = |line: &&str| line.starts_with("Dirty:") || line.starts_with("Writeback:");
    let kibibytes = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    info.lines().filter(waiting).filter_map(kibibytes).sum::<u64>() << 10
}
