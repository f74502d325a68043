//! File systems that are mounted for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system; it is unmounted when dropped.
pub(crate) struct Mount {
    dir: PathBuf,
}

impl Mount {
    /// What `mount` makes of `args` at the new directory `dir`; `None`, and the reason is printed, where
    /// it makes nothing.
    pub(crate) fn new(args: &[&str], dir: &Path) -> Option<Self> {
        Self::with(args, Stdio::null(), dir)
    }

    /// As [`Mount::new`], with `stdin` as the standard input of `mount`.
    pub(crate) fn with(args: &[&str], stdin: Stdio, dir: &Path) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let mut command = Command::new("mount");
        let output = command.args(args).arg(dir).stdin(stdin).output().ok()?;
        if !output.status.success() {
            println!("skipped, no mount: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        Some(Self { dir: dir.to_owned() })
    }

    /// A file system in memory of `size` bytes.
    pub(crate) fn memory(size: u64, dir: &Path) -> Option<Self> {
        Self::new(&["-t", "tmpfs", "-o", &format!("size={size}"), "none"], dir)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What is in use still goes when it is not any more.
        Command::new("umount").arg("-l").arg(&self.dir).status().ok();
    }
}
