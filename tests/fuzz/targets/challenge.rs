//! `WWW-Authenticate`: read to an end, few challenges, no password for strangers.
#![no_main]

use diskpour::fuzzing::challenges;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let found = challenges(text.split('\n'));
    assert!(found.len() <= 64);
    for (scheme, realm) in found {
        assert!(!scheme.is_empty() && scheme == scheme.to_ascii_lowercase());
        let Some((url, signed)) = realm else { continue };
        assert!(url.starts_with("https://"), "{url}");
        let host = url["https://".len()..].split(['/', '?', '#', ':']).next().unwrap();
        let related = host.trim_end_matches('.') == "a.example" || host.trim_end_matches('.').ends_with(".a.example");
        assert!(!signed || related, "{url} would see a password");
    }
});
