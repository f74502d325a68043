//! Block devices, as loop devices over files full of old bytes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the device holds before.
pub(crate) const OLD: u8 = 0xa5;

/// A loop device over a file; it is given back when dropped.
pub(crate) struct Device {
    pub(crate) path: PathBuf,
    file: PathBuf,
}

impl Device {
    /// A device of `len` bytes full of old data, or `None` where the machine gives none.
    pub(crate) fn new(dir: &Path, len: usize, sector: u32) -> Option<Self> {
        let file = dir.join(format!("device-{sector}"));
        fs::write(&file, vec![OLD; len]).unwrap();
        Self::over(file, sector)
    }

    /// A device of `len` bytes of which its file holds none yet.
    pub(crate) fn sparse(dir: &Path, len: u64) -> Option<Self> {
        let file = dir.join("device-sparse");
        File::create(&file).unwrap().set_len(len).unwrap();
        Self::over(file, 512)
    }

    fn over(file: PathBuf, sector: u32) -> Option<Self> {
        let mut command = Command::new("losetup");
        command.args(["--find", "--show", "--sector-size", &sector.to_string()]).arg(&file);
        let output = command.output().ok()?;
        if !output.status.success() {
            println!("skipped, no loop device: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        Some(Self { path, file })
    }

    /// What the device holds now.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        File::open(&self.path).unwrap().sync_all().ok();
        fs::read(&self.file).unwrap()
    }

    /// The bytes that the device takes of its file system.
    pub(crate) fn allocated(&self) -> u64 {
        fs::metadata(&self.file).unwrap().blocks() * 512
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.bytes().iter().all(|byte| *byte == OLD)
    }

    /// Old data everywhere again, through the device.
    pub(crate) fn reset(&self) {
        let device = OpenOptions::new().write(true).open(&self.path).unwrap();
        let len = usize::try_from(fs::metadata(&self.file).unwrap().len()).unwrap();
        device.write_all_at(&vec![OLD; len], 0).unwrap();
        device.sync_all().unwrap();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        Command::new("losetup").arg("--detach").arg(&self.path).status().ok();
    }
}
