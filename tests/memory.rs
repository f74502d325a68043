//! However large the image is, the memory is bounded.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::tally::Tally;
use crate::common::{digest, noise, qemu, run, workshop};

/// Less than the data of the image below.
const PEAK_LIMIT: u64 = 150 << 20;

/// A sparse disk of 1 GiB with 160 MiB of data that shrinks to half.
fn disk(dir: &Path) -> PathBuf {
    let path = dir.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    for index in 0..40 {
        let mut bytes = noise(4 << 20, index);
        bytes.iter_mut().for_each(|byte| *byte &= 0x0f);
        file.write_all_at(&bytes, (index * 20) << 20).unwrap();
    }
    path
}

/// `from` through `line`, a command that packs a file to its standard output.
fn packed(from: &Path, line: &str, to: &str) -> PathBuf {
    let path = from.with_file_name(to);
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let status = command.args(words).arg(from).stdout(File::create(&path).unwrap()).status();
    assert!(status.unwrap().success());
    path
}

#[test]
fn a_large_image_pours_from_a_pipe_in_bounded_memory() {
    let workshop = workshop();
    let (raw, target) = (disk(workshop.path()), workshop.path().join("target"));
    let expected = digest::disk(&raw);
    let at = |name: &str| workshop.path().join(name);
    let (plain, zlib) = (at("plain.qcow2"), at("zlib.qcow2"));
    qemu::img("convert -f raw -O qcow2", &[&raw, &plain]);
    qemu::img("convert -c -W -f raw -O qcow2", &[&raw, &zlib]);
    let sources = [
        packed(&plain, "gzip -1c", "plain.gz"),
        packed(&plain, "xz -0c -T2 --block-size=8MiB", "blocks.xz"),
        packed(&plain, "xz -0c -T1", "block.xz"),
        packed(&raw, "zstd -1qc", "raw.zst"),
        plain,
        zlib,
    ];
    let mut tally = Tally::of("memory");
    for source in &sources {
        tally.case(source.display().to_string(), || {
            let outcome =
                run::import_piped(source, &target).arg("--force").within(Duration::from_secs(300)).run();
            outcome.expect(0);
            assert_eq!(digest::disk(&target), expected);
            println!("{}: at most {} MiB resident", source.display(), outcome.peak >> 20);
            assert!(outcome.peak < PEAK_LIMIT, "{} bytes of memory", outcome.peak);
        });
    }
    tally.finish();
}
