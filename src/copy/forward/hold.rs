//! Bytes that went by before a table named them: in memory up to a budget, then in scratch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Waiting, unsupported};
use crate::copy::{bytes, in_memory};
use crate::error::{Classify, Error, Kind};
use crate::io::is_zero;
use crate::progress::Progress;
use crate::scratch::Scratch;

/// Bytes of one piece at most: what taking a part out of a piece copies.
const PIECE: usize = 64 << 10;
/// What the bookkeeping of a piece takes, so that many small ones count.
const OVERHEAD: u64 = 96;
/// Places in scratch whose bookkeeping memory has room for: about 24 MiB of it.
const PLACES: usize = 1 << 19;

/// More waits than memory may hold, and there is no scratch.
#[derive(Debug, thiserror::Error)]
#[error(
    "scratch required: more than {budget} bytes of this image come before the table that maps them; \
     give --scratch-dir (a directory with {room} free) or a larger --memory-budget"
)]
pub(super) struct ScratchRequired {
    budget: u64,
    room: String,
}

impl Classify for ScratchRequired {
    fn kind(&self) -> Kind {
        Kind::ScratchRequired
    }
}

/// What waits, by host offset; pieces never overlap, here or there.
pub(super) struct Hold<'a> {
    pieces: BTreeMap<u64, Piece>,
    /// What is in scratch, at its host offset, and how long it is.
    spilled: BTreeMap<u64, u64>,
    in_memory: u64,
    budget: u64,
    dir: Option<PathBuf>,
    scratch: Option<Scratch>,
    len: Option<u64>,
    progress: &'a Arc<Progress>,
}

struct Piece {
    len: u64,
    kept: Kept,
}

/// A piece that has a byte, or the scratch that has it where `kept` is `None`.
struct Found<'a> {
    kept: Option<&'a Kept>,
    /// Bytes of the piece before that byte.
    skip: u64,
    /// Bytes of the piece from that byte on.
    rest: u64,
}

/// How the bytes of a piece are kept.
enum Kept {
    Memory(Box<[u8]>),
    /// They are zeros: tables that are hardly used, space that was set aside.
    Zero,
}

impl<'a> Hold<'a> {
    pub(super) fn new(waiting: &Waiting, len: Option<u64>, progress: &'a Arc<Progress>) -> Self {
        Self {
            pieces: BTreeMap::new(),
            spilled: BTreeMap::new(),
            in_memory: 0,
            budget: waiting.memory_budget,
            dir: waiting.scratch_dir.clone(),
            scratch: None,
            len,
            progress,
        }
    }

    /// Holds `held`, the bytes at the host offset `at`.
    pub(super) fn insert(&mut self, at: u64, held: &[u8]) -> Result<(), Error> {
        let mut at = at;
        for piece in held.chunks(PIECE) {
            self.keep(at, piece);
            at = at.saturating_add(bytes(piece.len()));
            if self.in_memory > self.budget {
                self.spill()?;
            }
        }
        self.progress.held_peak.fetch_max(self.in_memory, Relaxed);
        Ok(())
    }

    /// The `len` bytes at `at`, if all of them wait here.
    pub(super) fn read(&self, at: u64, len: u64) -> Result<Option<Vec<u8>>, Error> {
        let found = self.read_some(at, len)?;
        Ok((bytes(found.len()) == len).then_some(found))
    }

