//! Archives that want out, or lie: each is refused by name, and leaves nothing.

use super::{Tar, Yard, record};

/// Asserts that each archive is refused with `code` and these words and that nothing is left.
#[track_caller]
fn assert_refused(cases: Vec<(&str, Vec<u8>)>) {
    for (words, archive) in cases {
        let yard = Yard::new();
        yard.unpack(archive).run().expect(6).says(words);
        yard.is_clean();
    }
}

/// An archive with a good file before what `make` adds.
fn after_a_file(make: impl FnOnce(Tar) -> Tar) -> Vec<u8> {
    make(Tar::default().file("good", "good")).end()
}

#[test]
fn names_that_lead_out_are_refused_however_they_are_written() {
    let long = |name: &str| {
        after_a_file(|tar| {
            tar.member(b'L', "././@LongLink", "", &[name.as_bytes(), b"\0"].concat()).file("x", "evil")
        })
    };
    let pax = |key: &str, name: &str| after_a_file(|tar| tar.pax(&[(key, name)]).file("x", "evil"));
    let mut prefixed = tar::Header::new_ustar();
    prefixed.as_ustar_mut().unwrap().name[..4].copy_from_slice(b"evil");
    prefixed.as_ustar_mut().unwrap().prefix[..9].copy_from_slice(b"../beside");
    prefixed.set_size(0);
    let sparse = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "../evil"),
        ("GNU.sparse.realsize", "0"),
    ];
    assert_refused(vec![
        ("`..`", after_a_file(|tar| tar.file("../evil", "evil"))),
        ("`..`", after_a_file(|tar| tar.file("a/../../evil", "evil"))),
        ("`..`", after_a_file(|tar| tar.dir(".."))),
        ("`..`", after_a_file(|tar| tar.dir("a/../"))),
        ("`..`", after_a_file(|tar| tar.symlink("../evil", "x"))),
        ("`..`", after_a_file(|tar| tar.hardlink("../evil", "good"))),
        ("absolute", after_a_file(|tar| tar.file("/tmp/diskpour-evil", "evil"))),
        ("absolute", after_a_file(|tar| tar.file("//tmp/diskpour-evil", "evil"))),
        ("`..`", long("../evil")),
        ("absolute", long("/tmp/diskpour-evil")),
        ("`..`", pax("path", "../evil")),
        ("absolute", pax("path", "/tmp/diskpour-evil")),
        ("zero byte", pax("path", "a\0../evil")),
        ("`..`", after_a_file(|tar| tar.block(prefixed))),
        ("`..`", after_a_file(|tar| tar.pax(&sparse).file("x", format!("{:\0<512}", "0\n")))),
        ("name of the directory itself", after_a_file(|tar| tar.file(".", "evil"))),
    ]);
}

#[test]
fn links_that_lead_out_are_refused_and_none_is_walked_through() {
    let inside = |tar: Tar| tar.dir("d").symlink("d/link", "../good");
    assert_refused(vec![
        ("leaves the directory", after_a_file(|tar| tar.symlink("out", "..").file("out/evil", "evil"))),
        ("leaves the directory", after_a_file(|tar| tar.symlink("out", "../beside"))),
        ("leaves the directory", after_a_file(|tar| tar.symlink("d/e/out", "../../../beside"))),
        ("absolute link", after_a_file(|tar| tar.symlink("out", "/etc/passwd"))),
        ("behind a name", after_a_file(|tar| tar.symlink("d/up", "..").symlink("out", "d/up/.."))),
        ("leads nowhere", after_a_file(|tar| tar.symlink("out", ""))),
        ("is no directory", after_a_file(|tar| tar.dir("d").symlink("l", "d").file("l/evil", "evil"))),
        ("is no directory", after_a_file(|tar| tar.dir("d").symlink("l", "d").dir("l/evil"))),
        (
            "is no directory",
            after_a_file(|tar| tar.dir("d").symlink("l", "d").symlink("m", "l").file("m/x", "")),
        ),
        ("is no directory", after_a_file(|tar| tar.file("good/evil", "evil"))),
        ("leads upwards", after_a_file(|tar| tar.hardlink("h", "../beside/precious"))),
        ("is absolute", after_a_file(|tar| tar.hardlink("h", "/etc/passwd"))),
        ("no such file", after_a_file(|tar| tar.hardlink("h", "nothing"))),
        ("no such file", after_a_file(|tar| tar.dir("d").symlink("l", "d").hardlink("h", "l/x"))),
        ("no regular file", after_a_file(|tar| inside(tar).hardlink("moved", "d/link"))),
        ("no regular file", after_a_file(|tar| tar.dir("d").hardlink("h", "d"))),
        (
            "leads upwards",
            after_a_file(|tar| tar.pax(&[("linkpath", "../beside/precious")]).hardlink("h", "good")),
        ),
        (
            "leaves the directory",
            after_a_file(|tar| tar.member(b'K', "L", "", b"../beside\0").symlink("out", "good")),
        ),
    ]);
}

