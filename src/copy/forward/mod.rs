//! Forward: QCOW2 in one pass, while the bytes arrive.
//!
//! Each step takes in up to a MiB (or a cluster), learns from the tables in it, places the data
//! whose place is known, and lets go of what was placed. What no table has named yet is held, then
//! spilled; once all tables are in, what they do not name is dropped.

mod hold;
mod late;
mod placed;
mod ranges;
mod runs;
mod tables;
mod window;
mod worker;

use std::ops::Range;
use std::path::PathBuf;

use super::{Pouring, write_failed};
use crate::error::{Error, Kind};
use crate::format::addr::HostOffset;
use crate::format::extent::{Extent, Place, Sharing};
use crate::format::qcow2::{Header, Qcow2Error};
use crate::io::Sequential;

use hold::Hold;
use placed::Placed;
use ranges::Ranges;
use runs::Runs;
use tables::Tables;
use window::Window;
use worker::{Job, Workers};

/// Stretches that are placed at once: 3 MiB of them.
const BATCH: usize = 1 << 16;

/// Mappings of bytes to come that are kept at a time: 24 MiB of them. More mean that a table is looked
/// at again after the last byte.
const MAPPINGS: usize = 1 << 19;

/// Bytes of an L1 table that are no matter beside what waits.
const SMALL_TABLE: u64 = 1 << 20;

/// So many L1 entries that name a table take as much memory as a mapping.
const ENTRIES: usize = 3;

/// Where bytes wait whose place is not known yet.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Bytes that may wait in memory.
    pub memory_budget: u64,
    /// Where they wait beyond that.
    pub scratch_dir: Option<PathBuf>,
}

/// The state of one pass.
pub struct Forward<'a> {
    header: Header,
    /// The length of the image file where it is known before its end.
    len: Option<u64>,
    to: Pouring<'a>,
    window: Window,
    tables: Tables,
    runs: Runs,
    mappings: Option<usize>,
    hold: Hold<'a>,
    placed: Placed,
    workers: Workers<'a>,
    /// Stretches whose bytes came before their table.
    late: Vec<Extent>,
    /// Compressed clusters that began before their table and have not arrived whole.
    partly: Vec<Extent>,
    /// Host ranges of the window that need not be held.
    claims: Ranges,
}

/// What may wait in memory beside the L1 table of `header`, which stays there twice: an eighth of it at least.
fn beside(header: &Header, waiting: &Waiting) -> Waiting {
    let table = header.l1_len().saturating_mul(2).saturating_sub(SMALL_TABLE);
    let whole = waiting.memory_budget;
    Waiting { memory_budget: whole.saturating_sub(table).max(whole / 8), ..waiting.clone() }
}

impl<'a> Forward<'a> {
    /// A pass over an image of `len` bytes, where that is known, whose header was read already.
    #[must_use]
    pub fn new(header: Header, len: Option<u64>, waiting: &Waiting, to: Pouring<'a>) -> Self {
        let tables = Tables::new(&header);
        let mut claims = Ranges::default();
        tables.fixed().for_each(|range| claims.push(range));
        Self {
            window: Window::new(header.geometry.cluster_size(), len),
            claims,
            tables,
            runs: Runs::default(),
            mappings: None,
            hold: Hold::new(&beside(&header, waiting), len, to.progress),
            placed: Placed::default(),
            workers: Workers::new(&header, to),
            late: Vec::new(),
            partly: Vec::new(),
            header,
            len,
            to,
        }
    }

    /// The same pass, which keeps at most `mappings` of bytes to come at a time.
    #[must_use]
    pub fn with_mappings(self, mappings: usize) -> Self {
        Self { mappings: Some(mappings), ..self }
    }

    /// Pours the image that `stream` brings, from its first byte on, and reads the stream to its end.
    ///
    /// Memory: three clusters and a MiB of the image at hand, the L1 table four times while it comes and
    /// twice afterwards, up to 24 MiB of mappings whose data is still to come, up to 16 MiB of places of
    /// data that may be mapped again, 2 MiB for each worker, the budget for what waits less a large L1
    /// table, and up to 24 MiB of places in scratch.
    ///
    /// # Errors
    /// Whatever the stream or the target fail with; [`Qcow2Error`] for a damaged image; scratch
    /// required or full.
    pub fn run(self, mut stream: Sequential) -> Result<(), Error> {
        let stop = self.to.stop;
        self.follow(&mut stream).inspect_err(|error| {
            // The end of the stream waits for who reads ahead, and that one perhaps for a server that
            // has gone silent. Of a damaged image the checksum may still be wanted.
            if !matches!(error.kind(), Kind::Image | Kind::Integrity) {
                stop.ask(Kind::Other);
            }
        })
    }

