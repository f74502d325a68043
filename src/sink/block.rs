//! A block device as a target: full of old bytes, and all of them must go where the disk lies.
//!
//! What lies behind the disk is left alone. Without `finish` the first MiB is zero and the rest
//! of the disk's range undefined.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::ladder::Ladder;
use super::marker::Marker;
use super::outlet::Outlet;
use super::resume::Lasting;
use super::{MIB, Sink, SinkError, TargetSpec, fits, in_memory, len_of};
use crate::format::addr::GuestOffset;
use crate::journal::Ranges;
use crate::progress::Progress;
use crate::sys::block::{logical_block, size};

/// A block device that nobody else has claimed.
pub(super) struct BlockSink {
    outlet: Outlet,
    ladder: Ladder,
    capacity: u64,
    progress: Arc<Progress>,
    head: OnceLock<Head>,
    /// Whether there may be data where the head was zeroed.
    head_written: AtomicBool,
    /// The device is complete, or was taken back.
    settled: AtomicBool,
}

/// What `prepare` did to the start of the device.
struct Head {
    /// Bytes that were zeroed.
    len: u64,
    /// What they were, as long as it is not known how many of them belong to the disk.
    old: Vec<u8>,
}

impl BlockSink {
    /// The device at `path`, claimed but not changed.
    pub(super) fn open(path: &Path, spec: &TargetSpec, progress: Arc<Progress>) -> Result<Self, SinkError> {
        let failed = |action| move |cause| SinkError::failed(action, path, None, cause);
        let device = claim(path)?;
        let block = logical_block(&device).map_err(failed("ask for the block size of"))?;
        let bytes = size(&device).map_err(failed("ask for the size of"))?;
        // The part of a block at the very end cannot be written.
        let bytes = bytes.saturating_sub(bytes.checked_rem(block).unwrap_or(0));
        Ok(Self {
            outlet: Outlet::new(path, device, block),
            ladder: Ladder::new(spec.preallocation),
            capacity: spec.max_size.map_or(bytes, |most| most.min(bytes)),
            progress,
            head: OnceLock::new(),
            head_written: AtomicBool::new(false),
            settled: AtomicBool::new(false),
        })
    }

    fn zero_head(&self) -> Result<(), SinkError> {
        let Some(head) = self.head.get() else { return Ok(()) };
        self.outlet.write_zeros(0, head.len)?;
        self.outlet.sync()?;
        self.head_written.store(false, Relaxed);
        Ok(())
    }

    /// Gives back what was zeroed behind the end of a disk that turned out short.
    fn restore(&self, virtual_size: u64) -> Result<(), SinkError> {
        let old =
            self.head.get().and_then(|head| head.old.get(in_memory(virtual_size)..)).unwrap_or_default();
        self.outlet.write_all_at(old, virtual_size)
    }

    fn changed(&self, at: GuestOffset) {
        if at.0 < MIB {
            self.head_written.store(true, Relaxed);
        }
    }
}

impl Sink for BlockSink {
    fn capacity(&self) -> Option<u64> {
        Some(self.capacity)
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        fits(size.unwrap_or(0), self.capacity())?;
        let len = size.unwrap_or(u64::MAX).min(self.capacity).min(MIB);
        let mut old = vec![0; if size.is_none() { in_memory(len) } else { 0 }];
        self.outlet.read_exact_at(&mut old, 0)?;
        self.head.get_or_init(|| Head { len, old });
        self.zero_head()
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        fits(at.plus(len_of(buf)).0, self.capacity())?;
        self.changed(at);
        self.outlet.write_all_at(buf, at.0)?;
        self.progress.written.fetch_add(len_of(buf), Relaxed);
        Ok(())
    }

    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        fits(at.plus(len).0, self.capacity())?;
        self.ladder.zero(&self.outlet, at.0, len)?;
        self.progress.zeroed.fetch_add(len, Relaxed);
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        self.outlet.read_exact_at(buf, at.0)
    }

    fn sync(&self) -> Result<(), SinkError> {
        self.outlet.sync()
    }

    fn finish(&self, virtual_size: u64) -> Result<(), SinkError> {
        fits(virtual_size, self.capacity())?;
        self.restore(virtual_size)?;
        self.outlet.finish()?;
        self.settled.store(true, Relaxed);
        Ok(())
    }

    fn revoke(&self) -> Result<(), SinkError> {
        self.zero_head()
    }
}

impl Lasting for BlockSink {
    fn marker(&self, scratch: Option<&Path>) -> Option<Marker> {
        scratch.map(|directory| Marker::within(directory, self.outlet.path()))
    }

