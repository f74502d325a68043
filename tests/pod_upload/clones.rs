//! Clone targets: what another pod sends, from our own source and from what others write.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::Row;
use super::bench::{Bench, NO_DEVICE, Server, holds_only};
use super::ending::was_cut;
use super::source::{Source, is_allocated, odd_files, same_content, same_files};
use crate::common::device::{Device, OLD};
use crate::common::qemu::tool;
use crate::common::{noise, pod, wait_for};

pub(super) const ROWS: &[Row] = &[("F17", "clones", clones), ("F18", "a cut, and another try", cut)];

const UPLOAD: &str = "/v1beta1/upload";
const BLOCK: [&str; 2] = ["-H", "x-cdi-content-type: blockdevice-clone"];
const FILES: [&str; 2] = ["-H", "x-cdi-content-type: filesystem-clone"];

/// `bytes` in snappy's chunks, in a file of `dir`.
fn snapped(dir: &Path, bytes: &[u8]) -> PathBuf {
    let path = dir.join("snapped");
    let mut encoder = snap::write::FrameEncoder::new(File::create(&path).unwrap());
    encoder.write_all(bytes).unwrap();
    encoder.flush().unwrap();
    path
}

fn clones(bench: &Bench) -> String {
    files_to_files(bench);
    let devices = to_and_from_devices(bench);
    from_others(bench);
    refused(bench);
    from_strangers(bench);
    let files = "files to files (tar, sparse, links, pipes, modes, preallocated); GNU tar's archives of every \
                 format; the same from a stranger, async and garbage 500";
    if devices.is_empty() {
        return format!("{NO_DEVICE} for clones of devices; {files}");
    }
    format!("{files}{devices}")
}

fn files_to_files(bench: &Bench) {
    let dir = bench.dir();
    let source = odd_files(&dir);
    let server = bench.clone_target(|pod| pod);
    let ended = Source::files(bench, &dir, &source).of_clone(bench).run();
    assert_eq!(ended.expect(0).message, "Clone Complete");
    let data = server.data.clone();
    let message = server.finish().expect(0).message.clone();
    assert_eq!(message, r#"{"preallocationApplied":true,"message":"Clone Complete"}"#);
    same_files(&source, &data);
    // The same, of which no byte may be a hole, though the source sends holes.
    let server = bench.clone_target(|pod| pod.env("PREALLOCATION", "true"));
    Source::files(bench, &dir, &source).of_clone(bench).run().expect(0);
    let data = server.data.clone();
    server.finish().expect(0);
    same_content(&source, &data);
    is_allocated(&data, "disk.img");
}

/// What a clone may hold is refused of who has the name of all uploaders, whatever the header says.
fn from_strangers(bench: &Bench) {
    let dir = bench.dir();
    let source = odd_files(&dir);
    let ended_by = |words: &str, keep: &str| {
        let server = bench.serve();
        let tar = dir.join("one.tar");
        tool("tar", ["-cf", tar.to_str().unwrap(), "-C", source.to_str().unwrap(), keep]);
        let stream = snapped(&dir, &fs::read(&tar).unwrap());
        server.post_when_free(&FILES, UPLOAD, &stream).expect(500).says(words);
        holds_only(&server.data, &[]);
        server.end().expect(143);
    };
    ended_by("an absolute link", "absolute");
    ended_by("may lead out", "upwards");
    ended_by("it is a pipe", "pipe");
    // Modes lose what is above 0777.
    let server = bench.serve();
    let tar = dir.join("group.tar");
    tool("tar", ["-cf", tar.to_str().unwrap(), "-C", source.to_str().unwrap(), "--exclude=again", "group"]);
    server.post_with(&FILES, UPLOAD, &snapped(&dir, &fs::read(&tar).unwrap())).expect(200);
    let data = server.data.clone();
    server.finish().expect(0);
    let mode = |name: &str| fs::metadata(data.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("group"), mode("group/tool")), (0o771, 0o711));
}

/// Empty where the machine has no loop device.
fn to_and_from_devices(bench: &Bench) -> String {
    let (dir, other) = (bench.dir(), bench.dir());
    let (Some(from), Some(to)) = (Device::new(&dir, 6 << 20, 512), Device::new(&other, 8 << 20, 512)) else {
        return String::new();
    };
    let mut disk = noise(6 << 20, 31);
    disk[(1 << 20) + 7..4 << 20].fill(0);
    fs::write(&from.path, &disk).unwrap();
    let serve = || {
        let pod = bench.pod(&other).volume("/dev/cdi-block-volume", &to.path);
        Server::start(bench, pod.env("DESTINATION", "/dev/cdi-block-volume"), other.clone())
    };
    let is_there = |applied: bool, server: Server<'_>| {
        let ended = server.finish();
        assert_eq!(ended.expect(0).json()["message"], "Clone Complete");
        assert_eq!(ended.json()["preallocationApplied"], applied);
        let bytes = to.bytes();
        assert!(bytes.starts_with(&disk), "the device differs");
        assert!(bytes[disk.len()..].iter().all(|byte| *byte == OLD), "the tail was touched");
        to.reset();
    };
    // A device to a device.
    let server = serve();
    assert_eq!(Source::device(bench, &dir, &from.path).run().expect(0).message, "Clone Complete");
    is_there(false, server);
    // A device to a file.
    let server = bench.serve();
    Source::device(bench, &dir, &from.path).run().expect(0);
    let path = server.disk();
    assert_eq!(server.finish().expect(0).json()["message"], "Clone Complete");
    assert!(fs::read(&path).unwrap() == disk, "the file differs");
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < disk.len() as u64, "the zeros take space");
    // A file to a device.
    let files = pod::directory(&dir, "source");
    fs::write(files.join("another"), "x").unwrap();
    fs::write(files.join("disk.img"), &disk).unwrap();
    pod::own(&files.join("disk.img"));
    let server = serve();
    Source::files(bench, &dir, &files).run().expect(0);
    is_there(true, server);
    // A file system without a disk.
    fs::remove_file(files.join("disk.img")).unwrap();
    let server = serve();
    let ended = Source::files(bench, &dir, &files).run();
    ended.expect(255).logs("no disk image found in tar");
    server.end().expect(143);
    assert!(to.is_untouched());
    ", device to device, device to file, file to device".to_owned()
}

