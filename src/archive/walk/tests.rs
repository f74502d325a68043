//! Archives as programs write them, and as nobody should.

use super::*;

/// Walks `archive` as the loop does and reads what files hold; the names, or why it ended.
fn walked(archive: &[u8]) -> Result<Vec<String>, String> {
    let mut walk = Walk::new(Sequential::new(std::io::Cursor::new(archive.to_vec()), None));
    let mut names = Vec::new();
    while let Some(member) = walk.next().map_err(|error| error.to_string())? {
        if let MemberKind::File { extents, .. } = member.kind {
            for extent in extents {
                let mut bytes = vec![0; usize::try_from(extent.len.min(1 << 20)).unwrap()];
                walk.read(&mut bytes).map_err(|error| error.to_string())?;
            }
        }
        names.push(String::from_utf8_lossy(&member.name).into_owned());
    }
    walk.drain(|| Ok(())).map_err(|error| error.to_string())?;
    Ok(names)
}

fn sample() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content).unwrap();
    };
    add("short", b"content");
    add(&"long/".repeat(40), b"");
    add("last", &[9; 1000]);
    let records: [(&str, &[u8]); 2] = [("path", b"renamed"), ("mtime", b"1.5")];
    builder.append_pax_extensions(records).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("x").unwrap();
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, std::io::empty()).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn archives_of_the_crate_tar_are_walked() {
    assert_eq!(walked(&sample()).unwrap(), ["short", &"long/".repeat(40), "last", "renamed"]);
}

#[test]
fn an_archive_cut_anywhere_before_its_end_mark_fails() {
    let whole = sample();
    for len in 0..whole.len() - 1024 {
        assert!(walked(&whole[..len]).is_err(), "cut to {len}");
    }
}

#[test]
fn rubbish_in_any_place_ends_the_walk_and_nothing_else() {
    let whole = sample();
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let mut damaged = whole.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(state >> 33).unwrap() % damaged.len();
            damaged[at] = state.to_be_bytes()[6];
            // The sums are made right again, so that the damage gets further.
            let (blocks, _) = damaged.as_chunks_mut::<BLOCK>();
            let header = &mut blocks[at / BLOCK];
            if &header[257..262] == b"ustar" {
                let mut fixed = tar::Header::from_byte_slice(header).clone();
                fixed.set_cksum();
                header.copy_from_slice(fixed.as_bytes());
            }
        }
        // Neither a panic nor an endless loop; a right answer is not asked for.
        let _ = walked(&damaged);
    }
}

/// An archive of one extended header with `records`, and what follows it.
fn pax(records: &str, rest: &[u8]) -> Vec<u8> {
    [&block("pax", b'x', records.len() as u64)[..], &padded(records.as_bytes()), rest].concat()
}

fn block(name: &str, kind: u8, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn padded(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.resize(content.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// `KEY=VALUE` with its length in front, for records of two digits.
fn record(pair: &str) -> String {
    format!("{} {pair}\n", pair.len() + 4)
}

#[test]
fn the_size_of_a_pax_header_wins_so_that_nothing_is_smuggled() {
    let end = [0; 1024];
    let inner = [&block("smuggled", b'0', 1)[..], &padded(b"x"), &end].concat();
    let rest = [&block("outer", b'0', 0)[..], &inner, &block("after", b'0', 0), &end].concat();
    let archive = pax(&record(&format!("size={:04}", inner.len())), &rest);
    assert_eq!(walked(&archive).unwrap(), ["outer", "after"]);
}

#[test]
fn damage_is_told_by_its_place_and_kind() {
    let whole = [&block("a", b'0', 600)[..], &padded(&[1; 600]), &[0; 1024]].concat();
    let mut sum = whole.clone();
    sum[0] ^= 1;
    let twice = pax("8 a=bcd\n", &pax("8 a=bcd\n", &whole));
    let table: [(&[u8], &str); 11] = [
        (&sum, "no tar archive"),
        (&[&whole[..1536], &sum].concat(), "checksum is wrong"),
        (&whole[..512], "within a member's content"),
        (&whole[..900], "within a member's content"),
        (&whole[..300], "no tar archive"),
        (&whole[..1536], "before its end mark"),
        (&block("d/", b'5', 512), "without content has a size"),
        (&block("x", b'L', 65 << 10), "a long name of more bytes"),
        (&block("x", b'x', (1 << 20) + 1), "a PAX header of more bytes"),
        (&twice, "two extended headers"),
        (&pax("8 a=bcd\n", &[0; 1024]), "end mark follows an extended header"),
    ];
    for (archive, words) in table {
        let error = walked(archive).unwrap_err();
        assert!(error.contains(words), "{error}, not {words}");
    }
}

#[test]
fn content_that_nobody_reads_is_passed_over() {
    let big = vec![1; 200_000];
    let archive = [&block("a", b'0', 200_000)[..], &padded(&big), &block("b", b'0', 0), &[0; 1024]].concat();
    let mut walk = Walk::new(Sequential::new(std::io::Cursor::new(archive), None));
    walk.next().unwrap().unwrap();
    assert_eq!((walk.at(), walk.read_some(&mut [0; 10]).unwrap()), (512, 10));
    assert_eq!(walk.next().unwrap().unwrap().name, b"b");
    assert!(walk.next().unwrap().is_none());
}

#[test]
fn names_have_a_longest_length() {
    for (len, fits) in [(4096, true), (4097, false)] {
        let name = format!("{}\0", "n".repeat(len));
        let long = [&block("l", b'L', len as u64 + 1)[..], &padded(name.as_bytes())].concat();
        let archive = [&long[..], &block("short", b'0', 0), &[0; 1024]].concat();
        assert_eq!(walked(&archive).is_ok(), fits, "{len}");
    }
}
