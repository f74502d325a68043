//! Clone targets: what another pod sends, from our own source and from what others write.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Row;
use super::bench::{Bench, Server, holds_only};
use super::ending::was_cut;
use super::source::{Source, files, same_files};
use crate::common::device::{Device, OLD};
use crate::common::qemu::tool;
use crate::common::{noise, pod};

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
    format!(
        "files to files (tar, sparse, links, modes){devices}; GNU tar's archives of every format; async and garbage 500"
    )
}

fn files_to_files(bench: &Bench) {
    let (dir, server) = (bench.dir(), bench.serve());
    let source = files(&dir);
    let ended = Source::files(bench, &dir, &source).run();
    assert_eq!(ended.expect(0).message, "Clone Complete");
    let data = server.data.clone();
    let message = server.finish().expect(0).message.clone();
    assert_eq!(message, r#"{"preallocationApplied":true,"message":"Clone Complete"}"#);
    same_files(&source, &data);
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
        let (source, tar) = (files(&dir), dir.join("source.tar"));
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let args = ["-S".to_owned(), format!("--format={format}"), "-cf".to_owned(), path(&tar)];
        let place = ["-C".to_owned(), path(&source), "--exclude=./lost+found".to_owned(), ".".to_owned()];
        tool("tar", args.into_iter().chain(place));
        let server = bench.serve();
        let stream = snapped(&dir, &fs::read(&tar).unwrap());
        server.post_with(&FILES, UPLOAD, &stream).expect(200);
        let data = server.data.clone();
        assert_eq!(server.finish().expect(0).json()["message"], "Clone Complete", "{format}");
        same_files(&source, &data);
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
    // The same for files, and with what a killed container leaves.
    let source = files(&dir);
    let tar = dir.join("source.tar");
    let args =
        ["-S", "-cf", tar.to_str().unwrap(), "-C", source.to_str().unwrap(), "--exclude=./lost+found", "."];
    tool("tar", args);
    let stream = snapped(&dir, &fs::read(&tar).unwrap());
    let room = bench.room(64 << 20);
    let left = room.data.join("disk.img");
    fs::write(&left, "half of it").unwrap();
    pod::own(&left);
    let server = Server::start(bench, room.pod, room.data);
    let slow = [&FILES[..], &["--limit-rate", "100k", "--max-time", "1"]].concat();
    was_cut(&server.post_when_free(&slow, UPLOAD, &stream));
    server.post_when_free(&FILES, UPLOAD, &stream).expect(200);
    let data = server.data.clone();
    server.finish().expect(0);
    same_files(&source, &data);
    "disks and files: cut, tried again in the same process, 200; no leftover in the way".to_owned()
}
