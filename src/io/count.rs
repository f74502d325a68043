//! A tap that tells how many bytes pass.

use std::io::{self, Read};

use super::Sequential;

/// The same stream; `add` is told the bytes of each read.
#[must_use]
pub fn count(stream: Sequential, add: impl Fn(u64) + Send + 'static) -> Sequential {
    stream.tapped(|stream| Count { stream, add })
}

struct Count<F> {
    stream: Sequential,
    add: F,
}

impl<F: Fn(u64)> Read for Count<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buf)?;
        (self.add)(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[test]
    fn every_byte_is_counted_once() {
        let total = Arc::new(AtomicU64::new(0));
        let sum = Arc::clone(&total);
        let source = Sequential::new(&b"some bytes"[..], Some(10));
        let mut stream = count(source, move |more| {
            sum.fetch_add(more, Relaxed);
        });
        assert_eq!(stream.known_len(), Some(10));
        stream.peek(4).unwrap();
        io::copy(&mut stream, &mut io::sink()).unwrap();
        assert_eq!(total.load(Relaxed), 10);
    }
}