    /// As many of the `len` bytes at `at` as wait here without a gap.
    pub(super) fn read_some(&self, at: u64, len: u64) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        while bytes(out.len()) < len {
            let here = at.saturating_add(bytes(out.len()));
            let Some(found) = self.found(here) else { break };
            let count = found.rest.min(len.saturating_sub(bytes(out.len())));
            let (from, end) = (out.len(), out.len().saturating_add(in_memory(count)));
            match found.kept {
                Some(Kept::Memory(held)) => out.extend_from_slice(part(held, found.skip, count)),
                Some(Kept::Zero) => out.resize(end, 0),
                None => {
                    out.resize(end, 0);
                    self.read_scratch(out.get_mut(from..).unwrap_or_default(), here)?;
                }
            }
        }
        Ok(out)
    }

    /// The first bytes from `at` on, `len` at most, that are all here (`Ok`) or all not (`Err`).
    pub(super) fn stretch(&self, at: u64, len: u64) -> Result<u64, u64> {
        match self.found(at) {
            Some(found) => Ok(len.min(found.rest)),
            None => {
                let next = self.pieces.range(at..).next().map_or(u64::MAX, |(start, _)| *start);
                let spilled = self.spilled.range(at..).next().map_or(u64::MAX, |(start, _)| *start);
                Err(len.min(next.min(spilled).saturating_sub(at)))
            }
        }
    }

    /// The bytes from `from` to `to` need not wait any more; they go as far as that saves memory.
    pub(super) fn remove(&mut self, from: u64, to: u64) {
        let before = self.pieces.range(..=from).next_back().map_or(from, |(start, _)| *start);
        let touched: Vec<u64> = self.pieces.range(before..to.max(before)).map(|(start, _)| *start).collect();
        for start in touched {
            self.cut(start, from, to);
        }
        // Nothing is saved by cutting what is in scratch.
        let whole = |start: u64, len: u64| start.saturating_add(len) <= to;
        let gone: Vec<u64> = self.spilled.range(from..to.max(from)).map(|(start, _)| *start).collect();
        for start in gone {
            if self.spilled.get(&start).is_some_and(|len| whole(start, *len)) {
                self.spilled.remove(&start);
            }
        }
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.spilled.clear();
        self.in_memory = 0;
        self.scratch = None;
    }

    fn found(&self, at: u64) -> Option<Found<'_>> {
        let within = |start: u64, len: u64| {
            let end = start.saturating_add(len);
            (at < end).then(|| (at.saturating_sub(start), end.saturating_sub(at)))
        };
        let here = self.pieces.range(..=at).next_back().and_then(|(start, piece)| {
            let (skip, rest) = within(*start, piece.len)?;
            Some(Found { kept: Some(&piece.kept), skip, rest })
        });
        here.or_else(|| {
            let (start, len) = self.spilled.range(..=at).next_back()?;
            let (skip, rest) = within(*start, *len)?;
            Some(Found { kept: None, skip, rest })
        })
    }

    /// Takes the bytes from `from` to `to` out of the piece at `start`, if that saves memory.
    fn cut(&mut self, start: u64, from: u64, to: u64) {
        let Some(piece) = self.pieces.get(&start) else { return };
        let end = start.saturating_add(piece.len);
        let cut = to.min(end).saturating_sub(from.max(start));
        let splits = start < from && to < end;
        let stays = cut < piece.len && (splits && cut <= OVERHEAD || matches!(piece.kept, Kept::Zero));
        if cut == 0 || stays {
            return;
        }
        let Some(piece) = self.pieces.remove(&start) else { return };
        self.in_memory = self.in_memory.saturating_sub(piece.cost());
        for rest in [start..from.min(end), to.max(start)..end] {
            if let Kept::Memory(held) = &piece.kept
                && !rest.is_empty()
            {
                let len = rest.end.saturating_sub(rest.start);
                self.keep(rest.start, part(held, rest.start.saturating_sub(start), len));
            }
        }
    }

    fn keep(&mut self, at: u64, held: &[u8]) {
        let kept = if is_zero(held) { Kept::Zero } else { Kept::Memory(held.into()) };
        self.insert_piece(at, Piece { len: bytes(held.len()), kept });
    }

    /// Adds a piece; one of zeros becomes part of the piece of zeros before it.
    fn insert_piece(&mut self, at: u64, piece: Piece) {
        if matches!(piece.kept, Kept::Zero)
            && let Some((start, before)) = self.pieces.range_mut(..at).next_back()
            && matches!(before.kept, Kept::Zero)
            && start.saturating_add(before.len) == at
        {
            before.len = before.len.saturating_add(piece.len);
            return;
        }
        self.in_memory = self.in_memory.saturating_add(piece.cost());
        self.pieces.insert(at, piece);
    }

    /// Moves what is in memory to scratch, at its host offset.
    fn spill(&mut self) -> Result<(), Error> {
        if self.scratch.is_none() {
            let dir = self.dir.as_ref().ok_or_else(|| self.required())?;
            self.scratch = Some(Scratch::create(dir, Arc::clone(self.progress))?);
        }
        let Some(scratch) = &self.scratch else { return Ok(()) };
        // Zeros need no write, only a file that reaches over them.
        let last = self.pieces.last_key_value();
        scratch.reach(last.map_or(0, |(at, piece)| at.saturating_add(piece.len)))?;
        for (at, piece) in std::mem::take(&mut self.pieces) {
            if let Kept::Memory(held) = &piece.kept {
                scratch.write_all_at(held, at)?;
            }
            match self.spilled.range_mut(..at).next_back() {
                Some((start, len)) if start.saturating_add(*len) == at => {
                    *len = len.saturating_add(piece.len);
                }
                _ => drop(self.spilled.insert(at, piece.len)),
            }
        }
        self.in_memory = 0;
        if self.spilled.len() > PLACES {
            return Err(unsupported(format!(
                "scatters what comes before its tables over more than {PLACES} places"
            )));
        }
        Ok(())
    }

    fn required(&self) -> ScratchRequired {
        let room = self
            .len
            .map_or("enough room for the image file".to_owned(), |len| format!("at most {len} bytes"));
        ScratchRequired { budget: self.budget, room }
    }

    fn read_scratch(&self, buf: &mut [u8], at: u64) -> Result<(), Error> {
        use crate::io::ReadAt;
        match &self.scratch {
            Some(scratch) => {
                scratch.read_exact_at(buf, at).map_err(|error| Error::from_io(error, Kind::Other))
            }
            None => Err(Error::new(Kind::Other, "bytes are said to be in scratch, which is not there")),
        }
    }
}

