//! QCOW2 tables and clusters: what leads out of the file, into other tables, or to nothing that decodes.

use std::fs;

use super::image::{
    CLUSTER, COMPRESSED, COPIED, DATA, Image, L1, L2, REFCOUNTS, SNAPSHOTS, SNAPSHOTS_AT, VERSION, at,
    compressed, deflate,
};
use super::{Cage, Left};
use crate::common::digest;

type Case<'a> = (&'a str, &'a str, Left, Image);

#[track_caller]
fn refused(class: &'static str, cases: Vec<Case<'_>>) {
    let mut cage = Cage::of(class);
    for (name, words, left, image) in cases {
        cage.refuses(name, &image.0, (6, words), left);
    }
    cage.finish();
}

#[test]
fn a_sound_image_pours_and_what_does_not_matter_is_not_looked_at() {
    let mut cage = Cage::of("qcow2: sound");
    let (file, sound) = (cage.at("image"), Image::sound());
    let data = &sound.0[at(DATA)..];
    let disk = [&data[..4096], &[0; 4096], &data[4096..]].concat();
    let nowhere = sound.clone().u32(SNAPSHOTS, 3).u64(SNAPSHOTS_AT, 1 << 50);
    let garbage = sound.clone().bytes(at(REFCOUNTS), &[0xff; 4096]);
    for (name, image) in [("sound", sound), ("snapshots past the end", nowhere), ("refcounts", garbage)] {
        fs::write(&file, &image.0).unwrap();
        cage.pours(name, &file, &digest::bytes(&disk));
    }
    cage.finish();
}

#[test]
fn l1_tables_that_lead_astray_are_refused() {
    let l1 = |raw| Image::sound().u64(at(L1), raw);
    let moved = |offset| Image::sound().u64(super::image::L1_AT, offset);
    let end = DATA + 2 * CLUSTER;
    refused(
        "qcow2: L1",
        vec![
            ("past the end", "L1 table", Left::Untouched, moved(1 << 40)),
            ("at the end", "L1 table", Left::Untouched, moved(end)),
            ("on the refcounts", "overlaps", Left::Untouched, moved(REFCOUNTS)),
            ("an odd entry", "does not point to a cluster", Left::Untouched, l1((L2 + 512) | COPIED)),
            ("reserved bits", "reserved bits", Left::Untouched, l1(L2 | 1)),
            ("reserved high bits", "reserved bits", Left::Untouched, l1(L2 | 1 << 60)),
            ("a table on the L1 table", "overlaps", Left::Untouched, l1(L1)),
            ("a table on the refcounts", "overlaps", Left::Untouched, l1(REFCOUNTS)),
            ("a table past the end", "L2 table", Left::SeenByLength, l1(1 << 40)),
            ("a table at the end", "L2 table", Left::SeenByLength, l1(end)),
            ("a table across the end", "L2 table", Left::SeenByLength, l1(end - CLUSTER).cut(at(end) - 1)),
            ("the largest offset", "L2 table", Left::SeenByLength, l1(0x00ff_ffff_ffff_f000)),
        ],
    );
}