#[test]
fn what_is_neither_file_nor_directory_nor_link_is_refused() {
    let of = |kind| after_a_file(|tar| tar.member(kind, "special", "", b""));
    assert_refused(vec![
        ("special: it is a character device", of(b'3')),
        ("special: it is a block device", of(b'4')),
        ("special: it is a pipe", of(b'6')),
        ("special: it is a socket", of(b's')),
        ("special: it is the rest of a file", of(b'M')),
        ("special: it is a directory of an incremental", of(b'D')),
        ("special: it is of a type", of(b'X')),
        ("a directory of that name is in the way", after_a_file(|tar| tar.dir("d").file("d", "x"))),
        (
            "a directory of that name is in the way",
            after_a_file(|tar| tar.file("d/x", "x").symlink("d", "x")),
        ),
    ]);
}

#[test]
fn sizes_that_lie_are_refused_without_memory_or_work() {
    let sized = |kind, field: &[u8]| after_a_file(|tar| tar.header(kind, "x", "", field));
    let pax = |size: &str| after_a_file(|tar| tar.pax(&[("size", size)]).file("x", "evil"));
    assert_refused(vec![
        ("size is negative", sized(b'0', &[0xff; 12])),
        ("larger than any file", sized(b'0', b"\x80\0\0\0\x80\0\0\0\0\0\0\0")),
        ("size is no number", sized(b'0', b"0000000009x\0")),
        ("larger than any file", pax("18446744073709551615")),
        ("larger than any file", pax("9223372036854775808")),
        ("no number", pax("-1")),
        ("truncated", sized(b'0', b"77777777777\0")),
        ("truncated", pax("9223372036854775807")),
        ("over a limit", sized(b'L', b"10000000000\0")),
        ("over a limit", sized(b'K', b"10000000000\0")),
        ("over a limit", sized(b'x', b"10000000000\0")),
        ("over a limit", sized(b'g', b"10000000000\0")),
        ("member without content has a size", after_a_file(|tar| tar.member(b'5', "d", "", &[0; 512]))),
        ("member without content has a size", after_a_file(|tar| tar.member(b'2', "l", "good", &[0; 512]))),
        ("member without content has a size", after_a_file(|tar| tar.member(b'0', "d/", "", &[0; 512]))),
        (
            "member without content has a size",
            after_a_file(|tar| tar.pax(&[("size", "9")]).hardlink("h", "good")),
        ),
    ]);
}