impl Piece {
    /// Bytes of memory that the piece takes.
    fn cost(&self) -> u64 {
        let held = if let Kept::Memory(held) = &self.kept { bytes(held.len()) } else { 0 };
        held.saturating_add(OVERHEAD)
    }
}

fn part(held: &[u8], from: u64, len: u64) -> &[u8] {
    let from = in_memory(from);
    held.get(from..from.saturating_add(in_memory(len))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold<'a>(budget: u64, dir: Option<&std::path::Path>, progress: &'a Arc<Progress>) -> Hold<'a> {
        let waiting = Waiting { memory_budget: budget, scratch_dir: dir.map(Into::into) };
        Hold::new(&waiting, Some(1 << 30), progress)
    }

    fn content() -> Vec<u8> {
        (0..=u8::MAX).flat_map(|byte| [byte; 3]).cycle().take(300_000).collect()
    }

    fn parts_come_back(hold: &mut Hold<'_>) {
        let content = content();
        hold.insert(1000, &content).unwrap();
        assert_eq!(hold.read(1000, 300_000).unwrap().unwrap(), content);
        assert_eq!(hold.read(70_000, 100).unwrap().unwrap(), content[69_000..69_100]);
        hold.remove(2000, 200_000);
        assert_eq!(hold.read(1000, 1000).unwrap().unwrap(), content[..1000]);
        assert_eq!(hold.read(200_000, 101_000).unwrap().unwrap(), content[199_000..]);
        assert_eq!(hold.stretch(300_000, 10_000), Ok(1000));
        assert_eq!(hold.stretch(500, 300_000), Err(500));
    }

    #[test]
    fn parts_are_taken_out_of_what_is_held_in_memory() {
        let progress = Arc::default();
        let mut hold = hold(1 << 20, None, &progress);
        parts_come_back(&mut hold);
        assert_eq!(hold.read_some(1000, 5000).unwrap(), content()[..1000]);
        assert_eq!(hold.read(1999, 2).unwrap(), None);
        assert_eq!(hold.stretch(1500, 10_000), Ok(500));
        assert_eq!(hold.stretch(2000, 300_000), Err(198_000));
        hold.clear();
        assert_eq!(hold.read(1000, 1).unwrap(), None);
        assert_eq!(progress.scratch.load(Relaxed), 0);
        assert!((300_000..301_000).contains(&progress.held_peak.load(Relaxed)));
    }

    #[test]
    fn parts_are_taken_out_of_what_was_spilled() {
        let (progress, dir) = (Arc::default(), tempfile::tempdir().unwrap());
        parts_come_back(&mut hold(100_000, Some(dir.path()), &progress));
        assert!(progress.scratch.load(Relaxed) > 200_000);
        assert!(progress.held_peak.load(Relaxed) <= 100_000 + 65_632);
    }

    #[test]
    fn zeros_take_no_memory() {
        let progress = Arc::default();
        let mut hold = hold(100_000, None, &progress);
        hold.insert(0, &vec![0; 4 << 20]).unwrap();
        hold.remove(1000, 2000);
        assert_eq!(hold.read(2000, 1 << 20).unwrap().unwrap(), vec![0; 1 << 20]);
        assert!(hold.in_memory < 1000);
        hold.remove(0, 4 << 20);
        assert_eq!((hold.read(999, 2).unwrap(), hold.in_memory), (None, 0));
    }

    #[test]
    fn zeros_at_the_end_of_what_was_spilled_are_read_back() {
        let (progress, dir) = (Arc::default(), tempfile::tempdir().unwrap());
        let mut hold = hold(1, Some(dir.path()), &progress);
        hold.insert(0, &[1; 4096]).unwrap();
        hold.insert(1 << 20, &[0; 4096]).unwrap();
        assert_eq!(hold.read(1 << 20, 4096).unwrap().unwrap(), [0; 4096]);
        assert_eq!(progress.scratch.load(Relaxed), 4096);
    }

    #[test]
    fn a_cut_that_takes_more_memory_than_it_saves_is_not_made() {
        let progress = Arc::default();
        let mut hold = hold(1 << 20, None, &progress);
        hold.insert(0, &content()[1000..60_000]).unwrap();
        let before = hold.in_memory;
        (0..590).for_each(|at| hold.remove(at * 100 + 10, at * 100 + 30));
        assert_eq!(hold.in_memory, before);
    }

    #[test]
    fn many_small_places_in_scratch_take_linear_time_and_bounded_memory() {
        let (progress, dir) = (Arc::default(), tempfile::tempdir().unwrap());
        let mut small = hold(1, Some(dir.path()), &progress);
        (0..30_000).for_each(|at| small.insert(at * 1024, &[1; 512]).unwrap());
        assert_eq!(small.read(29_999 * 1024, 512).unwrap().unwrap(), [1; 512]);
        assert_eq!(small.in_memory, 0);
        let mut large = hold(OVERHEAD * bytes(PLACES), Some(dir.path()), &progress);
        let error = (0..=bytes(PLACES)).find_map(|at| large.insert(at * 2, &[0]).err()).unwrap();
        assert!(error.to_string().contains("over more than 524288 places"), "{error}");
    }

    #[test]
    fn without_scratch_the_budget_is_the_end_and_names_what_is_needed() {
        let progress = Arc::default();
        let error = hold(100_000, None, &progress).insert(0, &content()).unwrap_err();
        assert_eq!(error.kind(), Kind::ScratchRequired);
        assert!(error.to_string().contains("at most 1073741824 bytes"), "{error}");
    }
}
