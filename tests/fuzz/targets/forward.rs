//! One pass, with and without a known length, against reads at any offset: the same disk, or no disk.
#![no_main]

use std::sync::Arc;

use diskpour::error::Error;
use libfuzzer_sys::{Corpus, fuzz_target};
use memory::{SHAPES, may_fail, pour};

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../damage/memory.rs"]
mod memory;

/// Larger disks only take longer.
const LARGEST: u64 = 4 << 20;

fuzz_target!(|image: &[u8]| -> Corpus {
    let size = image.get(24..32).and_then(|field| field.try_into().ok()).map_or(0, u64::from_be_bytes);
    if !image.starts_with(b"QFI\xfb") || size > LARGEST {
        return Corpus::Reject;
    }
    let image: Arc<[u8]> = image.into();
    let [piped, streamed, ranged] = SHAPES.map(|shape| pour(&image, shape));
    for error in [&piped, &streamed, &ranged].into_iter().filter_map(|result| result.as_ref().err()) {
        assert!(may_fail(error.kind()), "a strange error: {error:?}");
    }
    for one_pass in [piped, streamed] {
        match (one_pass, &ranged) {
            (Ok(disk), Ok(other)) => assert!(disk == *other, "two disks of one image"),
            (Err(error), Ok(_)) => assert!(is_too_much(&error), "one pass only refuses: {error:?}"),
            (Ok(_), Err(error)) => panic!("reads at any offset only refuse: {error:?}"),
            (Err(_), Err(_)) => {}
        }
    }
    Corpus::Keep
});

/// Whether an image is refused only because one pass cannot follow it.
fn is_too_much(error: &Error) -> bool {
    error.to_string().ends_with("import it as a file or with ranges")
}