#[test]
fn l2_tables_that_lead_astray_are_refused() {
    let l2 = |raw| Image::sound().l2(2, raw);
    let end = DATA + 2 * CLUSTER;
    let both = Image::extended(1 | 1 << 32);
    refused(
        "qcow2: L2",
        vec![
            ("data in its own table", "overlaps", Left::Emptied, l2(L2 | COPIED)),
            ("data in the L1 table", "overlaps", Left::Emptied, l2(L1)),
            ("data in the refcounts", "overlaps", Left::Emptied, l2(REFCOUNTS)),
            ("odd data", "does not point to a cluster", Left::Emptied, l2((DATA + 512) | COPIED)),
            ("data past the end", "outside the file", Left::Emptied, l2(1 << 40)),
            ("data at the end", "outside the file", Left::Emptied, l2(end)),
            ("data across the end", "outside the file", Left::Emptied, Image::sound().cut(at(end) - 100)),
            ("the largest offset", "outside the file", Left::Emptied, l2(0x00ff_ffff_ffff_f000)),
            ("reserved bits", "reserved bits", Left::Emptied, l2(DATA | 2)),
            ("reserved high bits", "reserved bits", Left::Emptied, l2(DATA | 1 << 61)),
            ("zeros in version 2", "version 2", Left::Emptied, l2(DATA | 1).u32(VERSION, 2)),
            ("a subcluster both ways", "both zero and allocated", Left::Emptied, both),
            ("subclusters nowhere", "no offset", Left::Emptied, Image::extended(1).u64(3 << 14, 0)),
            (
                "compressed subclusters",
                "subclusters",
                Left::Emptied,
                Image::extended(1).u64(3 << 14, COMPRESSED | 4 << 14),
            ),
        ],
    );
}

#[test]
fn compressed_clusters_that_are_none_are_refused() {
    let text = b"compressed text ".repeat(256);
    let (whole, short, long) =
        (deflate(&text), deflate(&text[..2000]), deflate(&[&text[..], &text].concat()));
    let holds = |stream: &[u8]| Image::sound().bytes(at(DATA), stream).l2(0, compressed(DATA, 1));
    let zstd = |stream: &[u8]| Image::zstd().bytes(at(DATA), stream).l2(0, compressed(DATA, 1));
    let frame = |bytes: &[u8]| ::zstd::bulk::compress(bytes, 1).unwrap();
    let mut wrong_sum = {
        let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        std::io::Write::write_all(&mut encoder, &text).unwrap();
        encoder.finish().unwrap()
    };
    *wrong_sum.last_mut().unwrap() ^= 1;
    let end = DATA + 2 * CLUSTER;
    let last = end - 40;
    let cut = Image::sound().bytes(at(last), &whole[..40]).l2(0, compressed(last, 1));
    let wrapped = [&[0x78, 0x9c][..], &whole].concat();
    let decode = "does not decode to one cluster";
    let cases: Vec<Case<'_>> = vec![
        ("garbage", decode, Left::Emptied, holds(&[0xff; 60])),
        ("nothing but empty blocks", decode, Left::Emptied, holds(&[0; 1024])),
        ("too short", decode, Left::Emptied, holds(&short)),
        ("too long", decode, Left::Emptied, holds(&long)),
        ("in a wrapper", decode, Left::Emptied, holds(&wrapped)),
        ("cut by the end", decode, Left::Emptied, cut),
        ("past the end", "outside the file", Left::Emptied, Image::sound().l2(0, compressed(1 << 40, 0))),
        ("at the end", "outside the file", Left::Emptied, Image::sound().l2(0, compressed(end, 15))),
        (
            "the largest offset",
            "outside the file",
            Left::Emptied,
            Image::sound().l2(0, compressed((1 << 58) - 1, 15)),
        ),
        ("copied", "marked as copied", Left::Emptied, holds(&whole).l2(0, compressed(DATA, 1) | COPIED)),
        ("zstd garbage", decode, Left::Emptied, zstd(b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff")),
        ("zstd too short", decode, Left::Emptied, zstd(&frame(&text[..2000]))),
        ("zstd too long", decode, Left::Emptied, zstd(&frame(&[&text[..], &text].concat()))),
        ("zstd window of 2 GiB", decode, Left::Emptied, zstd(b"\x28\xb5\x2f\xfd\0\xa8\x02\x80\0A")),
        ("zstd window of 3.75 TiB", decode, Left::Emptied, zstd(b"\x28\xb5\x2f\xfd\0\xff\x02\x80\0A")),
        ("zstd checksum", decode, Left::Emptied, zstd(&wrong_sum)),
        ("zstd frames of nothing", decode, Left::Emptied, zstd(&frame(b"").repeat(50))),
    ];
    refused("qcow2: compressed", cases);
}
