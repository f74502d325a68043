//! 9.B: archives.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tar::{Builder, EntryType, Header};

use super::Case::Always;
use super::Row;
use super::bench::{Bench, MI, is_capacity, is_complete};
use super::refusals::given;
use crate::common::device::Device;
use crate::common::{noise, pod};

pub(super) const ROWS: &[Row] = &[
    ("B1", "tar, gz, xz and zst", Always(b1)),
    ("B2", "no tar at all", Always(b2)),
    ("B3", "tars that want out", Always(b3)),
    ("B4", "an archive that is larger than the volume", Always(b4)),
    ("B5", "archives from where none can come", Always(b5)),
];

fn entry(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, mode: u32, content: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_000_000_000);
    if kind == EntryType::Symlink {
        header.set_link_name(std::str::from_utf8(content).unwrap()).unwrap();
        header.set_size(0);
        tar.append_data(&mut header, name, &[][..]).unwrap();
    } else {
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).unwrap();
    }
}

/// An archive of three files, a link and directories.
pub(super) fn archive() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    entry(&mut tar, EntryType::Directory, "dir", 0o750, &[]);
    entry(&mut tar, EntryType::Regular, "dir/script", 0o755, b"#!/bin/sh\n");
    entry(&mut tar, EntryType::Regular, "plain", 0o640, b"plain\n");
    entry(&mut tar, EntryType::Regular, "large", 0o600, &noise(1 << 20, 11));
    entry(&mut tar, EntryType::Symlink, "link", 0o777, b"dir/script");
    tar.into_inner().unwrap()
}

fn packed(tar: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(tar).unwrap();
    [
        ("tar", tar.to_vec()),
        ("tar.gz", gzip.finish().unwrap()),
        ("tar.xz", liblzma::encode_all(tar, 1).unwrap()),
        ("tar.zst", zstd::encode_all(tar, 1).unwrap()),
    ]
}

fn b1(bench: &Bench) -> String {
    for (ending, bytes) in packed(&archive()) {
        let volumes = bench.volumes();
        let url = bench.serve(&format!("archive.{ending}"), &bytes);
        let pod = volumes.http(&url).env("IMPORTER_CONTENTTYPE", "archive").env("PREALLOCATION", "true");
        let ended = pod.run();
        // Whatever is asked for, an archive claims no space.
        is_complete(&ended, false);
        ended.logs("Successfully completed fsync(/data) syscall");
        assert_eq!(volumes.names(), ["dir", "large", "link", "plain"]);
        for (name, mode) in [("dir", 0o750), ("dir/script", 0o755), ("plain", 0o640), ("large", 0o600)] {
            let found = fs::metadata(volumes.data.join(name)).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, mode, "{name}");
            assert_eq!((found.uid(), found.mtime()), (pod::USER, 1_000_000_000), "{name}");
        }
        assert_eq!(fs::read_link(volumes.data.join("link")).unwrap().to_str(), Some("dir/script"));
        assert!(fs::read(volumes.data.join("large")).unwrap() == noise(1 << 20, 11));
    }
    let Some(tar) = given("archive.tar") else { return "exit 0, files, modes, times and links".to_owned() };
    let volumes = bench.volumes();
    let pod = volumes.http(&bench.serve("given.tar", &tar)).env("IMPORTER_CONTENTTYPE", "archive");
    is_complete(&pod.run(), false);
    let mut files = 0;
    let mut open = vec![volumes.data.clone()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() { open.push(entry.path()) } else { files += 1 }
        }
    }
    assert_eq!(files, 3, "{:?}", volumes.names());
    format!("exit 0, files, modes, times and links, never preallocated; the given archive has {files} files")
}

fn b2(bench: &Bench) -> String {
    let mut last = String::new();
    for name in ["disk.img", "disk.qcow2", "disk.img.gz"] {
        let volumes = bench.volumes();
        let ended = volumes.http(&bench.url(name)).env("IMPORTER_CONTENTTYPE", "archive").run();
        ended.expect(1).tells("Unable to process data: Unable to transfer source data to target directory: ");
        volumes.is_empty();
        last = ended.message;
    }
    last
}

/// An archive with one member, whose name no library would write.
fn hostile(kind: EntryType, name: &[u8], link: &[u8]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    entry(&mut tar, EntryType::Regular, "good", 0o644, b"good");
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(0);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    if kind.is_block_special() {
        header.set_device_major(7).unwrap();
        header.set_device_minor(0).unwrap();
    }
    header.set_cksum();
    tar.append(&header, &[][..]).unwrap();
    tar.into_inner().unwrap()
}

fn b3(bench: &Bench) -> String {
    let tars = [
        hostile(EntryType::Regular, b"/scratch/absolute", b""),
        hostile(EntryType::Regular, b"../scratch/upwards", b""),
        hostile(EntryType::Symlink, b"out", b"../scratch"),
        hostile(EntryType::Link, b"hard", b"../etc/passwd"),
        hostile(EntryType::Block, b"device", b""),
        hostile(EntryType::Fifo, b"pipe", b""),
    ];
    let mut seen = Vec::new();
    for (number, tar) in tars.iter().enumerate() {
        let volumes = bench.volumes();
        let scratch = pod::directory(&volumes.dir, "scratch");
        let url = bench.serve(&format!("hostile-{number}.tar"), tar);
        let pod = volumes.http(&url).env("IMPORTER_CONTENTTYPE", "archive").volume("/scratch", &scratch);
        let ended = pod.run();
        ended.expect(1).tells("Unable to process data: ");
        volumes.is_empty();
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
        seen.push(ended.message);
    }
    format!("{} kinds refused, nothing left anywhere; {}", seen.len(), seen[1])
}

fn b4(bench: &Bench) -> String {
    let mut tar = Builder::new(Vec::new());
    for name in ["a", "b", "c"] {
        entry(&mut tar, EntryType::Regular, name, 0o644, &noise(3 << 20, 12));
    }
    let tar = tar.into_inner().unwrap();
    let volumes = bench.small(8 * MI);
    let pod = volumes.http(&bench.serve("full.tar", &tar)).env("IMPORTER_CONTENTTYPE", "archive");
    let ended = pod.run();
    is_capacity(&ended);
    volumes.is_empty();
    ended.message
}

fn b5(bench: &Bench) -> String {
    let mut seen = Vec::new();
    for (source, endpoint) in
        [("none", ""), ("registry", "docker://localhost:1/x"), ("imageio", "https://x"), ("s3", "s3://a/b")]
    {
        let volumes = bench.volumes();
        let ended = volumes.pod(source, endpoint).env("IMPORTER_CONTENTTYPE", "archive").run();
        ended.expect(1);
        assert!(!ended.message.is_empty());
        volumes.is_empty();
        seen.push(ended.message);
    }
    assert_eq!(seen[0], "Cannot create empty disk with content type archive");
    let volumes = bench.volumes();
    if let Some(device) = Device::new(&volumes.dir, 4 << 20, 512) {
        let pod = volumes.device("http", &bench.serve("device-archive.tar", &archive()), &device.path);
        let ended = pod.env("IMPORTER_CONTENTTYPE", "archive").run();
        ended.expect(1).tells("block device");
        assert!(device.is_untouched());
    }
    seen.join("; ")
}
