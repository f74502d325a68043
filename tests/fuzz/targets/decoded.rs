//! What the targets of the codecs share: a stream decodes to the same however it is read.

use std::io::{Cursor, Read};

use diskpour::codec::{Options, decode};
use diskpour::error::{Error, Kind};
use diskpour::format::codec::Codec;
use diskpour::io::Sequential;

/// Bytes that are decoded at most: bombs are for other tests.
const MOST: u64 = 4 << 20;

/// Decodes `bytes` in several ways and compares.
pub(crate) fn check(codec: Codec, bytes: &[u8]) {
    let whole = decoded(codec, Sequential::new(Cursor::new(bytes.to_vec()), None), 1, 64 << 10);
    let slow = decoded(codec, Sequential::new(Drops(Cursor::new(bytes.to_vec())), None), 1, 777);
    same(&whole, &slow);
    if codec == Codec::Xz {
        same(&whole, &decoded(codec, Sequential::new(Cursor::new(bytes.to_vec()), None), 2, 64 << 10));
    }
}

fn same(one: &Result<Vec<u8>, Error>, other: &Result<Vec<u8>, Error>) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert!(one == other, "two contents of one stream"),
        (Err(_), Err(_)) => {}
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => panic!("refused when read otherwise: {error:?}"),
    }
}

fn decoded(codec: Codec, input: Sequential, threads: usize, step: usize) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::from_io(error, Kind::Other);
    let mut stream = decode(codec, input, &Options { threads }).map_err(failed)?.take(MOST);
    let (mut all, mut buf) = (Vec::new(), vec![0; step]);
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return Ok(all),
            Ok(count) => all.extend_from_slice(&buf[..count]),
            Err(error) => {
                let error = failed(error);
                assert!(matches!(error.kind(), Kind::Integrity | Kind::Image), "a strange error: {error:?}");
                return Err(error);
            }
        }
    }
}

/// Gives a few bytes at a time.
struct Drops(Cursor<Vec<u8>>);

impl Read for Drops {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = buf.len().min(13);
        self.0.read(&mut buf[..len])
    }
}