/// What GNU tar writes, in chunks that the reference implementation would write too.
fn from_others(bench: &Bench) {
    for format in ["gnu", "pax", "oldgnu"] {
        let dir = bench.dir();
        let (source, tar) = (odd_files(&dir), dir.join("source.tar"));
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let args = ["-S".to_owned(), format!("--format={format}"), "-cf".to_owned(), path(&tar)];
        let place = ["-C".to_owned(), path(&source), "--exclude=./lost+found".to_owned(), ".".to_owned()];
        tool("tar", args.into_iter().chain(place));
        let server = bench.clone_target(|pod| pod);
        let stream = snapped(&dir, &fs::read(&tar).unwrap());
        server.post_with(&FILES, UPLOAD, &stream).expect(200);
        let data = server.data.clone();
        assert_eq!(server.finish().expect(0).json()["message"], "Clone Complete", "{format}");
        same_files(&source, &data);
        // GNU tar knows the second name of a link from another link.
        assert_eq!(fs::symlink_metadata(data.join("upwards")).unwrap().nlink(), 2);
    }
}

fn refused(bench: &Bench) {
    let (dir, server) = (bench.dir(), bench.serve());
    let stream = snapped(&dir, &bench.disk);
    for header in [BLOCK, FILES] {
        let answer = server.post_when_free(&header, "/v1beta1/upload-async", &stream);
        answer.expect(500).says("async clone not supported");
        server.post_when_free(&header, UPLOAD, &bench.raw).expect(500).says("snappy");
    }
    let mut damaged = fs::read(&stream).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let path = dir.join("damaged");
    fs::write(&path, &damaged).unwrap();
    server.post_when_free(&BLOCK, UPLOAD, &path).expect(500).says("damaged after");
    fs::write(&path, &damaged[..middle]).unwrap();
    server.post_when_free(&BLOCK, UPLOAD, &path).expect(500);
    holds_only(&server.data, &[]);
    // Larger than the volume.
    let large = snapped(&dir, &noise(70 << 20, 3));
    server.post_when_free(&BLOCK, UPLOAD, &large).expect(400).says("no space left on device");
    holds_only(&server.data, &[]);
    server.end().expect(143);
}

fn cut(bench: &Bench) -> String {
    let dir = bench.dir();
    let disk = noise(4 << 20, 6);
    let stream = snapped(&dir, &disk);
    let server = bench.serve();
    for _ in 0..2 {
        let slow = [&BLOCK[..], &["--limit-rate", "1M", "--max-time", "1"]].concat();
        was_cut(&server.post_when_free(&slow, UPLOAD, &stream));
    }
    server.post_when_free(&BLOCK, UPLOAD, &stream).expect(200);
    let path = server.disk();
    assert_eq!(server.finish().expect(0).json()["message"], "Clone Complete");
    assert!(fs::read(&path).unwrap() == disk);
    // The same for files, and with what a container leaves that is killed in the middle.
    let source = odd_files(&dir);
    let tar = dir.join("source.tar");
    // Directories come first: their modes are what a killed run owes.
    let place =
        ["-S", "-cf", tar.to_str().unwrap(), "-C", source.to_str().unwrap(), "--exclude=./lost+found"];
    tool("tar", [&place[..], &["group", "sub", "."]].concat());
    let stream = snapped(&dir, &fs::read(&tar).unwrap());
    let slow = [&FILES[..], &["--limit-rate", "100k"]].concat();
    let room = bench.room(64 << 20);
    let data = room.data;
    let server = bench.clone_target_in(room.pod, data.clone());
    std::thread::scope(|scope| {
        let post = scope.spawn(|| server.post_with(&slow, UPLOAD, &stream));
        assert!(wait_for(|| data.join("sub").exists()), "no clone began");
        server.signal(Signal::KILL);
        assert_ne!(post.join().unwrap().status, 200);
    });
    server.killed();
    let mode = |name: &str| fs::metadata(data.join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("group"), mode("sub")), (0o700, 0o700), "they are not sealed yet");
    fs::write(data.join("disk.img"), "half of it").unwrap();
    pod::own(&data.join("disk.img"));
    let again = bench.dir();
    let server = bench.clone_target_in(bench.pod(&again).volume("/data", &data), data.clone());
    was_cut(&server.post_when_free(&[&slow[..], &["--max-time", "1"]].concat(), UPLOAD, &stream));
    server.post_when_free(&FILES, UPLOAD, &stream).expect(200);
    server.finish().expect(0);
    same_files(&source, &data);
    "disks and files: cut, tried again in the same process, 200; after SIGKILL too, with every mode"
        .to_owned()
}
