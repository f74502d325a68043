//! Compressed clusters: exactly one cluster from a prefix of known length, or an error.
#![no_main]

use diskpour::codec::cluster::Inflater;
use diskpour::format::addr::HostOffset;
use diskpour::format::qcow2::Compression;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, input)) = bytes.split_first() else { return };
    let compression = if first & 1 == 0 { Compression::Deflate } else { Compression::Zstd };
    let mut out = vec![0xa5; 1 << (9 + (first >> 1) % 8)];
    let mut inflater = Inflater::new(compression).unwrap();
    let Ok(consumed) = inflater.fill(HostOffset(0), input, &mut out) else { return };
    assert!(consumed <= input.len());
    // What follows changes nothing, and a decoder has no memory of what it decoded.
    let again = [&input[..consumed], &[0x5a; 40]].concat();
    for other in [&input[..consumed], &again] {
        let mut second = vec![0x5a; out.len()];
        assert_eq!(inflater.fill(HostOffset(0), other, &mut second).unwrap(), consumed);
        assert!(second == out);
    }
});
