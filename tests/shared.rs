//! A target beside its source on a file system with shared blocks (XFS) takes them over: nothing is
//! copied. Where there is no root or no such file system the test says so.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::common::apart::{apart, command};
use crate::common::{noise, qemu, run, workshop};

const MIB: usize = 1 << 20;
const DATA: usize = 48 * MIB;

/// Bytes that are free where `dir` lies.
fn free(dir: &Path) -> u64 {
    File::open(dir).and_then(|file| file.sync_all()).unwrap();
    let found = rustix::fs::statvfs(dir).unwrap();
    found.f_bfree * found.f_frsize
}

/// Makes an XFS in `dir` and mounts it there; whether that could be done.
fn xfs(dir: &Path) -> bool {
    let image = dir.with_extension("xfs");
    fs::create_dir(dir).unwrap();
    File::create(&image).unwrap().set_len(1 << 30).unwrap();
    let (image, dir) = (image.to_str().unwrap(), dir.to_str().unwrap());
    let made = command("mkfs.xfs", &["-q", "-m", "reflink=1", image])
        .and_then(|()| command("mount", &["-o", "loop", image, dir]));
    if let Err(why) = &made {
        println!("skipped, no XFS: {why}");
    }
    made.is_ok()
}

/// Data, a hole, data again and an end within a block.
fn disk(path: &Path) -> Vec<u8> {
    let mut bytes = noise(DATA, 3);
    bytes.resize(DATA + 64 * MIB, 0);
    bytes.extend(noise(MIB + 512, 4));
    let file = File::create(path).unwrap();
    file.write_all_at(&bytes[..DATA], 0).unwrap();
    file.write_all_at(&bytes[DATA + 64 * MIB..], (DATA + 64 * MIB) as u64).unwrap();
    bytes
}

#[test]
fn blocks_of_a_source_on_the_same_file_system_are_shared_and_not_copied() {
    apart(|| {
        let workshop = workshop();
        let dir = workshop.path().join("mount");
        if !xfs(&dir) {
            return;
        }
        let raw = dir.join("disk.raw");
        let bytes = disk(&raw);
        let image = dir.join("disk.qcow2");
        qemu::img("convert -f raw -O qcow2", &[&raw, &image]);
        // Of the first MiB, which comes last, and the tables of the file system something is used.
        let (little, all) = (8 << 20, DATA as u64);
        for source in [&raw, &image] {
            for (option, used) in [
                ("--workers=2", 0..little),
                ("--preallocation=falloc", all..u64::MAX),
                ("--verify", all..u64::MAX),
            ] {
                // A name of its own: this file system gives space back late.
                let target = dir.join(format!("{}{option}", source.display()));
                let before = free(&dir);
                let outcome = run::import(source, &target).arg(option).run();
                outcome.expect(0);
                assert!(outcome.number("written_bytes") >= all, "{}", outcome.stdout);
                assert!(fs::read(&target).unwrap() == bytes, "{} {option}", source.display());
                let took = before.saturating_sub(free(&dir));
                assert!(used.contains(&took), "{} {option}: {took} bytes", source.display());
            }
        }
        command("umount", &[dir.to_str().unwrap()]).unwrap();
    });
}
