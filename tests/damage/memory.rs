//! Pouring within the process: an image in memory into a disk in memory.

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
    defined: Vec<bool>,
    /// The first promise that was broken.
    broken: Option<String>,
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
        if disk.defined[range.clone()].contains(&true) {
            disk.broken.get_or_insert(format!("a second write to {range:x?}"));
        }
        disk.defined[range.clone()].fill(true);
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
        disk.defined = vec![false; disk.bytes.len()];
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
        if disk.bytes.len() < range.end || disk.defined[range.clone()].contains(&false) {
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
        if let Some(hole) = disk.defined.iter().position(|defined| !defined) {
            disk.broken.get_or_insert(format!("byte {hole:#x} was neither written nor zeroed"));
        }
        Ok(())
    }
}

/// Whether an image in memory may fail in this way; anything else is a defect.
pub(crate) fn may_fail(kind: Kind) -> bool {
    matches!(kind, Kind::Image | Kind::Integrity | Kind::TargetFull | Kind::ScratchRequired)
}
