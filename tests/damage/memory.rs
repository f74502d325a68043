//! Pouring within the process: an image in memory into a disk in memory.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use diskpour::copy::{Forward, Pouring, Waiting, ranged};
use diskpour::error::{Error, Kind};
use diskpour::format::addr::GuestOffset;
use diskpour::format::qcow2::{HEADER_AREA, Header};
use diskpour::image::{Image, Qcow2};
use diskpour::io::{ReadAt, Reading, Sequential};
use diskpour::progress::{Progress, Stop};
use diskpour::sink::{Sink, SinkError};

/// How the image comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// In one pass, the length unknown.
    Pipe,
    /// In one pass, the length known.
    Forward,
    /// At any offset.
    Ranged,
}

pub(crate) const SHAPES: [Shape; 3] = [Shape::Pipe, Shape::Forward, Shape::Ranged];

/// The largest disk that the target takes.
const CAPACITY: u64 = 64 << 20;

/// What the target holds before: old bytes, as a device does.
const OLD: u8 = 0xa5;

/// Pours `image`, and checks what the sink was promised; the disk's bytes.
pub(crate) fn pour(image: &Arc<[u8]>, shape: Shape) -> Result<Vec<u8>, Error> {
    let (sink, progress, stop) = (Memory::default(), Arc::default(), Stop::default());
    let to = Pouring { sink: &sink, progress: &progress, stop: &stop, workers: 1 };
    let size = match shape {
        Shape::Pipe => forward(image, None, to)?,
        Shape::Forward => forward(image, Some(image.len() as u64), to)?,
        Shape::Ranged => {
            let image = Qcow2::open(Arc::new(Place(Arc::clone(image))))?;
            fits(image.virtual_size())?;
            ranged(&image, to)?;
            image.virtual_size()
        }
    };
    sink.finish(size)?;
    assert_eq!(progress_scratch(&progress), 0, "no scratch was given");
    Ok(sink.into_disk())
}

fn forward(image: &Arc<[u8]>, len: Option<u64>, to: Pouring<'_>) -> Result<u64, Error> {
    let header = Header::parse(&image[..image.len().min(HEADER_AREA)])?;
    let size = header.virtual_size;
    fits(size)?;
    let waiting = Waiting { memory_budget: CAPACITY, scratch_dir: None };
    Forward::new(header, len, &waiting, to).run(Sequential::new(Cursor::new(Arc::clone(image)), len))?;
    Ok(size)
}

fn fits(needed: u64) -> Result<(), SinkError> {
    if needed > CAPACITY { Err(SinkError::TooSmall { needed, capacity: CAPACITY }) } else { Ok(()) }
}

fn progress_scratch(progress: &Progress) -> u64 {
    progress.scratch.load(std::sync::atomic::Ordering::Relaxed)
}

/// An image in memory.
struct Place(Arc<[u8]>);

impl ReadAt for Place {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let bytes = start.and_then(|start| self.0.get(start..start.checked_add(buf.len())?));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn reading(&self) -> Reading {
        Reading { lanes: 1, piece: 64 << 10, gap: 4096 }
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        let len = self.0.len() as u64;
        Ok(Sequential::new(Cursor::new(Arc::clone(&self.0)), Some(len)))
    }
}

/// A disk in memory that was full of old bytes, and which of them were defined since.
#[derive(Default)]
struct Memory(Mutex<Disk>);

#[derive(Default)]
struct Disk {
    bytes: Vec<u8>,
    /// What was written or zeroed: start and end of ranges that do not touch.
    defined: BTreeMap<usize, usize>,
    /// The first promise that was broken.
    broken: Option<String>,
}

impl Disk {
    /// Takes in a range as defined; whether all of it was new.
    fn take_in(&mut self, range: Range<usize>) -> bool {
        if range.is_empty() {
            return true;
        }
        let (mut start, mut end) = (range.start, range.end);
        let touching = self.defined.range(..=end).rev().take_while(|(_, far)| **far >= start);
        let touching: Vec<(usize, usize)> = touching.map(|(near, far)| (*near, *far)).collect();
        let mut new = true;
        for (near, far) in touching {
            new &= far == range.start || near == range.end;
            (start, end) = (start.min(near), end.max(far));
            self.defined.remove(&near);
        }
        self.defined.insert(start, end);
        new
    }
}

impl Memory {
    fn into_disk(self) -> Vec<u8> {
        let disk = self.0.into_inner().unwrap();
        assert_eq!(disk.broken, None, "a promise to the sink was broken");
        disk.bytes
    }

    fn define(&self, at: GuestOffset, len: u64, write: impl FnOnce(&mut [u8])) -> Result<(), SinkError> {
        let end = at.0.saturating_add(len);
        fits(end)?;
        let mut disk = self.0.lock().unwrap();
        let range = usize::try_from(at.0).unwrap()..usize::try_from(end).unwrap();
        if disk.bytes.len() < range.end {
            disk.broken.get_or_insert(format!("a write to {range:x?}, behind the end"));
            return Ok(());
        }
        if !disk.take_in(range.clone()) {
            disk.broken.get_or_insert(format!("a second write to {range:x?}"));
        }
        write(&mut disk.bytes[range]);
        Ok(())
    }
}

impl Sink for Memory {
    fn capacity(&self) -> Option<u64> {
        Some(CAPACITY)
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        let size = size.unwrap_or(0);
        fits(size)?;
        let mut disk = self.0.lock().unwrap();
        disk.bytes = vec![OLD; usize::try_from(size).unwrap()];
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        self.define(at, buf.len() as u64, |disk| disk.copy_from_slice(buf))
    }

    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        self.define(at, len, |disk| disk.fill(0))
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        let mut disk = self.0.lock().unwrap();
        let start = usize::try_from(at.0).unwrap();
        let range: Range<usize> = start..start + buf.len();
        let before = disk.defined.range(..=range.start).next_back();
        if before.is_none_or(|(_, end)| *end < range.end) {
            disk.broken.get_or_insert(format!("a read of {range:x?}, which was not written"));
            return Ok(());
        }
        buf.copy_from_slice(&disk.bytes[range]);
        Ok(())
    }

    fn sync(&self) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&self, virtual_size: u64) -> Result<(), SinkError> {
        let mut disk = self.0.lock().unwrap();
        if disk.bytes.len() as u64 != virtual_size {
            disk.broken.get_or_insert("the size changed".to_owned());
        }
        let whole = disk.defined.get(&0).is_some_and(|end| *end == disk.bytes.len());
        if !whole {
            let words = format!("only {:x?} was written or zeroed", disk.defined);
            disk.broken.get_or_insert(words);
        }
        Ok(())
    }
}

/// Whether an image in memory may fail in this way; anything else is a defect.
pub(crate) fn may_fail(kind: Kind) -> bool {
    matches!(kind, Kind::Image | Kind::Integrity | Kind::TargetFull | Kind::ScratchRequired)
}

/// Lets the buffers of one pour be the memory of the next: most of the time would go into giving
/// memory back and getting it again.
#[expect(unsafe_code, reason = "no safe wrapper sets malloc's limits")]
pub(crate) fn keep_memory() {
    for (setting, value) in
        [(libc::M_MMAP_THRESHOLD, 1 << 25), (libc::M_TRIM_THRESHOLD, 1 << 27), (libc::M_ARENA_MAX, 1)]
    {
        // SAFETY: plain numbers; the C library checks them.
        assert_eq!(unsafe { libc::mallopt(setting, value) }, 1);
    }
}
