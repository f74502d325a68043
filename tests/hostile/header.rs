//! QCOW2 headers: whatever they say that is not so, or is not ours to follow, shows before the first write.

use super::image::{
    BACKING, BACKING_LEN, CLUSTER_BITS, COMPRESSION, CRYPT, EXTENSIONS, FEATURES, HEADER_LEN, Image, L1_AT,
    L1_ENTRIES, REFCOUNT_CLUSTERS, REFCOUNT_ORDER, REFCOUNTS_AT, SIZE, SNAPSHOTS, SNAPSHOTS_AT, VERSION,
};
use super::{CAPACITY, Cage, Left};

/// Asserts that each image is refused with these words and the target untouched.
#[track_caller]
fn refused(class: &'static str, cases: Vec<(&str, &str, Image)>) {
    let mut cage = Cage::of(class);
    for (name, words, image) in cases {
        cage.refuses(name, &image.0, (6, words), Left::Untouched);
    }
    cage.finish();
}

#[test]
fn files_that_an_image_names_are_never_opened() {
    let backed = |name| Image::sound().backed_by(name);
    let json = r#"json:{"driver":"file","filename":"canary/secret.raw"}"#;
    let elsewhere = |name: &str| Image::sound().u64(FEATURES, 4).extension(0x4441_5441, name.as_bytes());
    refused(
        "qcow2: other files",
        vec![
            ("absolute", "backing file", backed("/etc/passwd")),
            ("relative", "canary/secret.raw", backed("canary/secret.raw")),
            ("json", "backing file", backed(json)),
            ("nbd", "backing file", backed("nbd://127.0.0.1:9/x")),
            ("itself", "backing file", backed("image")),
            ("long", "backing file", backed(&"a".repeat(2000))),
            ("control characters", r"\x1b[31m", backed("\u{1b}[31m\n")),
            ("an offset of 2^63", "backing file", Image::sound().u64(BACKING, 1 << 63).u32(BACKING_LEN, 10)),
            ("no length", "backing file", Image::sound().u64(BACKING, 512)),
            ("no offset", "backing file", Image::sound().u32(BACKING_LEN, u32::MAX)),
            ("data file, absolute", "data file", elsewhere("/etc/passwd")),
            ("data file, relative", "data file", elsewhere("canary/secret.raw")),
            ("data file, json", "data file", elsewhere(json)),
            ("data file without a name", "data file", Image::sound().u64(FEATURES, 4)),
            ("data file without its bit", "data file", elsewhere("canary/secret.raw").u64(FEATURES, 0)),
        ],
    );
}

#[test]
fn features_that_are_not_known_are_refused_by_name() {
    let crypt = |method| Image::sound().u32(CRYPT, method);
    let mut cases = vec![
        ("AES", "encrypted (AES)", crypt(1)),
        ("LUKS", "encrypted (LUKS)", crypt(2)),
        ("unknown encryption", "unknown method 7", crypt(7)),
        ("corrupt", "marked corrupt", Image::sound().u64(FEATURES, 2)),
        ("zstd without its bit", "compression type", Image::sound().bytes(COMPRESSION, &[1])),
        ("the bit without zstd", "compression type", Image::sound().u64(FEATURES, 8)),
        ("compression 2", "unknown compression", Image::sound().u64(FEATURES, 8).bytes(COMPRESSION, &[2])),
        ("subclusters in small clusters", "extended", Image::sound().u64(FEATURES, 16)),
    ];
    for bit in [5, 31, 32, 63] {
        cases.push(("an unknown bit", "incompatible feature", Image::sound().u64(FEATURES, 1 << bit)));
    }
    refused("qcow2: features", cases);
}