    fn follow(mut self, stream: &mut Sequential) -> Result<(), Error> {
        let l1 = self.header.l1_offset;
        if let Some(len) = self.len.filter(|len| l1.plus(self.header.l1_len()).0 > *len) {
            return Err(Qcow2Error::Outside { what: "the L1 table", at: l1, len }.into());
        }
        loop {
            self.to.stop.check()?;
            self.window.fill(stream)?;
            self.learn()?;
            self.place()?;
            self.retire()?;
            if self.window.ended() {
                return self.end();
            }
        }
    }

    /// Takes in the tables that have arrived.
    fn learn(&mut self) -> Result<(), Error> {
        if self.tables.capture(&self.window, &self.header, self.len)? {
            self.to.sink.prepare(Some(self.header.virtual_size)).map_err(|cause| write_failed(0, cause))?;
            for (guest, len) in self.tables.unmapped(&self.header) {
                self.to.stop.check()?;
                self.to.sink.zero(guest, len).map_err(|cause| write_failed(guest.0, cause))?;
            }
        }
        let (whole, partly) =
            std::mem::take(&mut self.partly).into_iter().partition(|extent| !self.is_partly(extent));
        (self.late, self.partly) = (whole, partly);
        let mut put_off = None;
        while let Some((at, index)) = self.tables.arrived(&self.window) {
            match self.take_table(at, index, 0)? {
                Some(slice) => {
                    self.tables.defer(slice);
                    put_off = Some(at);
                }
                None => self.tables.took(),
            }
            // Several L1 entries may name one table.
            let again = self.tables.arrived(&self.window).is_some_and(|(next, _)| next == at);
            if !again && put_off != Some(at) {
                self.claim(at.0..at.plus(self.header.geometry.cluster_size()).0);
            }
        }
        self.place_late()
    }

    /// Takes in the table of the L1 entry `index` from the slice `first` on; returns the slice for
    /// which there is no room.
    fn take_table(&mut self, at: HostOffset, index: u32, first: u32) -> Result<Option<u32>, Error> {
        let (len, slices) = (self.header.geometry.slice_len(), self.header.geometry.slices());
        for slice in (first..).take_while(|slice| u64::from(*slice) < slices) {
            self.to.stop.check()?;
            let from = at.plus(len.saturating_mul(u64::from(slice))).0;
            let number = slices.saturating_mul(u64::from(index)).saturating_add(u64::from(slice));
            let extents = match self.window.bytes(from, len) {
                Some(bytes) => self.tables.extents(&self.header, (number, bytes), self.len)?,
                None => {
                    let bytes = self.hold.read(from, len)?.ok_or_else(|| shared("an L2 table"))?;
                    self.tables.extents(&self.header, (number, &bytes), self.len)?
                }
            };
            let kept = self.runs.len().saturating_add(self.partly.len());
            if kept > 0 && kept.saturating_add(extents.len()) > self.room() {
                return Ok(Some(slice));
            }
            self.take_in(extents)?;
            if self.late.len() >= BATCH {
                self.place_late()?;
            }
        }
        Ok(None)
    }

    /// Sorts a table's stretches: zeros at once, data to come, data that has gone by.
    fn take_in(&mut self, extents: Vec<Extent>) -> Result<(), Error> {
        let passed = self.window.retired();
        for extent in extents {
            match extent.place {
                Place::Zero => {
                    self.to.stop.check()?;
                    let zeroed = self.to.sink.zero(extent.guest, extent.len);
                    zeroed.map_err(|cause| write_failed(extent.guest.0, cause))?;
                }
                Place::Data(host) if host.0 < passed => {
                    let before = extent.len.min(passed.saturating_sub(host.0));
                    self.late.push(Extent { len: before, ..extent });
                    let rest = extent.len.saturating_sub(before);
                    if rest > 0 {
                        let place = Place::Data(host.plus(before));
                        self.runs.push(Extent {
                            guest: extent.guest.plus(before),
                            len: rest,
                            place,
                            ..extent
                        });
                    }
                }
                Place::Compressed { host, .. } if host.0 < passed && self.is_partly(&extent) => {
                    self.partly.push(extent);
                }
                Place::Compressed { host, .. } if host.0 < passed => self.late.push(extent),
                _ => self.runs.push(extent),
            }
        }
        Ok(())
    }

