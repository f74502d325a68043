//! How every pod of ours pours, whatever its source.
//!
//! Refuses to know: what a pod's environment says of the image.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::choices::{
    CompressionChoice, ContentType, FormatChoice, OutputStyle, Overwrite, Resume, Verify,
};
use crate::config::environment::text;
use crate::config::meaning::processors;
use crate::config::{ImportConfig, ProgressStyle};
use crate::format::preallocation::Preallocation;
use crate::matrix::Policy;
use crate::source::{Locator, NetworkOptions};

/// Longer than any pause of a server or a client that comes back.
const IDLE: Duration = Duration::from_secs(600);

/// A disk image from nowhere to nowhere, as a pod pours it.
pub(super) fn pouring() -> ImportConfig {
    let strict = text("DISKPOUR_SCRATCH_POLICY").is_some_and(|policy| policy == "strict");
    ImportConfig {
        source: Locator::default(),
        target: PathBuf::new(),
        content_type: ContentType::Kubevirt,
        format: FormatChoice::Auto,
        compression: CompressionChoice::Auto,
        checksum: None,
        scratch_dir: None,
        policy: if strict { Policy::Strict } else { Policy::Lean },
        memory_budget: 64 << 20,
        connections: 1,
        network: NetworkOptions::default().into(),
        workers: processors(),
        // What is shorter than a sector is no disk, and the controller expects a failure.
        least: 512,
        size: None,
        max_size: None,
        preallocation: Preallocation::Off,
        // What lies where the disk goes is always an earlier try of ours.
        overwrite: Overwrite::Force,
        verify: Verify::Off,
        resume: Resume::Off,
        idle_timeout: IDLE,
        progress: ProgressStyle::Plain,
        output: OutputStyle::Text,
    }
}
