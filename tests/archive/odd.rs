//! Archives that are odd and right.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::{Tar, Yard, record};
use crate::common::digest;

#[track_caller]
fn unpacked(yard: &Yard, archive: Vec<u8>) -> serde_json::Value {
    let outcome = yard.unpack(archive).run();
    outcome.expect(0);
    yard.is_untouched_beside();
    outcome.result()
}

fn read(yard: &Yard, name: &str) -> String {
    fs::read_to_string(yard.dir.join(name)).unwrap()
}

#[test]
fn modes_are_kept_but_for_the_bits_above_0777_and_owners_are_not() {
    let yard = Yard::new();
    // The members' modes are 6755, their owner 4000000.
    unpacked(&yard, Tar::default().dir("d").file("d/f", "x").end());
    for (name, item) in yard.tree() {
        assert_eq!((item.mode, item.mtime), (0o755, (1_600_000_000, 0)), "{name}");
    }
    let owner = fs::metadata(yard.at("beside")).unwrap().uid();
    assert_eq!(fs::metadata(yard.dir.join("d/f")).unwrap().uid(), owner);
}

#[test]
fn a_later_member_takes_the_place_of_an_earlier_one() {
    let yard = Yard::new();
    let archive = Tar::default()
        .file("twice", "a longer first content")
        .file("twice", "last")
        .symlink("link", "twice")
        .file("link", "no link any more")
        .file("dir", "no directory yet")
        .dir("dir")
        .file("dir/inside", "inside")
        .symlink("round", "dir")
        .dir("round")
        .file("one", "one")
        .hardlink("two", "one")
        .file("two", "two")
        .hardlink("one", "one")
        .dir("dir");
    unpacked(&yard, archive.end());
    assert_eq!((read(&yard, "twice").as_str(), read(&yard, "link").as_str()), ("last", "no link any more"));
    assert_eq!((read(&yard, "one").as_str(), read(&yard, "two").as_str()), ("one", "two"));
    assert_eq!(read(&yard, "dir/inside"), "inside");
    assert!(fs::symlink_metadata(yard.dir.join("round")).unwrap().is_dir());
}

#[test]
fn directories_that_nobody_may_write_to_are_filled_first() {
    let yard = Yard::new();
    let mut header = tar::Header::new_gnu();
    header.set_path("shut/").unwrap();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o500);
    header.set_mtime(1_500_000_000);
    unpacked(&yard, Tar::default().block(header).file("shut/in", "in").dir("shut/deep").end());
    let shut = &yard.tree()["shut"];
    assert_eq!((shut.mode, shut.mtime.0), (0o500, 1_500_000_000));
    assert_eq!(read(&yard, "shut/in"), "in");
}

#[test]
fn the_size_in_a_pax_header_wins_and_nothing_is_smuggled_in() {
    let yard = Yard::new();
    let inner = Tar::default().file("smuggled", "evil").0;
    let size = inner.len().to_string();
    let archive = Tar::default().pax(&[("size", &size)]).header(b'0', "carrier", "", b"00000000000\0");
    unpacked(&yard, archive.content(&inner).file("after", "after").end());
    assert_eq!(yard.tree().keys().collect::<Vec<_>>(), ["after", "carrier"]);
    assert_eq!(fs::read(yard.dir.join("carrier")).unwrap(), inner);
}

#[test]
fn what_tar_files_hold_besides_members_is_passed_over() {
    let yard = Yard::new();
    let comment = record("comment", "0123456789012345678901234567890123456789");
    let archive = Tar::default()
        .member(b'g', "pax_global_header", "", comment.as_bytes())
        .member(b'V', "label", "", b"")
        .pax(&[("SCHILY.xattr.user.x", "1"), ("uid", "77"), ("path", "named/f"), ("mtime", "-1.5")])
        .file("short", "x")
        .member(b'7', "contiguous", "", b"x")
        .member(0, "old", "", b"x")
        .member(0, "olddir/", "", b"");
    assert_eq!(unpacked(&yard, archive.end())["entries"], 4);
    let tree = yard.tree();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["contiguous", "named", "named/f", "old", "olddir"]);
    assert_eq!(tree["named/f"].mtime, (-2, 500_000_000));
    assert_eq!(tree["olddir"].content, "directory");
}

#[test]
fn the_end_may_be_one_block_and_what_follows_two_is_warned_of() {
    let one = Tar::default().file("a", "a");
    let (yard, warned) = (Yard::new(), Yard::new());
    let half = [&one.0[..], &[0; 512]].concat();
    assert_eq!(unpacked(&yard, half)["warnings"], serde_json::json!([]));
    let two = [one.clone().end(), vec![0; 8192]].concat();
    fs::remove_dir_all(&yard.dir).unwrap();
    assert_eq!(unpacked(&yard, two)["warnings"], serde_json::json!([]));
    let joined = [one.end(), Tar::default().file("b", "b").end()].concat();
    let result = unpacked(&warned, joined);
    assert!(result["warnings"][0].as_str().unwrap().contains("another archive"), "{result}");
    assert_eq!(warned.tree().keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn an_empty_archive_makes_an_empty_directory() {
    let yard = Yard::new();
    assert_eq!(unpacked(&yard, Tar::default().end())["entries"], 0);
    assert!(yard.tree().is_empty() && yard.dir.is_dir());
}

#[test]
fn a_name_that_looks_like_a_codec_is_a_name() {
    for name in ["BZh91AY&SY", "PK\u{3}\u{4}", "version=1"] {
        let yard = Yard::new();
        unpacked(&yard, Tar::default().file(name, "x").end());
        assert_eq!(read(&yard, name), "x");
    }
}

#[test]
fn a_directory_that_is_made_gets_the_mode_of_the_archive_and_one_that_is_there_keeps_its_own() {
    let yard = Yard::new();
    unpacked(&yard, Tar::default().dir("./").file("./f", "x").end());
    assert_eq!(fs::metadata(&yard.dir).unwrap().mtime(), 1_600_000_000);
    let yard = Yard::new();
    fs::create_dir_all(yard.dir.join("lost+found")).unwrap();
    fs::set_permissions(&yard.dir, fs::Permissions::from_mode(0o711)).unwrap();
    let lost = yard.tree();
    unpacked(&yard, Tar::default().dir("./").dir("lost+found").end());
    assert_eq!(fs::metadata(&yard.dir).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(yard.tree(), lost);
}

#[test]
fn force_replaces_what_is_in_the_way_and_leaves_the_rest() {
    let yard = Yard::new();
    fs::create_dir_all(yard.dir.join("d")).unwrap();
    fs::write(yard.dir.join("d/old"), "old").unwrap();
    fs::write(yard.dir.join("d/kept"), "kept").unwrap();
    std::os::unix::fs::symlink("../beside", yard.dir.join("out")).unwrap();
    let archive = Tar::default().dir("d").file("d/old", "new").end();
    yard.unpack(archive.clone()).run().expect(2).says("use --force");
    assert_eq!(read(&yard, "d/old"), "old");
    let outcome = yard.unpack(archive).arg("--force").run();
    outcome.expect(0);
    assert_eq!((read(&yard, "d/old").as_str(), read(&yard, "d/kept").as_str()), ("new", "kept"));
    // A link that was there is not walked through either.
    yard.unpack(Tar::default().file("out/evil", "evil").end()).arg("--force").run().expect(6);
    yard.unpack(Tar::default().file("out", "a file").end()).arg("--force").run().expect(0);
    assert_eq!(read(&yard, "out"), "a file");
    yard.is_untouched_beside();
    assert_eq!(yard.tree()["out"].content, digest::bytes(b"a file"));
}
