use super::*;

/// A valid version 3 header of a 1 MiB disk, followed by an end marker.
fn valid() -> Vec<u8> {
    let mut head = vec![0; 65_536];
    put32(&mut head, 0, 0x5146_49fb);
    put32(&mut head, 4, 3);
    put32(&mut head, 20, 16);
    put64(&mut head, 24, 1 << 20);
    put32(&mut head, 36, 1);
    put64(&mut head, 40, 0x30000);
    put64(&mut head, 48, 0x10000);
    put32(&mut head, 56, 1);
    put32(&mut head, 96, 4);
    put32(&mut head, 100, 112);
    head
}

fn put32(head: &mut [u8], at: usize, value: u32) {
    head[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

fn put64(head: &mut [u8], at: usize, value: u64) {
    head[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut head = valid();
    change(&mut head);
    Header::parse(&head).unwrap_err().to_string()
}

#[test]
fn a_plain_header_is_read() {
    let header = Header::parse(&valid()).unwrap();
    assert_eq!((header.version, header.virtual_size, header.l1_entries), (3, 1 << 20, 1));
    assert_eq!(header.geometry.cluster_size(), 65_536);
    assert_eq!(header.geometry.table_span(), 512 << 20);
    assert_eq!(header.compression, Compression::Deflate);
}

#[test]
fn a_header_that_breaks_off_anywhere_is_damaged() {
    for len in 4..112 {
        let error = Header::parse(&valid()[..len]);
        assert!(error.is_err() || len >= 105, "{len}");
    }
}

#[test]
fn what_lies_elsewhere_is_refused_by_name() {
    let backing = refusal(|head| {
        put64(head, 8, 1000);
        put32(head, 16, 11);
        head[1000..1011].copy_from_slice(b"/etc/passwd");
    });
    assert!(backing.contains("backing file (\"/etc/passwd\")"), "{backing}");
    assert!(refusal(|head| put64(head, 8, u64::MAX)).contains("backing file"));
    assert!(refusal(|head| put32(head, 32, 1)).contains("AES"));
    assert!(refusal(|head| put32(head, 32, 2)).contains("LUKS"));
    assert!(refusal(|head| put64(head, 72, 4)).contains("external data file"));
    let named_only = refusal(|head| {
        put32(head, 112, EXTENSION_DATA_FILE);
        put32(head, 116, 4);
    });
    assert!(named_only.contains("external data file"));
}

#[test]
fn features_decide() {
    let mut dirty = valid();
    put64(&mut dirty, 72, 1);
    assert!(Header::parse(&dirty).is_ok());
    assert!(refusal(|head| put64(head, 72, 2)).contains("corrupt"));
    let unknown = refusal(|head| {
        put64(head, 72, 1 << 5);
        put32(head, 112, EXTENSION_FEATURE_NAMES);
        put32(head, 116, 48);
        head[121] = 5;
        head[122..126].copy_from_slice(b"warp");
    });
    assert!(unknown.ends_with("bit 5, \"warp\""), "{unknown}");
    assert!(refusal(|head| head[104] = 1).contains("contradict"));
    assert!(refusal(|head| put64(head, 72, 8)).contains("contradict"));
    assert!(refusal(|head| head[104] = 7).contains("compression type 7"));
}

#[test]
fn numbers_that_do_not_fit_are_damage() {
    let cases: [(usize, u32, &str); 8] = [
        (4, 4, "version 4"),
        (20, 8, "cluster_bits 8"),
        (20, 64, "cluster_bits 64"),
        (36, 0, "needs 1 L1 entries"),
        (36, u32::MAX, "L1 size too big"),
        (56, 0, "no refcount table"),
        (96, 7, "refcount_order 7"),
        (100, 96, "header_length 96"),
    ];
    for (at, value, words) in cases {
        let text = refusal(|head| put32(head, at, value));
        assert!(text.contains(words), "{words}: {text}");
    }
    for size in [0, 1, 511, 1 << 63, u64::MAX, i64::MAX.unsigned_abs()] {
        assert!(refusal(|head| put64(head, 24, size)).contains("virtual size"), "{size}");
    }
    assert!(refusal(|head| put64(head, 40, 0)).contains("L1 table's offset"));
    assert!(refusal(|head| put64(head, 40, 0x30200)).contains("L1 table's offset"));
}

#[test]
fn extensions_stay_within_their_area() {
    let long = refusal(|head| {
        put32(head, 112, 7);
        put32(head, 116, u32::MAX);
    });
    assert!(long.contains("leaves the header area"));
    let many = refusal(|head| {
        for at in (112..65_000).step_by(8) {
            put32(head, at, 7);
        }
    });
    assert!(many.contains("more than 256"));
}