#[test]
fn extended_headers_that_make_no_sense_are_refused() {
    let raw = |text: &str| after_a_file(|tar| tar.member(b'x', "x", "", text.as_bytes()).file("a", "b"));
    let global =
        |key: &str| after_a_file(|tar| tar.member(b'g', "g", "", record(key, "1").as_bytes()).file("a", "b"));
    let long = |tar: Tar| tar.member(b'L', "L", "", b"name\0");
    assert_refused(vec![
        ("malformed", raw("99 path=foo\n")),
        ("malformed", raw("12 path=foox")),
        ("malformed", raw("rubbish")),
        ("malformed", raw("12 path=foo\n\0\0\0")),
        ("no time", raw(&record("mtime", "noon"))),
        ("one name or one size", global("path")),
        ("one name or one size", global("size")),
        ("one name or one size", global("linkpath")),
        ("two extended headers", after_a_file(|tar| long(long(tar)).file("x", ""))),
        ("two extended headers", after_a_file(|tar| tar.pax(&[]).pax(&[]).file("x", ""))),
        ("its end mark follows an extended header", after_a_file(long)),
        ("a long name is empty", after_a_file(|tar| tar.member(b'L', "L", "", b"\0").file("x", ""))),
    ]);
}

#[test]
fn lists_of_a_sparse_file_that_lie_are_refused() {
    let old = |pairs: &[(u64, u64)], size: u64, stored: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_path("sparse").unwrap();
        header.set_size(stored as u64);
        header.set_entry_type(tar::EntryType::GNUSparse);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.realsize.copy_from_slice(format!("{size:011o}\0").as_bytes());
        for (slot, (at, len)) in gnu.sparse.iter_mut().zip(pairs) {
            slot.offset.copy_from_slice(format!("{at:011o}\0").as_bytes());
            slot.numbytes.copy_from_slice(format!("{len:011o}\0").as_bytes());
        }
        Tar::default().block(header).content(&vec![1; stored]).end()
    };
    let new = |keys: &[(&str, &str)], content: &[u8]| Tar::default().pax(keys).file("x", content).end();
    let text = |text: &str| {
        let keys = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9000")];
        let mut content = text.as_bytes().to_vec();
        content.resize(512, 0);
        new(&keys, &content)
    };
    let map = |map: &str, size: &str| new(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)], &[1; 20]);
    assert_refused(vec![
        ("overlap", old(&[(0, 600), (512, 424)], 9000, 1024)),
        ("overlap", old(&[(4096, 512), (0, 512)], 9000, 1024)),
        ("beyond its end", old(&[(8999, 2)], 9000, 2)),
        ("not as long", old(&[(0, 512)], 9000, 1024)),
        ("not as long", map("0,10,20,9", "9000")),
        ("beyond its end", map("0,20", "19")),
        ("within the list", map("0,20,21", "9000")),
        ("no number", map("0,-20", "9000")),
        ("has no size", new(&[("GNU.sparse.map", "0,20")], &[1; 20])),
        ("not known", new(&[("GNU.sparse.major", "2"), ("GNU.sparse.size", "9")], &[1; 20])),
        ("malformed", text("x\n")),
        ("malformed", text("\n")),
        ("ends too early", text(&format!("99999\n{}", "1\n".repeat(300)))),
        ("ends too early", text(&format!("18446744073709551615\n{}", "1\n".repeat(300)))),
        ("beyond any file", text("1\n18446744073709551615\n5\n")),
        ("is no file", Tar::default().pax(&[("GNU.sparse.size", "9")]).dir("d").end()),
    ]);
}

#[test]
fn an_archive_that_is_damaged_or_cut_anywhere_is_refused() {
    let whole = Tar::default().file("a", "first").pax(&[("mtime", "1")]).file("b", [7; 700]).end();
    let mut cases = Vec::new();
    for len in (512..whole.len() - 1023).step_by(256) {
        cases.push(("truncated", whole[..len].to_vec()));
    }
    let mut damaged = whole.clone();
    damaged[1024 + 100] ^= 1;
    cases.push(("checksum is wrong", damaged));
    let half = [&whole[..whole.len() - 512], &whole[..512]].concat();
    cases.push(("half of an end mark", half));
    cases.push(("no tar archive", b"QFI\xfb\0\0\0\x03".repeat(512)));
    cases.push(("no tar archive", b"short".to_vec()));
    cases.push(("no tar archive", vec![b'x'; 5000]));
    cases.push(("no tar archive", [vec![0; 2048], vec![7; 512]].concat()));
    cases.push(("empty", Vec::new()));
    assert_refused(cases);
}
