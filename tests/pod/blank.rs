//! 9.C: blank disks in files.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Case::Always;
use super::Row;
use super::bench::{Bench, MI, is_complete, usable};
use super::web::GROWN;

pub(super) const ROWS: &[Row] =
    &[("C1", "a blank file", Always(c1)), ("C2", "a blank file, preallocated", Always(c2))];

fn c1(bench: &Bench) -> String {
    let volumes = bench.volumes();
    fs::write(volumes.disk(), "old").unwrap();
    let ended = volumes.pod("none", "").run();
    is_complete(&ended, false);
    ended.logs("Successfully completed fsync(/data/disk.img) syscall");
    volumes.holds(&[], GROWN);
    assert!(fs::metadata(volumes.disk()).unwrap().blocks() < 16, "not sparse");
    let small = bench.small(16 * MI);
    let grown = usable(small.free());
    is_complete(&small.pod("none", "").run(), false);
    small.holds(&[], grown);
    format!("{GROWN} bytes of 32Mi, {grown} where 16 MiB are free; mode 0660, sparse, zeros")
}

fn c2(bench: &Bench) -> String {
    let volumes = bench.volumes();
    is_complete(&volumes.pod("none", "").env("PREALLOCATION", "true").run(), true);
    volumes.holds(&[], GROWN);
    let found = fs::metadata(volumes.disk()).unwrap();
    assert!(found.blocks() * 512 >= found.len(), "{} blocks", found.blocks());
    // All that is free, in whole MiB: what is left of the last one holds the file system's own blocks.
    let Some(data) = crate::common::pod::ext4(&volumes.dir, "full", 16 * MI) else {
        return format!("{GROWN} bytes allocated; no loop device for a small ext4");
    };
    let small = super::bench::Volumes { dir: volumes.dir.clone(), data };
    let pod = small.pod("none", "").env("PREALLOCATION", "true").env("FILESYSTEM_OVERHEAD", "0");
    let free = small.free() / MI * MI;
    is_complete(&pod.env("IMPORTER_IMAGE_SIZE", "1Gi").run(), true);
    small.holds(&[], free);
    format!("{GROWN} bytes allocated; {free} in all of a small ext4")
}
