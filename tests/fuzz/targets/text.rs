//! What users and controllers write: quantities, sizes, times, dates, shares, checksums, URLs.
#![no_main]

use diskpour::format::digest::Checksum;
use diskpour::format::overhead::Overhead;
use diskpour::format::{date, quantity, redact, shown, size, time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(shown::shown(bytes, 40).len() <= 40 * 10);
    assert!(!shown::name(bytes).chars().any(char::is_control));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checksum) = text.parse::<Checksum>() {
        assert_eq!(checksum.to_string().parse(), Ok(checksum));
    }
    if let Ok(bytes) = quantity::parse(text) {
        assert!(bytes <= i64::MAX as u64);
        assert_eq!(quantity::parse(&bytes.to_string()), Ok(bytes));
    }
    if let Ok(bytes) = size::parse(text) {
        assert_eq!(size::parse(&bytes.to_string()), Ok(bytes));
    }
    if let Ok(time) = time::parse(text) {
        let _ = time::human(time);
    }
    let _ = date::rfc3339(text);
    assert!(Overhead::parse(text).usable(1 << 40) <= 1 << 40);
    let public = redact::urls(text);
    assert_eq!(redact::urls(&public), public, "twice is once");
});
