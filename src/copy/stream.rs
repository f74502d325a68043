//! Stream: the guest's bytes in order, decoded in one thread and written in another.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::gather::pour;
use super::{Pouring, bytes, in_memory, read_failed, write_failed};
use crate::error::{Error, Kind};
use crate::format::addr::GuestOffset;
use crate::format::magic;
use crate::image::{SECTOR, Trailer, padded};
use crate::io::{Aligned, Sequential, fill};

/// Bytes of one buffer; large enough that a write costs more than its call.
const STEP: usize = 1 << 20;
/// Buffers on their way: memory is bounded by this many times [`STEP`].
const BUFFERS: usize = 4;

/// Pours `source`, the guest's bytes in order, and returns the disk's size in bytes.
///
/// The disk is padded with zeros to a multiple of 512 bytes.
///
/// # Errors
/// [`CopyError`](super::CopyError); whatever the source fails with, and a stop.
pub fn stream(source: Sequential, trailer: Trailer, to: Pouring<'_>) -> Result<u64, Error> {
    let known = source.known_len().map(padded);
    std::thread::scope(|scope| {
        let (full, filled) = sync_channel(BUFFERS);
        let (spare, empty) = sync_channel(BUFFERS);
        for _ in 0..BUFFERS {
            // The channel has room for all of them.
            let _ = spare.send(Aligned::zeroed(STEP));
        }
        let reader = scope.spawn(move || read(source, &full, &empty));
        let wrote = write(&filled, &spare, known, trailer, to);
        if wrote.is_err() {
            to.stop.ask(Kind::Other);
        }
        drop((filled, spare));
        match reader.join() {
            Err(_) => Err(Error::new(Kind::Other, "the reading thread failed; this is a defect")),
            Ok(Err(error)) if wrote.is_ok() => Err(error),
            Ok(_) => wrote,
        }
    })
}

/// One buffer and how much of it is filled.
type Filled = (Aligned, usize);

/// Fills buffers until the source ends or nobody takes them any more.
fn read(mut source: Sequential, full: &SyncSender<Filled>, empty: &Receiver<Aligned>) -> Result<(), Error> {
    let mut at = 0_u64;
    while let Ok(mut buf) = empty.recv() {
        let count = fill(&mut source, &mut buf).map_err(|cause| read_failed(at, cause))?;
        at = at.saturating_add(bytes(count));
        if count == 0 || full.send((buf, count)).is_err() {
            break;
        }
    }
    Ok(())
}

fn write(
    filled: &Receiver<Filled>,
    spare: &SyncSender<Aligned>,
    known: Option<u64>,
    trailer: Trailer,
    to: Pouring<'_>,
) -> Result<u64, Error> {
    let mut at = 0_u64;
    let mut tail = Tail::default();
    while let Ok((mut buf, count)) = filled.recv() {
        to.stop.check()?;
        if at == 0 {
            to.sink.prepare(known).map_err(|cause| write_failed(0, cause))?;
        }
        tail.pass(buf.get(..count).unwrap_or_default());
        let padded = count.next_multiple_of(in_memory(SECTOR));
        buf.get_mut(count..padded).unwrap_or_default().fill(0);
        pour(to.sink, GuestOffset(at), buf.get(..padded).unwrap_or_default())?;
        at = at.saturating_add(bytes(padded));
        let _ = spare.send(buf);
    }
    to.stop.check()?;
    trailer.check(&tail.last)?;
    Ok(at)
}

/// The last bytes that went by.
#[derive(Default)]
struct Tail {
    last: Vec<u8>,
}

impl Tail {
    fn pass(&mut self, data: &[u8]) {
        let keep = data.get(data.len().saturating_sub(magic::TAIL)..).unwrap_or_default();
        let old = self.last.len().saturating_add(keep.len()).saturating_sub(magic::TAIL);
        self.last.drain(..old.min(self.last.len()));
        self.last.extend_from_slice(keep);
    }
}
