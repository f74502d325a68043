//! How an import of an archive ends: what is left of it, and what is not.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Tar, Yard};
use crate::common::{child, digest, noise, run};

/// Directories, files and links; some of them are replaced by others.
fn archive() -> Tar {
    Tar::default()
        .dir("a")
        .dir("a/shut")
        .file("a/shut/file", noise(70_000, 3))
        .file("b/implied/file", "x")
        .symlink("a/link", "shut/file")
        .hardlink("a/hard", "a/shut/file")
        .file("twice", "1")
        .dir("twice")
}

fn wrong() -> String {
    format!("--checksum=sha256:{}", digest::bytes(b"something else"))
}

#[test]
fn a_checksum_mismatch_removes_what_was_unpacked_and_nothing_else() {
    let yard = Yard::new();
    yard.unpack(archive().end()).arg(wrong()).run().expect(5).says("checksum");
    yard.is_clean();
    // An empty directory that was there stays.
    fs::create_dir_all(yard.dir.join("lost+found")).unwrap();
    yard.unpack(archive().end()).arg(wrong()).run().expect(5);
    assert_eq!(yard.tree().keys().collect::<Vec<_>>(), ["lost+found"]);
    // So does what lay in it, but for what was replaced.
    for dir in ["a/shut", "b"] {
        fs::create_dir_all(yard.dir.join(dir)).unwrap();
    }
    for file in ["a/shut/other", "b/other", "other", "a/link"] {
        fs::write(yard.dir.join(file), "theirs").unwrap();
    }
    yard.unpack(archive().end()).args([&wrong(), "--force"]).run().expect(5);
    let left = ["a", "a/shut", "a/shut/other", "b", "b/other", "lost+found", "other"];
    assert_eq!(yard.tree().keys().collect::<Vec<_>>(), left);
    yard.is_untouched_beside();
}

#[test]
fn damage_anywhere_removes_everything() {
    let good = archive();
    let evil = good.clone().member(b'3', "device", "", b"").end();
    for (code, bytes) in [(6, evil), (6, good.0[..good.0.len() - 512].to_vec())] {
        let yard = Yard::new();
        yard.unpack(bytes).run().expect(code);
        yard.is_clean();
    }
    let packed = crate::common::qemu::pack;
    let yard = Yard::new();
    let file = yard.at("beside/precious");
    for codec in ["gzip", "xz", "zstd", "bzip2"] {
        let source = yard.workshop.path().join("source.tar");
        fs::write(&source, archive().end()).unwrap();
        let archive = packed(&source, codec);
        let mut bytes = fs::read(&archive).unwrap();
        fs::remove_file(&archive).unwrap();
        fs::remove_file(&source).unwrap();
        // All of the tar is there; the end of the codec is not.
        bytes.truncate(bytes.len() - 1);
        yard.unpack(bytes.clone()).run().expect(5);
        yard.is_clean();
        bytes.extend_from_slice(b"and more bytes");
        yard.unpack(bytes).run().expect(5);
        yard.is_clean();
    }
    assert!(file.exists());
}

#[test]
fn a_signal_removes_everything_within_two_seconds() {
    let mut bytes = archive();
    for index in 0..100 {
        bytes = bytes.file(&format!("many/{index}"), "x");
    }
    let mut bytes = bytes.0;
    // A file of which only the header and half of the content come.
    bytes.extend_from_slice(&Tar::default().file("last", noise(1 << 20, 5)).0[..1 << 19]);
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let yard = Yard::new();
        let running = yard.import("-").fed_and_held(bytes.clone()).start();
        let start = Instant::now();
        while !yard.dir.join("last").exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "nothing was unpacked");
            sleep(Duration::from_millis(10));
        }
        let asked = Instant::now();
        child::signal(&running.child, signal);
        running.finish().expect(code);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        yard.is_clean();
    }
}

#[test]
fn a_full_file_system_is_said_as_such_and_left_as_it_was() {
    let yard = Yard::new();
    fs::create_dir(&yard.dir).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m,nr_inodes=40", "diskpour"]).arg(&yard.dir);
    match mount.output() {
        Ok(made) if made.status.success() => {}
        failed => {
            println!("SKIPPED: a full file system: no tmpfs can be mounted, which needs root: {failed:?}");
            return;
        }
    }
    let large = archive().file("large", noise(2 << 20, 1)).end();
    let mut many = archive();
    for index in 0..50 {
        many = many.file(&format!("many/{index}"), "");
    }
    let runs = [large, many.end()].map(|bytes| yard.unpack(bytes).run());
    let left = yard.tree();
    // Zeros need no space.
    let sparse = yard.unpack(Tar::default().file("zeros", vec![0; 8 << 20]).end()).run();
    assert!(Command::new("umount").arg("--lazy").arg(&yard.dir).status().unwrap().success());
    for outcome in runs {
        outcome.expect(7).says("no space left on device");
    }
    assert!(left.is_empty(), "{left:?}");
    sparse.expect(0);
}

#[test]
fn the_files_together_are_at_most_max_size() {
    let yard = Yard::new();
    let archive = Tar::default().file("a", [1; 3000]).file("b", [0; 2000]).end();
    yard.unpack(archive.clone()).arg("--max-size=4999").run().expect(7).says("larger than --max-size 4999");
    yard.is_clean();
    yard.unpack(archive).arg("--max-size=5000").run().expect(0);
    // A hole of the size of a continent counts too.
    let yard = Yard::new();
    let sparse = [("GNU.sparse.map", "0,1"), ("GNU.sparse.size", "9000000000000000000")];
    let archive = Tar::default().pax(&sparse).file("x", "x").end();
    yard.unpack(archive).arg("--max-size=1T").run().expect(7);
    yard.is_clean();
}

#[test]
fn what_is_no_place_for_an_archive_is_refused_before_anything_is_read() {
    let yard = Yard::new();
    let archive = archive().end();
    fs::write(&yard.dir, "a file").unwrap();
    yard.unpack(archive.clone()).run().expect(2).says("is no directory");
    yard.unpack(archive.clone()).arg("--force").run().expect(2).says("is no directory");
    assert_eq!(fs::read_to_string(&yard.dir).unwrap(), "a file");
    let below = yard.at("no/where");
    run::import("-", below)
        .arg("--content-type=archive")
        .fed(archive.clone())
        .run()
        .expect(2)
        .says("make it first");
    fs::remove_file(&yard.dir).unwrap();
    for option in ["--size=1G", "--verify", "--format=raw", "--preallocation=full"] {
        yard.unpack(archive.clone())
            .arg(option)
            .run()
            .expect(2)
            .says("means nothing for --content-type archive");
        yard.is_clean();
    }
}

#[test]
fn two_imports_do_not_fill_one_directory() {
    let yard = Yard::new();
    fs::create_dir(&yard.dir).unwrap();
    let running = yard.import("-").fed_and_held(archive().0).start();
    let start = Instant::now();
    while !yard.dir.join("a").exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing was unpacked");
        sleep(Duration::from_millis(10));
    }
    yard.unpack(archive().end()).arg("--force").run().expect(1).says("another process");
    child::signal(&running.child, Signal::TERM);
    running.finish().expect(143);
    assert!(yard.tree().is_empty());
}
