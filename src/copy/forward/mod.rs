//! Forward: QCOW2 in one pass, while the bytes arrive.
//!
//! Each step takes in up to a MiB (or a cluster), learns from the tables in it, places the data
//! whose place is known, and lets go of what was placed. What no table has named yet is held, then
//! spilled; once all tables are in, what they do not name is dropped.

mod hold;
mod late;
mod placed;
mod runs;
mod tables;
mod window;
mod worker;

use std::ops::Range;
use std::path::PathBuf;

use super::{Pouring, write_failed};
use crate::error::Error;
use crate::format::extent::{Extent, Place, Sharing};
use crate::format::qcow2::{Header, Qcow2Error};
use crate::io::Sequential;

use hold::Hold;
use placed::Placed;
use runs::Runs;
use tables::Tables;
use window::Window;
use worker::{Job, Workers};

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
    hold: Hold<'a>,
    placed: Placed,
    workers: Workers<'a>,
    /// Stretches whose bytes came before their table.
    late: Vec<Extent>,
    /// Host ranges of the window that need not be held.
    claims: Vec<Range<u64>>,
}

impl<'a> Forward<'a> {
    /// A pass over an image of `len` bytes, where that is known, whose header was read already.
    #[must_use]
    pub fn new(header: Header, len: Option<u64>, waiting: &Waiting, to: Pouring<'a>) -> Self {
        let tables = Tables::new(&header);
        Self {
            window: Window::new(header.geometry.cluster_size()),
            claims: tables.fixed().collect(),
            tables,
            runs: Runs::default(),
            hold: Hold::new(waiting, len, to.progress),
            placed: Placed::default(),
            workers: Workers::new(&header, to),
            late: Vec::new(),
            header,
            len,
            to,
        }
    }

    /// Pours the image that `stream` brings, from its first byte on, and reads the stream to its end.
    ///
    /// Memory: three clusters and a MiB of the image at hand, the L1 table twice, up to 32 MiB of
    /// mappings whose data is still to come, up to 16 MiB of places of data that may be mapped again,
    /// 2 MiB for each worker, and the budget for what waits.
    ///
    /// # Errors
    /// Whatever the stream or the target fail with; [`Qcow2Error`] for a damaged image; scratch
    /// required or full.
    pub fn run(mut self, mut stream: Sequential) -> Result<(), Error> {
        loop {
            self.to.stop.check()?;
            self.window.fill(&mut stream)?;
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
                self.to.sink.zero(guest, len).map_err(|cause| write_failed(guest.0, cause))?;
            }
        }
        while let Some((at, index)) = self.tables.arrived(&self.window) {
            self.to.stop.check()?;
            let size = self.header.geometry.cluster_size();
            let extents = match self.window.bytes(at.0, size) {
                Some(table) => self.tables.extents(&self.header, index, table, self.len)?,
                None => {
                    let table = self.hold.read(at.0, size)?.ok_or_else(|| shared("an L2 table"))?;
                    self.tables.extents(&self.header, index, &table, self.len)?
                }
            };
            if self.runs.has_room_for(extents.len()) {
                self.tables.took();
                self.claims.push(at.0..at.0.saturating_add(size));
                self.take_in(extents)?;
            } else {
                self.tables.defer();
            }
        }
        self.place_late()
    }

    /// Sorts a table's stretches: zeros at once, data to come, data that has gone by.
    fn take_in(&mut self, extents: Vec<Extent>) -> Result<(), Error> {
        let passed = self.window.retired();
        for extent in extents {
            match extent.place {
                Place::Zero => {
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
                Place::Compressed { host, .. } if host.0 < passed => self.late.push(extent),
                _ => self.runs.push(extent),
            }
        }
        Ok(())
    }

    /// Places the data in the window whose place is known.
    fn place(&mut self) -> Result<(), Error> {
        let ready = self.runs.ready(self.window.end(), self.window.ended());
        let jobs: Vec<Job> = ready.into_iter().map(Job::new).collect();
        let consumed = self.workers.run(&jobs, &self.window, &self.hold)?;
        for (job, consumed) in jobs.iter().zip(consumed) {
            if job.extent.sharing == Sharing::Shared && !self.all_known() {
                self.placed.remember(&job.extent);
            }
            self.claims.push(self.claimed(&job.extent, consumed));
        }
        Ok(())
    }

    /// The host range that is used up once `extent` has taken `consumed` bytes.
    ///
    /// A data cluster is used up as a whole: the subclusters that are not allocated hold nothing.
    fn claimed(&self, extent: &Extent, consumed: u64) -> Range<u64> {
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
            for gap in gaps(&mut self.claims, self.window.retired()..until) {
                if let Some(held) = self.window.bytes(gap.start, gap.end.saturating_sub(gap.start)) {
                    self.hold.insert(gap.start, held)?;
                }
            }
        }
        self.claims.retain(|claim| claim.end > until);
        self.window.retire(until);
        Ok(())
    }

    /// Whether no byte that went by can be named any more.
    fn all_known(&self) -> bool {
        self.tables.complete() && self.late.is_empty()
    }

    /// After the last byte: everything that was mapped must have been there.
    fn end(mut self) -> Result<(), Error> {
        let len = self.window.end();
        if let Some((what, at)) = self.tables.missing(&self.header).or_else(|| self.runs.missing()) {
            return Err(Qcow2Error::Outside { what, at, len }.into());
        }
        while let Some((at, index)) = self.tables.deferred() {
            self.to.stop.check()?;
            let size = self.header.geometry.cluster_size();
            let table = self.hold.read(at.0, size)?.ok_or_else(|| shared("an L2 table"))?;
            let extents = self.tables.extents(&self.header, index, &table, Some(len))?;
            self.take_in(extents)?;
            self.place_late()?;
        }
        self.place_late()
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

/// The parts of `within` that no claim covers; sorts and joins the claims.
fn gaps(claims: &mut [Range<u64>], within: Range<u64>) -> Vec<Range<u64>> {
    claims.sort_unstable_by_key(|claim| claim.start);
    let mut found = Vec::new();
    let mut at = within.start;
    for claim in claims.iter() {
        if claim.start > at && at < within.end {
            found.push(at..claim.start.min(within.end));
        }
        at = at.max(claim.end);
    }
    if at < within.end {
        found.push(at..within.end);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_no_claim_covers() {
        let found = |claims: &[(u64, u64)]| {
            let mut claims: Vec<_> = claims.iter().map(|(start, end)| *start..*end).collect();
            gaps(&mut claims, 10..100).iter().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), [(10, 100)]);
        assert_eq!(found(&[(0, 200)]), []);
        assert_eq!(found(&[(50, 60), (0, 20), (55, 70)]), [(20, 50), (70, 100)]);
        assert_eq!(found(&[(90, 200), (100, 300)]), [(10, 90)]);
        assert_eq!(found(&[(100, 300), (0, 10)]), [(10, 100)]);
    }
}
