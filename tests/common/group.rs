//! A control group with little memory, of either version of the kernel's interface.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the groups are, what limits one, and what tells the most that it used.
const VERSIONS: [(&str, &str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    ("/sys/fs/cgroup", "memory.max", "memory.peak"),
];

/// A group that ends with the test.
pub(crate) struct Group {
    dir: PathBuf,
    peak: &'static str,
}

impl Group {
    /// A group of at most `bytes`, the page cache included; `None` where none can be made.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        VERSIONS.into_iter().find_map(|(root, limit, peak)| {
            let dir = Path::new(root).join(format!("diskpour-test-{}-{bytes}", std::process::id()));
            fs::create_dir(&dir).ok()?;
            let group = Self { dir, peak };
            fs::write(group.dir.join(limit), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The most bytes that were used at a time, where the kernel says.
    pub(crate) fn peak(&self) -> Option<u64> {
        fs::read_to_string(self.dir.join(self.peak)).ok()?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.dir).ok();
    }
}