#[test]
fn numbers_of_a_header_that_lie_are_refused() {
    let mut cases = vec![
        ("version 0", "version 0", Image::sound().u32(VERSION, 0)),
        ("version 1", "version 1", Image::sound().u32(VERSION, 1)),
        ("version 4", "version 4", Image::sound().u32(VERSION, 4)),
        ("version 2^32-1", "version 4294967295", Image::sound().u32(VERSION, u32::MAX)),
        ("the magic alone", "header", Image::sound().cut(4)),
        ("40 bytes", "header", Image::sound().cut(40)),
        ("the magic and zeros", "version 0", Image(vec![0; 65_536]).bytes(0, b"QFI\xfb")),
        ("a length of 96", "header_length 96", Image::sound().u32(HEADER_LEN, 96)),
        ("a length of 2^32-1", "header_length", Image::sound().u32(HEADER_LEN, u32::MAX)),
        ("a length of 105", "header_length", Image::sound().u32(HEADER_LEN, 105)),
        ("VDI as well", "VDI", Image::sound().bytes(0x40, b"\x7f\x10\xda\xbe")),
        ("refcount order 7", "refcount_order", Image::sound().u32(REFCOUNT_ORDER, 7)),
        ("no refcount table", "refcount table", Image::sound().u32(REFCOUNT_CLUSTERS, 0)),
        ("an odd refcount table", "refcount table", Image::sound().u64(REFCOUNTS_AT, 4097)),
        ("65537 snapshots", "snapshots", Image::sound().u32(SNAPSHOTS, 65_537).u64(SNAPSHOTS_AT, 1 << 40)),
        ("2^32-1 snapshots", "snapshots", Image::sound().u32(SNAPSHOTS, u32::MAX)),
    ];
    for bits in [0, 8, 22, 30, 63, 64, u32::MAX] {
        cases.push(("cluster bits", "cluster_bits", Image::sound().u32(CLUSTER_BITS, bits)));
    }
    for entries in [0x7fff_ffff, u32::MAX, (4 << 20) + 1] {
        cases.push(("L1 entries", "L1 size too big", Image::sound().u32(L1_ENTRIES, entries)));
    }
    cases.push(("no L1 entry", "needs 1 L1 entries", Image::sound().u32(L1_ENTRIES, 0)));
    for offset in [0, 8192 + 512, u64::MAX, u64::MAX - 511] {
        cases.push(("the L1 table's place", "L1 table's offset", Image::sound().u64(L1_AT, offset)));
    }
    for size in [0, 100_001, 1 << 63, u64::MAX, u64::MAX - 511] {
        cases.push(("the size", "virtual size", Image::sound().u64(SIZE, size)));
    }
    refused("qcow2: numbers", cases);
}

#[test]
fn header_extensions_stay_where_they_are_and_few() {
    let long = Image::sound().extension(0x1234_5678, b"").u32(EXTENSIONS + 4, 0x7fff_ffff);
    let empty = [0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0];
    // Clusters of 2 MiB leave room for them.
    let wide = Image::sound().u32(CLUSTER_BITS, 21);
    refused(
        "qcow2: extensions",
        vec![
            ("2^31-1 bytes", "extension", long.clone()),
            ("2^32-1 bytes", "extension", long.u32(EXTENSIONS + 4, u32::MAX)),
            (
                "300 of them",
                "more than 256 header extensions",
                Image::sound().bytes(EXTENSIONS, &empty.repeat(300)),
            ),
            (
                "200000 of them",
                "more than 256 header extensions",
                wide.bytes(EXTENSIONS, &empty.repeat(200_000)),
            ),
        ],
    );
}

#[test]
fn disks_that_do_not_fit_are_refused_before_the_first_write() {
    let mut cage = Cage::of("qcow2: too large");
    let sizes = [CAPACITY + 512, 1 << 40, (1 << 63) - 512];
    for size in sizes {
        // As few L1 entries as clusters of 2 MiB allow, and a table that is not there.
        let entries = u32::try_from(size.div_ceil(1 << 39)).unwrap_or(u32::MAX).min(4 << 20);
        let image = Image(vec![0; 6 << 20]).header(21, size, entries);
        let (code, words) = if size.div_ceil(1 << 39) > 4 << 20 { (6, "L1") } else { (7, "67108864") };
        cage.refuses(&format!("{size} bytes"), &image.0, (code, words), Left::Untouched);
    }
    cage.finish();
}
