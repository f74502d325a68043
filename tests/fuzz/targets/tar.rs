//! Archives: the same members whether their content is read or passed over.
#![no_main]

use std::io::{Cursor, Read};

use diskpour::archive::single;
use diskpour::error::Kind;
use diskpour::fuzzing::list_archive;
use diskpour::io::Sequential;
use libfuzzer_sys::fuzz_target;

/// Holes of sparse files are read as zeros, of which there may be many.
const MOST: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let passed = list_archive(bytes.to_vec(), 0);
    for piece in [100, 64 << 10] {
        match (&passed, list_archive(bytes.to_vec(), piece)) {
            (Ok((members, odd)), Ok((read, again))) => {
                assert_eq!(*odd, again);
                assert_eq!(members.len(), read.len());
                for ((name, _), (other, file)) in members.iter().zip(&read) {
                    assert_eq!(name, other);
                    assert!(file.is_none_or(|(size, stored)| stored <= size), "{file:?}");
                }
            }
            (Err(error), Err(other)) => {
                assert_eq!(error.kind(), other.kind());
                assert!(matches!(error.kind(), Kind::Image | Kind::Integrity), "a strange error: {error:?}");
            }
            (Err(error), Ok(_)) => panic!("only reading finds nothing wrong: {error:?}"),
            (Ok(_), Err(error)) => panic!("only reading finds this wrong: {error:?}"),
        }
    }
    let stream = Sequential::new(Cursor::new(bytes.to_vec()), None);
    if let Ok(mut content) = single(stream, "disk") {
        let size = content.known_len();
        let mut all = Vec::new();
        let read = content.by_ref().take(MOST).read_to_end(&mut all);
        let len = all.len() as u64;
        assert!(read.is_err() || len == MOST || size == Some(len), "{len} of {size:?}");
    }
});
