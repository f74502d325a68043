//! Doubles and devices for the tests of this room.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use tempfile::NamedTempFile;

use super::{Sink, SinkError};
use crate::format::addr::GuestOffset;

/// What a sink was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Prepare(Option<u64>),
    Write(u64, usize),
    Zero(u64, u64),
    Sync,
    Finish(u64),
    Revoke,
}

/// A sink in memory that writes down what it is asked to do; its clones are the same sink.
#[derive(Clone)]
pub(super) struct Recorder {
    capacity: Option<u64>,
    calls: Arc<Mutex<Vec<Call>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    pub(super) fn new(capacity: Option<u64>) -> Self {
        Self { capacity, calls: Arc::default(), bytes: Arc::default() }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Changes one byte behind the back of whoever wrote it.
    pub(super) fn flip(&self, at: usize) {
        let mut bytes = self.bytes.lock().unwrap();
        let len = bytes.len().max(at + 1);
        bytes.resize(len, 0);
        bytes[at] ^= 1;
    }

    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }

    fn put(&self, at: u64, with: &[u8]) {
        let (mut bytes, at) = (self.bytes.lock().unwrap(), usize::try_from(at).unwrap());
        let len = bytes.len().max(at + with.len());
        bytes.resize(len, 0);
        bytes[at..at + with.len()].copy_from_slice(with);
    }
}

impl Sink for Recorder {
    fn capacity(&self) -> Option<u64> {
        self.capacity
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        self.note(Call::Prepare(size));
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        self.note(Call::Write(at.0, buf.len()));
        self.put(at.0, buf);
        Ok(())
    }

    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        self.note(Call::Zero(at.0, len));
        self.put(at.0, &vec![0; usize::try_from(len).unwrap()]);
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        let (bytes, at) = (self.bytes.lock().unwrap(), usize::try_from(at.0).unwrap());
        buf.fill(0);
        let have = bytes.get(at..).unwrap_or_default();
        let count = have.len().min(buf.len());
        buf[..count].copy_from_slice(&have[..count]);
        Ok(())
    }

    fn sync(&self) -> Result<(), SinkError> {
        self.note(Call::Sync);
        Ok(())
    }

    fn finish(&self, virtual_size: u64) -> Result<(), SinkError> {
        self.note(Call::Finish(virtual_size));
        Ok(())
    }

    fn revoke(&self) -> Result<(), SinkError> {
        self.note(Call::Revoke);
        Ok(())
    }
}

/// A file as a block device, for as long as this lives.
pub(super) struct LoopDevice {
    path: PathBuf,
    backing: NamedTempFile,
}

impl LoopDevice {
    /// A device of `len` bytes of 0xA5 and of sectors of `sector` bytes; `None` where there are no loop devices.
    pub(super) fn new(len: usize, sector: u32) -> Option<Self> {
        let backing = NamedTempFile::new().unwrap();
        std::fs::write(backing.path(), vec![0xA5; len]).unwrap();
        let made = Command::new("losetup")
            .args(["--sector-size", &sector.to_string(), "-f", "--show"])
            .arg(backing.path())
            .output()
            .ok()
            .filter(|output| output.status.success());
        let Some(made) = made else {
            println!("skipped: loop devices need root and losetup");
            return None;
        };
        let path = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim());
        Some(Self { path, backing })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes a byte of the file behind the device, which that does not hear of.
    pub(super) fn rot(&self, at: u64) {
        let mut byte = [0];
        self.backing.as_file().read_exact_at(&mut byte, at).unwrap();
        self.backing.as_file().write_all_at(&[byte[0] ^ 1], at).unwrap();
    }

    /// What the device holds, read from the file behind it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let device = std::fs::File::open(&self.path).unwrap();
        device.sync_all().unwrap();
        std::fs::read(self.backing.path()).unwrap()
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
    }
}

/// A file system mounted for as long as this lives.
pub(super) struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// What `mount` makes of these arguments and a new directory; `None` where it cannot.
    pub(super) fn new(args: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(args).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { dir });
        }
        println!("skipped: to mount {args:?} needs root");
        None
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.dir.path()).status();
    }
}