    /// Places the data in the window whose place is known.
    fn place(&mut self) -> Result<(), Error> {
        loop {
            let ready = self.runs.ready(self.window.end(), self.window.ended(), BATCH);
            let more = ready.len() == BATCH;
            let jobs: Vec<Job> = ready.into_iter().map(Job::new).collect();
            let consumed = self.workers.run(&jobs, &self.window, &self.hold)?;
            for (job, consumed) in jobs.iter().zip(consumed) {
                if job.extent.sharing == Sharing::Shared && !self.all_known() {
                    self.placed.remember(&job.extent);
                }
                self.claim(self.used_up(&job.extent, consumed));
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Mappings of bytes to come for which there is memory; a large L1 table leaves less of it.
    fn room(&self) -> usize {
        let entries = self.tables.count().checked_div(ENTRIES).unwrap_or(0);
        self.mappings.unwrap_or(MAPPINGS.saturating_sub(entries).max(BATCH))
    }

    /// The host range that is used up once `extent` has taken `consumed` bytes.
    ///
    /// A data cluster is used up as a whole: the subclusters that are not allocated hold nothing.
    fn used_up(&self, extent: &Extent, consumed: u64) -> Range<u64> {
        match extent.place {
            Place::Zero => 0..0,
            Place::Compressed { host, .. } => host.0..host.0.saturating_add(consumed),
            Place::Data(host) => {
                let size = self.header.geometry.cluster_size();
                let start = host.0.saturating_sub(host.0.checked_rem(size).unwrap_or(0));
                start..host.0.saturating_add(consumed).next_multiple_of(size)
            }
        }
    }

    /// Keeps in mind that `range` need not be held.
    fn claim(&mut self, range: Range<u64>) {
        if range.end > self.window.retired() {
            self.claims.push(range);
        }
    }

    /// Whether `extent` is a compressed cluster that has not arrived whole.
    fn is_partly(&self, extent: &Extent) -> bool {
        match extent.place {
            Place::Compressed { host, bound } => !self.window.reaches(host.plus(bound).0),
            _ => false,
        }
    }

    /// Lets go of the bytes that have been placed; the others are held while tables are missing.
    fn retire(&mut self) -> Result<(), Error> {
        let until = match self.window.ended() {
            true => self.window.end(),
            false => self.runs.waiting().min(self.tables.waiting(&self.window)).min(self.window.end()),
        };
        if self.all_known() {
            self.hold.clear();
            self.placed = Placed::default();
        } else {
            for gap in self.claims.gaps(self.window.retired()..until) {
                if let Some(held) = self.window.bytes(gap.start, gap.end.saturating_sub(gap.start)) {
                    self.hold.insert(gap.start, held)?;
                }
            }
        }
        self.claims.forget(until);
        self.window.retire(until);
        Ok(())
    }

    /// Whether no byte that went by can be named any more.
    fn all_known(&self) -> bool {
        self.tables.complete() && self.late.is_empty() && self.partly.is_empty()
    }

    /// After the last byte: everything that was mapped must have been there.
    fn end(mut self) -> Result<(), Error> {
        let len = self.window.end();
        if let Some((what, at)) = self.tables.missing(&self.header).or_else(|| self.runs.missing()) {
            return Err(Qcow2Error::Outside { what, at, len }.into());
        }
        self.len = Some(len);
        while let Some(((at, index), slice)) = self.tables.deferred() {
            if self.take_table(at, index, slice)?.is_some() {
                return Err(Error::new(Kind::Other, "no room where nothing is kept; this is a defect"));
            }
            self.place_late()?;
        }
        Ok(())
    }
}

/// An image that maps bytes again which have been let go, in a way that one pass cannot follow.
fn shared(what: &str) -> Error {
    unsupported(format!("maps {what} onto bytes that something else uses too"))
}

/// An image that is too much for one pass.
fn unsupported(why: String) -> Error {
    Qcow2Error::Unsupported(why + "; import it as a file or with ranges").into()
}
