//! A little that asks for a lot: the work is bounded by the disk, and the disk by the target.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

use super::image::{COMPRESSED, COPIED, FEATURES, Image, at, deflate};
use super::{CAPACITY, Cage, Left, zeros};
use crate::common::digest;

/// More than pouring a disk of 64 MiB takes, and far less than one of a TiB would.
const QUICK: Duration = Duration::from_secs(8);

/// An image of clusters of `1 << bits`, whose header, refcount table, L1 table, one L2 table and one
/// cluster of data each take `room` clusters; every L1 entry names the L2 table, every entry of it is `entry`.
fn one_table(bits: u32, room: u64, l1_entries: u32, entry: &[u8], content: &[u8]) -> Image {
    let cluster = 1_u64 << bits;
    let table = at(cluster) / entry.len();
    let size = u64::from(l1_entries) * (u64::try_from(table).unwrap() << bits);
    let (l1, l2) = (2 * cluster, (2 + room) * cluster);
    let image = Image(vec![0; at(l2)]).header(bits, size, l1_entries);
    let l1_table = (l2 | COPIED).to_be_bytes().repeat(usize::try_from(l1_entries).unwrap());
    let image = image.bytes(at(l1), &l1_table).bytes(at(l2), &entry.repeat(table));
    let content = [content, &vec![0; at(cluster) - content.len()]].concat();
    image.bytes(at(l2 + cluster), &content)
}

/// The entry of a cluster of data behind the L2 table.
fn data(bits: u32, room: u64) -> [u8; 8] {
    ((3 + room) << bits).to_be_bytes()
}

impl Cage {
    fn holds(&self, image: &Image) -> PathBuf {
        let path = self.at("image");
        fs::write(&path, &image.0).unwrap();
        path
    }

    /// Asserts that no case took long.
    #[track_caller]
    fn was_quick(&self) {
        assert!(self.time < QUICK, "{}: {:?}", self.class, self.time);
    }
}

#[test]
fn many_entries_that_share_one_compressed_cluster_are_bounded_by_the_disk() {
    let mut cage = Cage::of("amplified: one compressed cluster");
    let text = b"Z".repeat(64 << 10);
    let (nothing, something) = (deflate(&[0; 64 << 10]), deflate(&text));
    for (name, stream) in [("zeros", &nothing), ("text", &something)] {
        let entry = (COMPRESSED | 3 << 54 | 4 << 16).to_be_bytes();
        // One table of 8192 entries is a disk of 512 MiB: the first 1024 make it 64.
        let image = one_table(16, 1, 1, &entry, stream).u64(super::image::SIZE, CAPACITY);
        let file = cage.holds(&image);
        let sum = digest::bytes(&if name == "zeros" { vec![0; at(CAPACITY)] } else { text.repeat(1024) });
        cage.pours(name, &file, &sum);
        let large = one_table(16, 1, 4096, &entry, stream);
        cage.refuses(&format!("{name}, 2 TiB of it"), &large.0, (7, "2199023255552"), Left::Untouched);
    }
    cage.was_quick();
    cage.finish();
}

#[test]
fn many_tables_that_are_one_are_bounded_by_the_disk() {
    let mut cage = Cage::of("amplified: one L2 table");
    // 2048 tables of 64 clusters of 512 bytes: 64 MiB.
    let room = 2048 * 8 / 512;
    let content = b"data".repeat(128);
    let sum = digest::bytes(&content.repeat(at(CAPACITY) / 512));
    let file = cage.holds(&one_table(9, room, 2048, &data(9, room), &content));
    cage.pours("data", &file, &sum);
    let sum = zeros(cage.workshop.path(), CAPACITY);
    let file = cage.holds(&one_table(9, room, 2048, &data(9, room), &[0; 512]));
    cage.pours("zeros", &file, &sum);
    // The largest L1 table there may be: a disk of 128 GiB from 32 MiB.
    let room = (32 << 20) / 512;
    let large = one_table(9, room, 4 << 20, &data(9, room), &content);
    cage.refuses("128 GiB", &large.0, (7, "137438953472"), Left::Untouched);
    cage.was_quick();
    cage.finish();
}

