//! A device that held a bootable disk never boots half of another one: not after `kill -9`, a wrong
//! checksum, a wrong layer, a stream that is cut, nor a flush that fails.

mod killed;
mod wrong;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::depot::{Depot, Reply, Request, shelves};
use crate::common::device::Device;
use crate::common::oci::{OciLayout, Packing, layer};
use crate::common::run::{self, Run};
use crate::common::{noise, qemu, workshop};

const MIB: usize = 1 << 20;

/// What is written last of all: the boot sector, and what describes partitions.
const BLOCK: usize = 4096;

/// The device's size; the disk is smaller.
const SIZE: usize = 6 * MIB;

/// What slow sources wait for after every 256 KiB.
const PAUSE: Duration = Duration::from_millis(10);

/// Every way from a source to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    RangedFile,
    RangedWeb,
    ForwardWeb,
    Gzip,
    Pipe,
    Registry,
}

const WAYS: [Way; 6] =
    [Way::RangedFile, Way::RangedWeb, Way::ForwardWeb, Way::Gzip, Way::Pipe, Way::Registry];

/// A new disk, the places that have it, and a device with an old one.
struct Bench {
    workshop: tempfile::TempDir,
    /// What is to be poured: bootable, too.
    disk: Vec<u8>,
    old: Vec<u8>,
    raw: PathBuf,
    qcow2: PathBuf,
    packed: Vec<u8>,
    device: Device,
}

/// What a device holds in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What it held before.
    Untouched,
    /// Nothing in its first block, which is zeroed first and written last, and no mixture behind it.
    Blank,
    /// The new disk, and behind it what was there before.
    Complete,
}

/// Noise that firmware takes for a disk.
fn bootable(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = noise(len, seed);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

impl Bench {
    fn new() -> Option<Self> {
        let workshop = workshop();
        let device = Device::new(workshop.path(), SIZE, 512)?;
        Some(Self::with(workshop, device))
    }

    fn with(workshop: tempfile::TempDir, device: Device) -> Self {
        let mut disk = bootable(4 * MIB + 1536, 71);
        disk[2 * MIB..2 * MIB + 300_000].fill(0);
        let (raw, qcow2) = (workshop.path().join("disk.raw"), workshop.path().join("disk.qcow2"));
        fs::write(&raw, &disk).unwrap();
        qemu::img("convert -f raw -O qcow2", &[&raw, &qcow2]);
        let packed = fs::read(qemu::pack(&raw, "gzip")).unwrap();
        Self { disk, old: bootable(SIZE, 72), raw, qcow2, packed, device, workshop }
    }

    fn dir(&self) -> &Path {
        self.workshop.path()
    }

    /// The old disk again.
    fn reset(&self) {
        let device = OpenOptions::new().write(true).open(&self.device.path).unwrap();
        device.write_all_at(&self.old, 0).unwrap();
        device.sync_all().unwrap();
    }

    /// What the device holds, which must be one of the three.
    #[track_caller]
    fn state(&self) -> State {
        let now = self.device.bytes();
        let tail = self.disk.len();
        if now == self.old {
            return State::Untouched;
        }
        assert!(now[tail..] == self.old[tail..], "the tail behind the disk was touched");
        if now[..tail] == self.disk {
            return State::Complete;
        }
        let zeros = now.iter().take_while(|byte| **byte == 0).count();
        let (old, new) = (now[..512] == self.old[..512], now[..512] == self.disk[..512]);
        assert!(zeros >= BLOCK, "{zeros} zeros; the boot sector is the old one: {old}, the new one: {new}");
        // A kill may come when the old first MiB is zero in part, from its start on, or when all but the
        // first block of the new one is in its place.
        let begun = now[zeros..] == self.old[zeros..];
        let mut head = now[..MIB].iter().zip(&self.disk);
        let known = begun || head.all(|(now, new)| *now == 0 || now == new);
        assert!(known, "the first MiB is neither zero nor the new one");
        State::Blank
    }

    /// A run by `way` from a source that takes its time, where there is such a thing.
    fn run(&self, way: Way, servers: &Servers) -> Run {
        let web = |depot: &Depot, name: &str| format!("http://{}/{name}", depot.address());
        let device = &self.device.path;
        match way {
            Way::RangedFile => run::import(&self.raw, device),
            Way::RangedWeb => run::import(web(&servers.ranged, "disk.raw"), device),
            Way::ForwardWeb => run::import(web(&servers.plain, "disk.qcow2"), device),
            Way::Gzip => run::import("-", device).fed_slowly(&self.packed[..], PAUSE),
            Way::Pipe => run::import("-", device).fed_slowly(&self.disk[..], PAUSE),
            Way::Registry => {
                let source = format!("docker://{}/disks", servers.registry.address());
                run::import(source, device).args(["--insecure", "--arch", "amd64"])
            }
        }
    }
}

/// Slow servers that have the disk.
struct Servers {
    ranged: Depot,
    plain: Depot,
    registry: Depot,
}

impl Servers {
    fn new(bench: &Bench) -> Self {
        let slow = |reply: Reply| Reply { pause: PAUSE, ..reply };
        let (raw, qcow2) = (bench.disk.clone(), fs::read(&bench.qcow2).unwrap());
        let mut layout = OciLayout::new(bench.dir());
        let image = layout.image("amd64", &[layer(&[("disk/disk.img", &bench.disk)], Packing::None)]);
        layout.tag("latest", image);
        let shelf = shelves(&layout);
        Self {
            ranged: Depot::start("127.0.0.1", move |request| slow(part(&raw, request))),
            plain: Depot::start("127.0.0.1", move |_| slow(Reply::text(qcow2.clone()))),
            registry: Depot::start("127.0.0.1", move |request| slow(shelf(request))),
        }
    }
}

/// What an honest server answers that has `bytes`.
fn part(bytes: &[u8], request: &Request) -> Reply {
    let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let Some((start, last)) = range else { return Reply::text(bytes).with("ETag", "\"one\"") };
    let start: usize = start.parse().unwrap();
    let end = last.parse().map_or(bytes.len(), |last: usize| (last + 1).min(bytes.len()));
    let reply = Reply::text(&bytes[start..end]).with("ETag", "\"one\"");
    let content = format!("bytes {start}-{}/{}", end - 1, bytes.len());
    Reply { status: 206, ..reply.with("Content-Range", content) }
}