    /// Nothing to do: every byte that is not kept is written or zeroed on a device.
    fn keep(&self, _kept: Ranges) {}

    /// Nothing to do: an unfinished device has nothing but zeros where its head goes.
    fn leave(&self) {}
}

impl Drop for BlockSink {
    fn drop(&mut self) {
        if !self.settled.load(Relaxed) && self.head_written.load(Relaxed) {
            // The import failed already; its error is the one to tell.
            let _ = self.zero_head();
        }
    }
}

/// Opens the device for us alone.
fn claim(path: &Path) -> Result<File, SinkError> {
    let flags = libc::O_EXCL | libc::O_NOFOLLOW;
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    let device = opened.map_err(|cause| match cause.kind() {
        io::ErrorKind::ResourceBusy => {
            let why =
                "is in use: mounted, or claimed by LVM, RAID, swap or another program; release it first";
            SinkError::Busy { path: path.to_path_buf(), why }
        }
        _ => SinkError::failed("open", path, None, cause),
    })?;
    match device.metadata() {
        Ok(found) if found.file_type().is_block_device() => Ok(device),
        Ok(_) => Err(SinkError::Unfit { path: path.to_path_buf(), why: "is a block device no more" }),
        Err(cause) => Err(SinkError::failed("look at", path, None, cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::LoopDevice;
    use super::super::{Existing, Preallocation, Verifier, open};
    use super::*;
    use crate::error::{Error, Kind};
    use crate::progress::Stop;

    const OLD: u8 = 0xA5;
    const ALL: [Preallocation; 3] = [Preallocation::Off, Preallocation::Falloc, Preallocation::Full];

    fn spec(path: &Path, preallocation: Preallocation) -> TargetSpec {
        TargetSpec { path: path.to_path_buf(), preallocation, existing: Existing::Refuse, max_size: None }
    }

    fn opened(device: &LoopDevice) -> Box<dyn Sink> {
        open(&spec(device.path(), Preallocation::Off), Arc::default()).unwrap()
    }

    /// Data at both ends and in the middle, zeros between, from a buffer of any address.
    fn pour(sink: &dyn Sink, size: u64, told: Option<u64>) -> Vec<u8> {
        let mut image = vec![0; in_memory(size)];
        sink.prepare(told).unwrap();
        let mut at = 0;
        for (index, len) in [5000, 300_000, 700, 2 << 20, 512, 70_000].into_iter().cycle().enumerate() {
            let end = image.len().min(at + len);
            if index % 2 == 0 {
                image[at..end].fill(u8::try_from(index % 200 + 1).unwrap());
                sink.write_all_at(&image[at..end], GuestOffset(at as u64)).unwrap();
            } else {
                sink.zero(GuestOffset(at as u64), (end - at) as u64).unwrap();
            }
            at = end;
            if at == image.len() {
                break;
            }
        }
        sink.finish(size).unwrap();
        image
    }

    #[test]
    fn the_disk_is_defined_and_what_lies_behind_it_is_left_alone() {
        let sizes = [512, 4096, 4608, 300 << 10, MIB, MIB + 512, (5 << 20) + 512, 6 << 20];
        for (sector, len) in [(512, 6 << 20), (512, (6 << 20) + 512), (4096, 6 << 20)] {
            for (index, size) in sizes.into_iter().enumerate() {
                let Some(device) = LoopDevice::new(len, sector) else { return };
                let told = [Some(size), None][index % 2];
                let sink = open(&spec(device.path(), ALL[index % 3]), Arc::default()).unwrap();
                let image = pour(sink.as_ref(), size, told);
                drop(sink);
                let bytes = device.bytes();
                let (disk, tail) = bytes.split_at(image.len());
                assert!(disk == image, "sectors of {sector}, device of {len}, image of {size}");
                assert!(tail.iter().all(|byte| *byte == OLD), "tail of {sector}, {len}, {size}");
            }
        }
    }

    #[test]
    fn an_image_that_fills_a_device_to_its_last_sector_fits_and_one_more_does_not() {
        let len = (2 << 20) + 512;
        let Some(device) = LoopDevice::new(len, 512) else { return };
        let sink = opened(&device);
        assert_eq!(sink.capacity(), Some(len as u64));
        let error = Error::from(sink.prepare(Some(len as u64 + 1)).unwrap_err());
        assert_eq!(error.kind(), Kind::TargetFull);
        assert!(sink.zero(GuestOffset(len as u64 - 512), 1024).is_err());
        assert!(sink.write_all_at(&[1; 513], GuestOffset(len as u64 - 512)).is_err());
        drop(sink);
        assert!(device.bytes().iter().all(|byte| *byte == OLD), "refused means untouched");
        let image = pour(opened(&device).as_ref(), len as u64, Some(len as u64));
        assert!(device.bytes() == image);
    }

    #[test]
    fn a_limit_below_the_device_is_its_capacity() {
        let Some(device) = LoopDevice::new(2 << 20, 512) else { return };
        let spec = TargetSpec { max_size: Some(MIB), ..spec(device.path(), Preallocation::Off) };
        assert_eq!(open(&spec, Arc::default()).unwrap().capacity(), Some(MIB));
    }

    #[test]
    fn a_device_that_is_claimed_is_refused() {
        let Some(device) = LoopDevice::new(1 << 20, 512) else { return };
        let claimed = claim(device.path()).unwrap();
        let error =
            BlockSink::open(device.path(), &spec(device.path(), ALL[0]), Arc::default()).err().unwrap();
        assert!(matches!(error, SinkError::Busy { .. }), "{error}");
        drop(claimed);
        opened(&device);
    }

    #[test]
    fn a_link_leads_to_the_device() {
        let Some(device) = LoopDevice::new(1 << 20, 512) else { return };
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("by-id");
        std::os::unix::fs::symlink(device.path(), &link).unwrap();
        let sink = open(&spec(&link, Preallocation::Off), Arc::default()).unwrap();
        assert_eq!(sink.capacity(), Some(MIB));
    }

    #[test]
    fn from_prepare_to_finish_the_first_mebibyte_is_zero_on_the_device() {
        let Some(device) = LoopDevice::new(4 << 20, 4096) else { return };
        let sink = opened(&device);
        assert!(device.bytes().iter().all(|byte| *byte == OLD), "open changes nothing");
        sink.prepare(Some(4 << 20)).unwrap();
        assert!(crate::io::is_zero(&device.bytes()[..1 << 20]));
        sink.write_all_at(&[7; 2 << 20], GuestOffset(0)).unwrap();
        sink.sync().unwrap();
        assert!(crate::io::is_zero(&device.bytes()[..1 << 20]));
        drop(sink);
        let bytes = device.bytes();
        assert!(
            crate::io::is_zero(&bytes[..1 << 20]) && bytes[1 << 20..2 << 20].iter().all(|byte| *byte == 7)
        );
    }

    #[test]
    fn a_device_that_fails_while_its_head_is_written_is_zeroed_there_again() {
        let Some(device) = LoopDevice::new(2 << 20, 512) else { return };
        let bare = BlockSink::open(device.path(), &spec(device.path(), ALL[0]), Arc::default()).unwrap();
        bare.prepare(Some(2 << 20)).unwrap();
        bare.write_all_at(&[7; 4096], GuestOffset(0)).unwrap();
        drop(bare);
        assert!(crate::io::is_zero(&device.bytes()[..1 << 20]));
        let sink = opened(&device);
        pour(sink.as_ref(), 2 << 20, Some(2 << 20));
        sink.revoke().unwrap();
        drop(sink);
        assert!(crate::io::is_zero(&device.bytes()[..1 << 20]), "revoked");
    }

    #[test]
    fn what_verification_reads_comes_from_the_device_and_not_from_the_page_cache() {
        let size = (3 << 20) + 512;
        // In the first MiB, in a later one, in the end that no direct read reaches; nowhere.
        for at in [Some(7), Some(2 << 20), Some(size - 1), None] {
            let Some(device) = LoopDevice::new(4 << 20, 512) else { return };
            let sink = Verifier::new(opened(&device));
            sink.prepare(Some(size)).unwrap();
            sink.write_all_at(&vec![7; in_memory(size)], GuestOffset(0)).unwrap();
            sink.finish(size).unwrap();
            at.into_iter().for_each(|at| device.rot(at));
            let verified = sink.verify(size, &Progress::default(), &Stop::default());
            assert_eq!(verified.map_err(|error| error.kind()), at.map_or(Ok(()), |_| Err(Kind::Integrity)));
            drop(sink);
            let blank = crate::io::is_zero(&device.bytes()[..1 << 20]);
            assert_eq!(blank, at.is_some(), "{at:?}");
        }
    }

    #[test]
    fn bytes_are_counted_once() {
        let Some(device) = LoopDevice::new(4 << 20, 512) else { return };
        let progress = Arc::new(Progress::default());
        let sink = open(&spec(device.path(), Preallocation::Off), Arc::clone(&progress)).unwrap();
        pour(sink.as_ref(), 4 << 20, None);
        let sum = progress.written.load(Relaxed) + progress.zeroed.load(Relaxed);
        assert_eq!(sum, 4 << 20);
    }
}
