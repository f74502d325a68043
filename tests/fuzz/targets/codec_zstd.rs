//! zstd streams: the same content however they are read, or an error.
#![no_main]

use diskpour::format::codec::Codec;
use libfuzzer_sys::fuzz_target;

mod decoded;

fuzz_target!(|bytes: &[u8]| decoded::check(Codec::Zstd, bytes));
