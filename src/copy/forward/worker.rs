//! Placing stretches whose bytes are here, several at a time.

use super::hold::Hold;
use super::shared;
use super::window::Window;
use crate::codec::cluster::Inflater;
use crate::copy::gather::Gather;
use crate::copy::{CopyError, Pouring, bytes, in_memory};
use crate::error::{Error, Kind};
use crate::format::extent::{Extent, Place};
use crate::format::qcow2::{Compression, Header};
use crate::progress::Stop;

/// Fewer jobs than this for each worker are not worth a thread.
const WORTH_A_THREAD: usize = 4;

/// A stretch to place, whose bytes are in the window or held.
pub(super) struct Job {
    pub(super) extent: Extent,
}

impl Job {
    pub(super) fn new(extent: Extent) -> Self {
        Self { extent }
    }
}

/// The threads' tools, kept from step to step.
pub(super) struct Workers<'a> {
    workers: Vec<Worker<'a>>,
}

impl<'a> Workers<'a> {
    pub(super) fn new(header: &Header, to: Pouring<'a>) -> Self {
        let cluster = in_memory(header.geometry.cluster_size());
        let worker = || Worker {
            gather: Gather::new(to.sink, header.virtual_size, cluster),
            stop: to.stop,
            compression: header.compression,
            cluster,
            inflater: None,
        };
        Self { workers: (0..to.workers.max(1)).map(|_| worker()).collect() }
    }

    /// Places `jobs`; returns for each the host bytes that it consumed.
    pub(super) fn run(&mut self, jobs: &[Job], window: &Window, hold: &Hold<'_>) -> Result<Vec<u64>, Error> {
        let compressed = jobs.iter().any(|job| matches!(job.extent.place, Place::Compressed { .. }));
        let threads = if compressed { jobs.len() / WORTH_A_THREAD } else { 1 };
        let threads = threads.clamp(1, self.workers.len());
        if threads == 1 {
            let Some(worker) = self.workers.first_mut() else { return Ok(Vec::new()) };
            return worker.run(jobs, window, hold);
        }
        let share = jobs.len().div_ceil(threads);
        let results: Vec<_> = std::thread::scope(|scope| {
            let shares = self.workers.iter_mut().zip(jobs.chunks(share));
            let spawned: Vec<_> =
                shares.map(|(worker, jobs)| scope.spawn(move || worker.run(jobs, window, hold))).collect();
            spawned.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let mut consumed = Vec::with_capacity(jobs.len());
        for result in results {
            let defect = |_| Error::new(Kind::Other, "a worker failed; this is a defect");
            consumed.extend(result.map_err(defect)??);
        }
        Ok(consumed)
    }
}

struct Worker<'a> {
    gather: Gather<'a>,
    stop: &'a Stop,
    compression: Compression,
    cluster: usize,
    inflater: Option<Inflater>,
}

impl Worker<'_> {
    fn run(&mut self, jobs: &[Job], window: &Window, hold: &Hold<'_>) -> Result<Vec<u64>, Error> {
        let mut consumed = Vec::with_capacity(jobs.len());
        for job in jobs {
            self.stop.check()?;
            consumed.push(self.place(job, window, hold)?);
        }
        self.gather.flush()?;
        Ok(consumed)
    }

    fn place(&mut self, job: &Job, window: &Window, hold: &Hold<'_>) -> Result<u64, Error> {
        let extent = &job.extent;
        match extent.place {
            Place::Zero => Ok(0),
            Place::Data(host) => {
                match window.bytes(host.0, extent.len) {
                    Some(data) => self.gather.put(extent.guest, data)?,
                    None => {
                        let data = hold.read(host.0, extent.len)?.ok_or_else(|| shared("data"))?;
                        self.gather.put(extent.guest, &data)?;
                    }
                }
                Ok(extent.len)
            }
            Place::Compressed { host, bound } => {
                let bound_here = bound.min(window.end().saturating_sub(host.0));
                match window.bytes(host.0, bound_here) {
                    Some(input) => self.inflate(extent, input),
                    None => {
                        let input = available(host.0, bound_here, window, hold)?;
                        let whole = bytes(input.len()) == bound_here;
                        let consumed = self.inflate(extent, &input);
                        // With bytes missing, it is not the image that is at fault.
                        if whole { consumed } else { consumed.map_err(|_| shared("a compressed cluster")) }
                    }
                }
            }
        }
    }

    fn inflate(&mut self, extent: &Extent, input: &[u8]) -> Result<u64, Error> {
        let Place::Compressed { host, .. } = extent.place else { return Ok(0) };
        if self.inflater.is_none() {
            self.inflater = Inflater::new(self.compression);
        }
        let inflater = self.inflater.as_mut().ok_or(CopyError::NoMemory)?;
        let fill = |out: &mut [u8]| Ok(inflater.fill(host, input, out)?);
        let keep = in_memory(extent.len);
        self.gather.fill(extent.guest, self.cluster, keep, fill).map(bytes)
    }
}

/// As many of the `len` bytes at `at` as are held or at hand without a gap.
fn available(at: u64, len: u64, window: &Window, hold: &Hold<'_>) -> Result<Vec<u8>, Error> {
    let mut found = hold.read_some(at, len)?;
    let next = at.saturating_add(bytes(found.len()));
    let rest = len.saturating_sub(bytes(found.len()));
    if let Some(here) = window.bytes(next, rest) {
        found.extend_from_slice(here);
    }
    Ok(found)
}
