//! Container images in layouts, in archives, and in a registry within the test that does what real
//! ones rarely do.

mod layers;
mod network;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::common::oci::{Layer, OciLayout, Packing, layer};
use crate::common::run::{self, Outcome, Run};
use crate::common::{noise, workshop};

/// A layout, a disk to find in it, and a target.
struct Bench {
    workshop: tempfile::TempDir,
    layout: OciLayout,
    disk: Vec<u8>,
    target: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let workshop = workshop();
        let layout = OciLayout::new(workshop.path());
        let target = workshop.path().join("target");
        Self { layout, disk: noise(3 << 20, 77), target, workshop }
    }

    /// A layer with the disk at `path`.
    fn with_disk(&self, path: &str, packing: Packing) -> Layer {
        layer(&[(path, &self.disk)], packing)
    }

    /// The layout's only image is of these layers, from the bottom.
    fn holds(&mut self, layers: &[Layer]) {
        let image = self.layout.image("amd64", layers);
        self.tag(image);
    }

    fn tag(&mut self, descriptor: Value) {
        self.layout = OciLayout::new(self.workshop.path());
        self.layout.tag("latest", descriptor);
    }

    fn import(&self) -> Run {
        let source = format!("oci:{}:latest", self.layout.dir().display());
        run::import(source, &self.target).args(["--arch", "amd64"])
    }

    /// The disk arrives as it is.
    #[track_caller]
    fn pours(&self, run: Run) -> Outcome {
        let outcome = run.run();
        outcome.expect(0);
        assert!(fs::read(&self.target).unwrap() == self.disk, "another disk");
        fs::remove_file(&self.target).unwrap();
        outcome
    }

    /// The import ends with `code` and `words`, and leaves no target.
    #[track_caller]
    fn refuses(&self, run: Run, code: i32, words: &str) {
        run.run().expect(code).says(words);
        assert!(!self.target.exists());
    }
}
