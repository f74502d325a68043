//! Archives of GNU tar, of every format and compression, compared file by file.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Yard, tree};
use crate::common::server::{Ranges, Server};
use crate::common::{digest, noise, qemu};

/// Directories, files, links, odd modes, long names, and a sparse file of many pieces.
fn sample(base: &Path) -> PathBuf {
    let dir = base.join("sample");
    fs::create_dir_all(dir.join("a/b/c")).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    fs::write(dir.join("a/noise"), noise(300_001, 7)).unwrap();
    fs::write(dir.join("a/b/nothing"), "").unwrap();
    fs::write(dir.join("a/b/c/zeros"), [0; 70_000]).unwrap();
    fs::write(dir.join("\u{fc}\n"), "odd name").unwrap();
    fs::hard_link(dir.join("a/noise"), dir.join("a/b/again")).unwrap();
    symlink("../noise", dir.join("a/b/up")).unwrap();
    symlink("nowhere/yet", dir.join("a/dangling")).unwrap();
    let sparse = File::create(dir.join("sparse")).unwrap();
    sparse.set_len(30 << 20).unwrap();
    for piece in 1..29 {
        sparse.write_all_at(&noise(5000, piece), piece << 20).unwrap();
    }
    for (name, mode) in [("a/noise", 0o640), ("sparse", 0o604), ("a/b/c", 0o555), ("a/b", 0o710)] {
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    dir
}

/// `dir` packed by GNU tar with `options`.
fn packed(dir: &Path, options: &str) -> PathBuf {
    let archive = dir.with_file_name(format!("{}.tar", options.replace([' ', '/'], "")));
    let mut tar = Command::new("tar");
    tar.args(options.split_whitespace()).arg("-cf").arg(&archive).arg("-C").arg(dir).arg(".");
    let made = tar.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    archive
}

/// Asserts that the directory of `yard` is what was packed; `whole` seconds are all that formats keep.
#[track_caller]
fn assert_same(yard: &Yard, sample: &Path) {
    let (mut expected, mut unpacked) = (tree(sample), yard.tree());
    for item in expected.values_mut().chain(unpacked.values_mut()) {
        item.mtime.1 = 0;
    }
    assert_eq!(unpacked, expected);
}

#[test]
fn every_format_and_every_kind_of_sparse_file_is_unpacked_as_gnu_tar_packed_it() {
    let yard = Yard::new();
    let sample = sample(yard.workshop.path());
    for options in [
        "--format=v7",
        "--format=oldgnu",
        "--format=gnu",
        "--format=ustar",
        "--format=posix",
        "--format=oldgnu --sparse",
        "--format=gnu --sparse",
        "--format=posix --sparse --sparse-version=0.0",
        "--format=posix --sparse --sparse-version=0.1",
        "--format=posix --sparse --sparse-version=1.0",
        "--format=posix --xattrs --acls --label=tape",
        "--format=gnu --label=tape --blocking-factor=1",
    ] {
        let archive = packed(&sample, options);
        let outcome = yard.import(&archive).run();
        outcome.expect(0);
        assert_same(&yard, &sample);
        let facts = fs::metadata(yard.dir.join("sparse")).unwrap();
        // Each piece takes two or three blocks of 4096 bytes.
        assert!(facts.blocks() * 512 < 1 << 20, "{options}: {} blocks of a sparse file", facts.blocks());
        assert_eq!(fs::metadata(yard.dir.join("a/b/c/zeros")).unwrap().blocks(), 0, "{options}");
        let written = outcome.number("written_bytes") + outcome.number("zeroed_bytes");
        assert_eq!(written, outcome.number("virtual_size"), "{options}");
        assert_eq!(outcome.result()["route"], "archive");
        fs::remove_dir_all(&yard.dir).unwrap();
    }
}

#[test]
fn times_are_kept_to_the_nanosecond_where_the_format_does() {
    let yard = Yard::new();
    let sample = sample(yard.workshop.path());
    yard.import(packed(&sample, "--format=posix")).run().expect(0);
    let (mut expected, mut unpacked) = (tree(&sample), yard.tree());
    assert!(expected.values().any(|item| item.mtime.1 != 0));
    // GNU tar keeps no nanoseconds of the times that it writes into plain headers.
    for tree in [&mut expected, &mut unpacked] {
        tree.retain(|_, item| item.links == 1);
    }
    assert_eq!(unpacked, expected);
}

#[test]
fn names_longer_than_a_header_are_kept_in_every_way_that_gnu_tar_writes_them() {
    let yard = Yard::new();
    let sample = yard.at("sample");
    let deep = sample.join(["d".repeat(90), "e".repeat(90), "f".repeat(60)].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("g".repeat(200)), "deep").unwrap();
    symlink("g".repeat(200), deep.join("link")).unwrap();
    for options in ["--format=gnu", "--format=posix"] {
        yard.import(packed(&sample, options)).run().expect(0);
        assert_same(&yard, &sample);
        fs::remove_dir_all(&yard.dir).unwrap();
    }
}

#[test]
fn every_compression_comes_off_from_a_file_a_pipe_and_a_server() {
    let yard = Yard::new();
    let sample = sample(yard.workshop.path());
    let plain = packed(&sample, "--format=gnu");
    let server = Server::start(yard.workshop.path(), Ranges::Served);
    for codec in ["none", "gzip", "xz", "zstd", "bzip2"] {
        let archive = if codec == "none" { plain.clone() } else { qemu::pack(&plain, codec) };
        let bytes = fs::read(&archive).unwrap();
        let url = server.url(archive.file_name().unwrap().to_str().unwrap());
        let sum = format!("--checksum=sha256:{}", digest::bytes(&bytes));
        for run in [yard.import(&archive), yard.import(&url), yard.unpack(bytes)] {
            let outcome = run.arg(&sum).run();
            outcome.expect(0);
            assert_same(&yard, &sample);
            let codecs: &[&str] = if codec == "none" { &[] } else { &[codec] };
            assert_eq!(outcome.result()["codecs"], serde_json::json!(codecs));
            // The directory itself is an entry too.
            assert_eq!(outcome.number("entries"), tree(&sample).len() as u64 + 1);
            fs::remove_dir_all(&yard.dir).unwrap();
        }
    }
}
