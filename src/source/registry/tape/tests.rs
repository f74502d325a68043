//! Tars as programs write them, and as nobody should.

use super::*;
use crate::source::registry::testing::{Tar, header};

/// Every member of `tar` with its data.
fn members(tar: &[u8]) -> Result<Vec<(Member, Vec<u8>)>, Error> {
    let mut tape = Tape::new(tar);
    let mut found = Vec::new();
    while let Some(member) = tape.next_member()? {
        let mut data = Vec::new();
        let mut buf = [0; 700];
        loop {
            match tape.read_data(&mut buf)? {
                0 => break,
                count => data.extend_from_slice(&buf[..count]),
            }
        }
        found.push((member, data));
    }
    tape.drain()?;
    Ok(found)
}

fn names(tar: &[u8]) -> Result<Vec<String>, Error> {
    Ok(members(tar)?
        .into_iter()
        .map(|(member, _)| String::from_utf8_lossy(&member.name).into_owned())
        .collect())
}

fn pax(records: &str) -> Vec<u8> {
    Tar::default().raw(&header("pax", b'x', records.len() as u64), records.as_bytes()).open()
}

/// `KEY=VALUE` with its length in front, for records of two digits.
fn record(pair: &str) -> String {
    format!("{} {pair}\n", pair.len() + 4)
}

#[test]
fn members_come_with_their_data_and_their_places() {
    let tar = Tar::default().file("a", b"first").file("d/b", &[7; 1000]).entry("l", b'2', "a").end();
    let found = members(&tar).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found[1].1, vec![7; 1000]);
    assert_eq!((found[0].0.at, found[1].0.at), (512, 1536));
    assert_eq!(found[2].0.link, b"a");
    assert_eq!(found[2].0.kind, MemberKind::Symlink);
}

#[test]
fn data_that_nobody_reads_are_passed_over() {
    let tar = Tar::default().file("a", &vec![1; 200_000]).file("b", b"x").end();
    let mut tape = Tape::new(&tar[..]);
    tape.next_member().unwrap().unwrap();
    tape.read_data(&mut [0; 10]).unwrap();
    assert_eq!(tape.next_member().unwrap().unwrap().name, b"b");
    assert!(tape.next_member().unwrap().is_none());
    assert!(tape.next_member().unwrap().is_none());
}

#[test]
fn extensions_name_the_member_that_follows_and_no_other() {
    let long = "n".repeat(300);
    let mut tar =
        Tar::default().raw(&header("././@LongLink", b'L', 301), format!("{long}\0").as_bytes()).open();
    tar.extend(Tar::default().file("short", b"x").file("plain", b"y").end());
    assert_eq!(names(&tar).unwrap(), [long.as_str(), "plain"]);
    let mut tar = pax(&record("path=other"));
    tar.extend(Tar::default().file("ustar", b"x").file("plain", b"y").end());
    assert_eq!(names(&tar).unwrap(), ["other", "plain"]);
}

#[test]
fn the_size_of_a_pax_header_wins_so_that_nothing_is_smuggled() {
    let inner = Tar::default().file("smuggled", b"x").end();
    let mut tar = pax(&record(&format!("size={:04}", inner.len())));
    tar.extend(Tar::default().raw(&header("outer", b'0', 0), &inner).file("after", b"").end());
    assert_eq!(names(&tar).unwrap(), ["outer", "after"]);
}

#[test]
fn sparse_members_are_told_by_their_real_name() {
    let mut tar = pax(&["GNU.sparse.major=1", "GNU.sparse.name=disk/d.img", "path=GNUSparseFile.1/img"]
        .map(record)
        .concat());
    tar.extend(Tar::default().file("GNUSparseFile.1/img", b"x").end());
    let found = members(&tar).unwrap();
    assert_eq!((found[0].0.name.as_slice(), found[0].0.kind), (&b"disk/d.img"[..], MemberKind::Sparse));
}

#[test]
fn damage_is_an_error_of_the_image() {
    let whole = Tar::default().file("a", &[1; 600]).end();
    let mut sum = whole.clone();
    sum[0] ^= 1;
    let mut negative = header("a", b'0', 0);
    negative.as_old_mut().size = [0xff; 12];
    negative.set_cksum();
    let mut wrapping = header("a", b'0', 0);
    wrapping.as_old_mut().size = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    wrapping.set_cksum();
    let tall = header("x", b'L', 65 << 10);
    let wide = header("x", b'x', (1 << 20) + 1);
    let raw = |header: &Header| Tar::default().raw(header, b"").end();
    let mut twice = pax("8 a=bcd\n");
    twice.extend(pax("8 a=bcd\n"));
    twice.extend(&whole);
    let mut dangling = pax("8 a=bcd\n");
    dangling.extend([0; 1024]);
    let table: [(&[u8], &str); 14] = [
        (&sum, "checksum"),
        (&whole[..512], "within a member's data"),
        (&whole[..900], "within a member's data"),
        (&whole[..300], "within a header"),
        (&whole[..1536], "no end mark"),
        (b"", "no end mark"),
        (&raw(&negative), "no number"),
        (&raw(&wrapping), "no number"),
        (&raw(&header("d/", b'5', 512)), "without data has a size"),
        (&raw(&tall), "an extension of 66560"),
        (&raw(&wide), "over a limit"),
        (&twice, "two PAX headers"),
        (&dangling, "does not follow"),
        (&pax("x\n"), "malformed"),
    ];
    for (tar, words) in table {
        let error = members(tar).unwrap_err();
        assert_eq!(error.kind(), Kind::Image, "{error}");
        assert!(error.to_string().contains(words), "{error}, not {words}");
    }
}

#[test]
fn names_have_a_longest_length() {
    for (len, fits) in [(4096, true), (4097, false)] {
        let name = "n".repeat(len);
        let mut tar =
            Tar::default().raw(&header("l", b'L', len as u64 + 1), format!("{name}\0").as_bytes()).open();
        tar.extend(Tar::default().file("short", b"x").end());
        assert_eq!(names(&tar).is_ok(), fits, "{len}");
    }
}
