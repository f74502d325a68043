//! Ranged: an image at any offset, by several workers.

use std::ops::Range;

use super::gather::Gather;
use super::held::Held;
use super::queue::{Queue, Segment, Task, runs, segments};
use super::{CopyError, Pouring, bytes, in_memory, read_failed, write_failed};
use crate::codec::cluster::Inflater;
use crate::error::{Error, Kind};
use crate::format::addr::{GuestOffset, HostOffset};
use crate::format::extent::{Extent, Place};
use crate::image::Image;
use crate::journal::Ranges;

/// Bytes of a segment that are placed before more of it are read: a far place is asked for more at once.
const PART: usize = 4 << 20;

/// Pours `image`.
///
/// Memory: for each worker one read of the place's preferred size or 4 MiB, and a gathered write of 2 MiB;
/// the stretches of one part of the image for each worker.
///
/// # Errors
/// [`CopyError`]; whatever the image's tables show, and a stop.
pub fn ranged(image: &dyn Image, to: Pouring<'_>) -> Result<(), Error> {
    to.sink.prepare(Some(image.virtual_size())).map_err(|cause| write_failed(0, cause))?;
    let queue = Queue::new(image.parts());
    let fail = |error| {
        queue.fail(error);
        // Another lane may wait for a server that has gone silent.
        to.stop.ask(Kind::Other);
    };
    let lanes = image.place().reading().lanes.max(to.workers).max(1);
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    Worker::new(image, to).run(&queue)
                }));
                match caught {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => fail(error),
                    Err(_) => fail(Error::new(Kind::Other, "a worker failed; this is a defect")),
                }
            });
        }
    });
    queue.into_result()
}

struct Worker<'a> {
    image: &'a dyn Image,
    to: Pouring<'a>,
    gather: Gather<'a>,
    inflater: Option<Inflater>,
    held: Held,
}

impl<'a> Worker<'a> {
    fn new(image: &'a dyn Image, to: Pouring<'a>) -> Self {
        let held = Held::new(image.place().reading().piece.min(PART));
        let (_, cluster) = image.compression();
        let gather = Gather::new(to.sink, image.virtual_size(), cluster);
        Self { image, to, gather, inflater: None, held }
    }

    fn run(&mut self, queue: &Queue) -> Result<(), Error> {
        loop {
            self.to.stop.check()?;
            match queue.next() {
                Task::Done => return self.gather.flush(),
                Task::Load(part) => queue.loaded(self.load(part)?),
                Task::Copy(segment) => self.copy(&segment)?,
            }
        }
    }

    /// Zeroes what is zero in `part`, and returns the rest.
    fn load(&self, part: u64) -> Result<Vec<Segment>, Error> {
        let extents = self.image.extents(part)?;
        for extent in extents.iter().filter(|extent| extent.place == Place::Zero) {
            self.to.stop.check()?;
            let zeroed = self.to.sink.zero(extent.guest, extent.len);
            zeroed.map_err(|cause| write_failed(extent.guest.0, cause))?;
        }
        Ok(segments(extents, self.image.place().reading(), PART))
    }

    fn copy(&mut self, segment: &Segment) -> Result<(), Error> {
        let left = self.missing(segment)?;
        let place = self.image.place();
        let gap = place.reading().gap;
        for (span, run) in runs(&left, |before, next| next.start <= before.end.plus(gap)) {
            let mut reader = place.reader(span.start.0..span.end.0);
            self.held.restart(span.start);
            let short =
                |part: &Range<HostOffset>, next: &Range<HostOffset>| part.start.plus(bytes(PART)) >= next.end;
            for (span, part) in runs(run, short) {
                let read = self.held.advance(&mut reader, span);
                read.map_err(|cause| read_failed(self.held.end(), cause))?;
                for extent in part {
                    self.to.stop.check()?;
                    self.place(extent)?;
                }
            }
        }
        Ok(())
    }

    /// What the target neither has from an earlier import nor could take over from the image's file.
    fn missing(&self, segment: &Segment) -> Result<Vec<Extent>, Error> {
        let wanted = match self.to.sink.kept() {
            None => segment.extents.clone(),
            Some(kept) => segment.extents.iter().flat_map(|extent| without(extent, kept)).collect(),
        };
        let mut left = Vec::with_capacity(wanted.len());
        for extent in wanted {
            let shared = match (self.image.place().file(), extent.place) {
                (Some(file), Place::Data(host)) => {
                    let shared = self.to.sink.share((file, host.0), extent.len, extent.guest);
                    shared.map_err(|cause| write_failed(extent.guest.0, cause))?
                }
                _ => false,
            };
            if !shared {
                left.push(extent);
            }
        }
        Ok(left)
    }

    /// Puts `extent`, whose bytes are held, into its place.
    fn place(&mut self, extent: &Extent) -> Result<(), Error> {
        match extent.place {
            Place::Zero => Ok(()),
            Place::Data(host) => self.gather.put(extent.guest, self.held.bytes(host, extent.len)),
            Place::Compressed { host, bound } => {
                let input = self.held.bytes(host, bound);
                let (compression, cluster) = self.image.compression();
                if self.inflater.is_none() {
                    self.inflater = Inflater::new(compression);
                }
                let inflater = self.inflater.as_mut().ok_or(CopyError::NoMemory)?;
                let keep = in_memory(extent.len);
                let fill = |out: &mut [u8]| Ok(inflater.fill(host, input, out)?);
                self.gather.fill(extent.guest, cluster, keep, fill).map(drop)
            }
        }
    }
}

/// The parts of `extent` that are not in `kept`; a cluster that must be inflated has none.
fn without(extent: &Extent, kept: &Ranges) -> Vec<Extent> {
    let gaps = kept.missing(extent.guest.0..extent.end().0);
    let part = |gap: Range<u64>| {
        let Place::Data(host) = extent.place else { return *extent };
        let place = Place::Data(host.plus(gap.start.saturating_sub(extent.guest.0)));
        Extent { guest: GuestOffset(gap.start), len: gap.end.saturating_sub(gap.start), place, ..*extent }
    };
    // Two gaps in a cluster are no reason to inflate it twice.
    let most = if matches!(extent.place, Place::Data(_)) { usize::MAX } else { 1 };
    gaps.map(part).take(most).collect()
}
