//! One L2 table that every L1 entry names: a small file with millions of mappings takes bounded memory.

use crate::common::run::import;
use crate::common::workshop;

const CLUSTER: usize = 512;
const TABLE_AT: usize = 1024;
const ENTRIES: usize = CLUSTER / 8;
/// L1 entries; each names the same table, so that there are two million mappings.
const TABLES: usize = 32_768;

/// An image whose L1 table lies at `l1` and whose data, all zeros, lies backwards from `data` on.
fn image(l1: usize, data: usize) -> Vec<u8> {
    let mut image = vec![0; (l1 + TABLES * 8).max(data + ENTRIES * CLUSTER)];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x02");
    put(20, &9_u32.to_be_bytes());
    put(24, &((TABLES * ENTRIES * CLUSTER) as u64).to_be_bytes());
    put(36, &u32::try_from(TABLES).unwrap().to_be_bytes());
    put(40, &(l1 as u64).to_be_bytes());
    put(48, &(CLUSTER as u64).to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    for entry in 0..ENTRIES {
        let host = (data + (ENTRIES - 1 - entry) * CLUSTER) as u64;
        put(TABLE_AT + entry * 8, &host.to_be_bytes());
    }
    for index in 0..TABLES {
        put(l1 + index * 8, &(TABLE_AT as u64).to_be_bytes());
    }
    image
}

#[test]
fn mappings_of_bytes_that_came_before_their_table_take_bounded_memory() {
    let workshop = workshop();
    let target = workshop.path().join("late.raw");
    let outcome = import("-", &target).fed(image(2 << 20, 4096)).run();
    outcome.expect(0);
    assert_eq!(outcome.number("virtual_size"), (TABLES * ENTRIES * CLUSTER) as u64);
    assert!(outcome.peak < 100 << 20, "{} bytes", outcome.peak);
}

#[test]
fn mappings_of_bytes_to_come_take_bounded_memory() {
    let workshop = workshop();
    let target = workshop.path().join("early.raw");
    let outcome = import("-", &target).fed(image(4096, 3 << 20)).run();
    assert!([0, 6].contains(&outcome.code), "{}: {}", outcome.code, outcome.stderr);
    assert!(outcome.peak < 200 << 20, "{} bytes", outcome.peak);
}
