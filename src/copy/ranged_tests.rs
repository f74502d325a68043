//! What the ranged route asks of a place that is far away.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::{Pouring, ranged};
use crate::image::{Raw, Trailer};
use crate::io::{ReadAt, Reading, Sequential};
use crate::progress::Stop;
use crate::sink::failing::{Deed, Failing};

const MIB: usize = 1 << 20;

/// A place that is worth asking for 16 MiB at once, and that looks at the target while it is read.
struct Far {
    bytes: Vec<u8>,
    target: Failing,
    /// What was asked for.
    asked: Mutex<Vec<Range<u64>>>,
    /// For each read, its length and the bytes that had been written before it.
    reads: Mutex<Vec<(usize, usize)>>,
}

struct Answer<'a>(&'a Far, &'a [u8]);

impl Read for Answer<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let written = self.0.target.disk().iter().filter(|byte| **byte != 0xa5).count();
        self.0.reads.lock().unwrap().push((buf.len(), written));
        self.1.read(buf)
    }
}

impl ReadAt for Far {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
        Ok(())
    }

    fn reader(&self, range: Range<u64>) -> Box<dyn Read + '_> {
        self.asked.lock().unwrap().push(range.clone());
        let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        Box::new(Answer(self, &self.bytes[start..end]))
    }

    fn reading(&self) -> Reading {
        Reading { lanes: 1, piece: 16 * MIB, gap: 0 }
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[test]
fn a_far_place_is_asked_for_much_at_once_and_poured_as_it_comes() {
    let target = Failing::new(Deed::Write, 0, Errno::IO);
    let bytes = vec![7; 24 * MIB];
    let far = Far {
        bytes: bytes.clone(),
        target: target.clone(),
        asked: Mutex::default(),
        reads: Mutex::default(),
    };
    let (far, progress, stop) = (Arc::new(far), Arc::default(), Stop::default());
    let to = Pouring { sink: &target, progress: &progress, stop: &stop, workers: 1 };
    ranged(&Raw::open(Arc::clone(&far) as Arc<dyn ReadAt>, Trailer::Free).unwrap(), to).unwrap();
    assert!(target.disk() == bytes);
    let mib = |count: usize| (count * MIB) as u64;
    assert_eq!(*far.asked.lock().unwrap(), [0..mib(16), mib(16)..mib(24)]);
    let parts: Vec<_> = (0..6).map(|part| (4 * MIB, part * 4 * MIB)).collect();
    assert_eq!(*far.reads.lock().unwrap(), parts, "each part is in the target before the next is read");
}