#[test]
fn the_largest_l1_table_takes_bounded_memory() {
    let mut cage = Cage::of("amplified: L1 table of 32 MiB");
    let room = (32 << 20) / 512;
    let mut image = one_table(9, room, 4 << 20, &data(9, room), b"");
    let last = (2 << 9) + (32 << 20) - 8;
    image = image.u64(last, 1);
    let file = cage.holds(&image);
    drop(image);
    for (name, run) in [
        ("a file", cage.import_within(1 << 40, &file)),
        ("a pipe", cage.import_within(1 << 40, "-").fed_from(&file)),
    ] {
        cage.refusal(name, run, (6, "reserved bits"), Left::Untouched);
    }
    cage.finish();
}

#[test]
fn the_largest_window_table_and_what_waits_for_it_take_bounded_memory() {
    let mut cage = Cage::of("amplified: window, L1 table and what waits");
    let (entries, waits) = (4_u32 << 20, 200);
    // The table that all entries name comes last: until then nobody knows what the 200 MiB before it are.
    let l2 = 1024 + (32 << 20) + (waits << 20);
    let (file, scratch) = (cage.at("image"), cage.at("scratch"));
    fs::create_dir(&scratch).unwrap();
    let mut packed = zstd::stream::write::Encoder::new(File::create(&file).unwrap(), 1).unwrap();
    packed.window_log(27).unwrap();
    packed.write_all(&Image(vec![0; 1024]).header(9, u64::from(entries) << 15, entries).0).unwrap();
    let entry = (l2 | COPIED).to_be_bytes().repeat(1 << 16);
    (0..64).for_each(|_| packed.write_all(&entry).unwrap());
    (0..waits).for_each(|_| packed.write_all(&[b'w'; 1 << 20]).unwrap());
    packed.write_all(&[0; 512]).unwrap();
    packed.finish().unwrap();
    let run = cage.import_within(1 << 40, "-").fed_from(&file).arg("--scratch-dir").arg(&scratch);
    let outcome = cage.run(run);
    let spilled = outcome.code == 0 && outcome.number("scratch_bytes") > 0;
    cage.note("a pipe", spilled, &outcome);
    cage.finish();
}

#[test]
fn tables_of_nothing_but_pieces_take_bounded_memory() {
    let mut cage = Cage::of("amplified: subclusters");
    // 64 KiB clusters, each of sixteen stretches of 2 KiB that all lie in one cluster of the file: a
    // part of the table that is read at once is 131072 stretches.
    let entry = [(4_u64 << 16).to_be_bytes(), 0x5555_5555_u64.to_be_bytes()].concat();
    let image = one_table(16, 1, 4, &entry, &[]).u64(FEATURES, 16);
    let file = cage.holds(&image);
    let sum = zeros(cage.workshop.path(), 1 << 30);
    for (name, run) in [
        ("a file", cage.import_within(1 << 30, &file)),
        ("a pipe", cage.import_within(1 << 30, "-").fed_from(&file)),
    ] {
        let outcome = cage.run(run);
        let right = outcome.code == 0 && digest::disk(&cage.target()) == sum;
        cage.note(name, right, &outcome);
    }
    assert!(fs::metadata(cage.target()).unwrap().blocks() < 2048, "zeros took space");
    cage.finish();
}

#[test]
fn clusters_far_apart_are_read_without_what_lies_between_again_and_again() {
    let mut cage = Cage::of("amplified: scattered clusters");
    // 512-byte clusters, 64 KiB apart, for each table in another order.
    let (tables, path) = (1024_u64, cage.at("image"));
    let file = File::create(&path).unwrap();
    let size = tables * 64 * 512;
    let head = Image(Vec::new()).header(9, size, 1024);
    file.write_all_at(&head.0, 0).unwrap();
    let l2 = |index: u64| 1024 + 8192 + index * 512;
    let l1: Vec<u8> = (0..tables).flat_map(|index| (l2(index) | COPIED).to_be_bytes()).collect();
    file.write_all_at(&l1, 1024).unwrap();
    for index in 0..tables {
        let entry = |slot: u64| (1 << 20) + ((slot * 37 + index) % 64) * (64 << 10);
        let table: Vec<u8> = (0..64).flat_map(|slot| entry(slot).to_be_bytes()).collect();
        file.write_all_at(&table, l2(index)).unwrap();
    }
    file.set_len(6 << 20).unwrap();
    let sum = zeros(cage.workshop.path(), size);
    cage.pours("scattered", &path, &sum);
    cage.was_quick();
    cage.finish();
}
