//! Stretches whose bytes came before their table: from what is held, or back from the target.

use super::ranges::Ranges;
use super::worker::Job;
use super::{Forward, shared};
use crate::copy::gather::pour;
use crate::copy::{bytes, in_memory, write_failed};
use crate::error::Error;
use crate::format::addr::GuestOffset;
use crate::format::extent::{Extent, Place, Sharing};

/// Bytes of data that one batch places.
const BATCH: u64 = 4 << 20;
/// Bytes of data that one job places.
const STEP: u64 = 1 << 20;

impl Forward<'_> {
    /// Places what came before its table.
    pub(super) fn place_late(&mut self) -> Result<(), Error> {
        let mut used = Ranges::default();
        let mut batch = Vec::new();
        let mut size = 0_u64;
        for extent in std::mem::take(&mut self.late) {
            for job in self.cut(extent)? {
                size = size.saturating_add(job.extent.len);
                batch.push(job);
                if size >= BATCH {
                    self.place_batch(&mut batch, &mut used)?;
                    size = 0;
                }
            }
        }
        self.place_batch(&mut batch, &mut used)?;
        for range in used.joined() {
            self.hold.remove(range.start, range.end);
            // Part of a late compressed cluster may still be at hand.
            self.claim(range.clone());
        }
        Ok(())
    }

    fn place_batch(&mut self, batch: &mut Vec<Job>, used: &mut Ranges) -> Result<(), Error> {
        self.to.stop.check()?;
        let jobs = std::mem::take(batch);
        let consumed = self.workers.run(&jobs, &self.window, &self.hold)?;
        for (job, consumed) in jobs.iter().zip(consumed) {
            used.push(self.used_up(&job.extent, consumed));
            if job.extent.sharing == Sharing::Shared {
                self.placed.remember(&job.extent);
            }
        }
        Ok(())
    }

    /// The jobs for what is held of `extent`; what is not held any more is copied back at once.
    fn cut(&mut self, extent: Extent) -> Result<Vec<Job>, Error> {
        match extent.place {
            Place::Zero => Ok(Vec::new()),
            Place::Data(host) => self.cut_data(extent, host.0),
            Place::Compressed { host, .. } => match self.hold.stretch(host.0, 1) {
                Ok(_) => Ok(vec![Job::new(extent)]),
                Err(_) => {
                    let (from, len) = self.placed.compressed(host.0).ok_or_else(|| shared("a cluster"))?;
                    if len < extent.len {
                        return Err(shared("a cluster"));
                    }
                    self.copy_back(from, extent.guest, extent.len)?;
                    Ok(Vec::new())
                }
            },
        }
    }

    fn cut_data(&mut self, extent: Extent, host: u64) -> Result<Vec<Job>, Error> {
        let mut jobs = Vec::new();
        let mut done = 0;
        while done < extent.len {
            let at = host.saturating_add(done);
            let guest = extent.guest.plus(done);
            let len = match self.hold.stretch(at, STEP.min(extent.len.saturating_sub(done))) {
                Ok(len) => {
                    let place = Place::Data(crate::format::addr::HostOffset(at));
                    jobs.push(Job::new(Extent { guest, len, place, ..extent }));
                    len
                }
                Err(missing) => {
                    let (from, len) = self.placed.data(at).ok_or_else(|| shared("data"))?;
                    let len = len.min(missing);
                    self.copy_back(from, guest, len)?;
                    len
                }
            };
            done = done.saturating_add(len);
        }
        Ok(jobs)
    }

    /// Copies `len` bytes of the guest's disk, as they were placed before, to another place of it.
    fn copy_back(&self, from: GuestOffset, to: GuestOffset, len: u64) -> Result<(), Error> {
        let mut buf = vec![0; in_memory(len.min(STEP))];
        let mut done = 0;
        while done < len {
            self.to.stop.check()?;
            let count = len.saturating_sub(done).min(bytes(buf.len()));
            let part = buf.get_mut(..in_memory(count)).unwrap_or_default();
            let read = self.to.sink.read_exact_at(part, from.plus(done));
            read.map_err(|cause| write_failed(from.plus(done).0, cause))?;
            pour(self.to.sink, to.plus(done), part)?;
            done = done.saturating_add(count);
        }
        Ok(())
    }
}
