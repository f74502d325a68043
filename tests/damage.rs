//! Damaged images: every byte of the first 64 KiB and of every table changed, and the file cut there.
//!
//! Each result must be an error, the disk of the undamaged image, or what `qemu-img` reads.

mod judge;
mod memory;

use std::fs;
use std::path::{Path, PathBuf};

use judge::Judge;

use crate::common::child::own_peak;
use crate::common::{noise, qemu, workshop};

/// More than the loops are documented to take, and far less than a damaged size can ask for.
const MEMORY_LIMIT: u64 = 300 << 20;

fn try_every_damage(name: &str, make: impl FnOnce(&Path) -> PathBuf) {
    memory::keep_memory();
    let workshop = workshop();
    let image = make(workshop.path());
    let mut judge = Judge::of(name, &image, workshop.path());
    let damages = judge.damages();
    for damage in &damages {
        judge.try_damage(*damage);
        if judge.has_enough() {
            break;
        }
    }
    judge.finish(damages.len());
    let peak = own_peak();
    assert!(peak < MEMORY_LIMIT, "{peak} bytes of memory");
}

/// A disk of `len` bytes: noise, text, zeros, a short end.
fn disk(dir: &Path, len: usize) -> PathBuf {
    let mut bytes = noise(len, 31);
    for (at, byte) in bytes.iter_mut().enumerate() {
        match at >> 13 & 3 {
            0 => {}
            1 => *byte &= 7,
            _ => *byte = 0,
        }
    }
    let path = dir.join("disk.raw");
    fs::write(&path, bytes).unwrap();
    path
}

fn converted(dir: &Path, len: usize, options: &str) -> PathBuf {
    let image = dir.join("image.qcow2");
    qemu::img(&format!("convert -f raw -O qcow2 {options}"), &[&disk(dir, len), &image]);
    image
}

#[test]
fn a_damaged_plain_image_never_pours_wrong_bytes() {
    try_every_damage("plain", |dir| converted(dir, (256 << 10) + 512, "-o cluster_size=4k"));
}

#[test]
fn a_damaged_zlib_image_never_pours_wrong_bytes() {
    try_every_damage("zlib", |dir| converted(dir, 96 << 10, "-c -o compat=0.10,cluster_size=4k"));
}

#[test]
fn a_damaged_zstd_image_never_pours_wrong_bytes() {
    try_every_damage("zstd", |dir| converted(dir, 96 << 10, "-c -o cluster_size=4k,compression_type=zstd"));
}

#[test]
fn a_damaged_image_with_subclusters_never_pours_wrong_bytes() {
    try_every_damage("extended", |dir| {
        let image = converted(dir, 96 << 10, "-c -o cluster_size=16k,extended_l2=on");
        qemu::io(&image, ["write -P 7 50k 3k", "write -z 70k 2k", "discard 32k 16k", "write -P 9 90k 1k"]);
        image
    });
}

#[test]
fn a_damaged_image_with_late_tables_never_pours_wrong_bytes() {
    try_every_damage("late", |dir| {
        let image = converted(dir, 64 << 10, "-c -o cluster_size=512");
        qemu::img_last("snapshot -c before", &image, "");
        qemu::io(&image, ["write -P 3 1k 5000", "write -z 20k 1k"]);
        qemu::img_last("resize", &image, "600k");
        qemu::io(&image, ["write -P 4 500k 3000", "discard 2k 1k", "write -P 5 300k 700"]);
        image
    });
}
