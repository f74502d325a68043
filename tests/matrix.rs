//! Every cell of the matrix against real servers, under both policies: the bytes, and the scratch.
//!
//! What to expect comes from the program's own table.

mod images;
mod registry;
mod upload;
mod web;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use diskpour::matrix::{Cell, Endpoint, Policy, Treatment, WITHOUT_RANGES};
use serde_json::Value;

use self::images::{Image, Images};
use crate::common::run::{self, Outcome};
use crate::common::tally::Tally;
use crate::common::{digest, workshop};

/// What became of one attempt to pour.
pub(crate) struct Poured {
    /// `None` where a server answers in place of an exit code.
    pub(crate) code: Option<i32>,
    /// Bytes that went to scratch, of a success.
    pub(crate) scratch: Option<u64>,
    /// What the user saw.
    pub(crate) words: String,
}

impl From<Outcome> for Poured {
    fn from(outcome: Outcome) -> Self {
        let scratch = (outcome.code == 0).then(|| outcome.number("scratch_bytes"));
        Self { code: Some(outcome.code), scratch, words: outcome.stderr }
    }
}

/// How an endpoint pours an image into a target with options.
type Pour<'a> = &'a dyn Fn(&Image, &Path, &[OsString]) -> Poured;

/// One row of `diskpour matrix --output json`.
struct Expected {
    sign: String,
    lean: String,
    strict: String,
}

/// The program's own words for the cell of `image` at `endpoint`.
fn expected(endpoint: &str, image: &Image) -> Expected {
    let outcome = run::diskpour().args(["matrix", "--output", "json"]).run();
    let Value::Array(cells) = outcome.expect(0).result() else { panic!("{}", outcome.stdout) };
    let wanted = |cell: &&Value| {
        cell["endpoint"] == endpoint
            && cell["format"] == image.format
            && cell["compression"] == image.compression
    };
    let found: Vec<&Value> = cells.iter().filter(wanted).collect();
    let [cell] = found[..] else { panic!("{} cells of {endpoint} {image:?}", found.len()) };
    let text = |field: &str| cell[field].as_str().unwrap().to_owned();
    Expected { sign: text("cdi_mark"), lean: text("lean"), strict: text("strict") }
}

/// CDI's footnote in place of the cell: the server serves no ranges.
fn footnote() -> Expected {
    let cell: Cell = WITHOUT_RANGES;
    let of = |policy| cell.allows(policy).name().to_owned();
    Expected { sign: cell.mark.sign().to_owned(), lean: of(Policy::Lean), strict: of(Policy::Strict) }
}

/// One endpoint and the directory that its tests work in.
struct Walk<'a> {
    dir: &'a Path,
    pour: Pour<'a>,
    tally: Tally,
}

/// Pours every image through an endpoint under both policies, with every kind of scratch directory.
fn walk(endpoint: Endpoint, images: &Images, pour: Pour<'_>) {
    let key = key(endpoint);
    walk_as(&key, images, pour, |image| expected(&key, image));
}

fn walk_as(title: &str, images: &Images, pour: Pour<'_>, expected: impl Fn(&Image) -> Expected) {
    let workshop = workshop();
    let mut walk = Walk { dir: workshop.path(), pour, tally: Tally::of(title) };
    // No directory can be made below a file, and root cannot either.
    fs::write(walk.file(), b"").unwrap();
    fs::create_dir(walk.dir.join("scratch")).unwrap();
    println!("{title}\n  {:<7}{:<13}{:<5}{:<22}strict", "format", "compression", "CDI", "lean");
    for image in images.all() {
        let expected = expected(image);
        let lean = walk.cell(image, "lean", &expected.lean);
        let strict = walk.cell(image, "strict", &expected.strict);
        let (format, compression) = (image.format, image.compression);
        println!("  {format:<7}{compression:<13}{:<5}{lean:<22}{strict}", expected.sign);
    }
    walk.tally.finish();
}

impl Walk<'_> {
    /// Tries one cell under one policy; what the table of the test says of it.
    fn cell(&mut self, image: &Image, policy: &str, treatment: &str) -> String {
        let name = format!("{} {} under {policy}", image.format, image.compression);
        let mut tally = std::mem::replace(&mut self.tally, Tally::of(""));
        let told = tally.case(name, || match treatment {
            "no-scratch" | "spill-only" => self.pours_without_scratch(image, policy),
            "stage" => self.stages(image, policy),
            "refused" => self.refuses(image, policy),
            other => panic!("the matrix says {other}"),
        });
        self.tally = tally;
        told.unwrap_or_else(|| "FAILED".to_owned())
    }

    /// Succeeds without a scratch directory, and with one that fails whoever touches it.
    fn pours_without_scratch(&self, image: &Image, policy: &str) -> String {
        for options in [Vec::new(), self.scratch(&self.poison()), self.scratch(&self.room())] {
            let poured = self.pour(image, policy, &options);
            self.succeeds(&poured, image);
            assert_eq!(poured.scratch, Some(0), "{options:?}: {}", poured.words);
        }
        self.is_tidy();
        "0 B of scratch".to_owned()
    }

    /// Puts the whole decoded image into scratch, and cannot do without.
    fn stages(&self, image: &Image, policy: &str) -> String {
        let poured = self.pour(image, policy, &self.scratch(&self.room()));
        self.succeeds(&poured, image);
        let staged = poured.scratch.unwrap();
        assert!(image.staged.contains(&staged), "{staged} bytes in scratch, not {:?}", image.staged);
        self.is_tidy();
        self.fails(&self.pour(image, policy, &[]), 42, "scratch required");
        // The same directory that the other cells never noticed.
        self.fails(&self.pour(image, policy, &self.scratch(&self.poison())), 7, "scratch directory");
        format!("{staged} B of scratch")
    }

    fn refuses(&self, image: &Image, policy: &str) -> String {
        for options in [Vec::new(), self.scratch(&self.room())] {
            self.fails(&self.pour(image, policy, &options), 6, "not supported under --scratch-policy strict");
        }
        self.is_tidy();
        "refused".to_owned()
    }

    fn pour(&self, image: &Image, policy: &str, options: &[OsString]) -> Poured {
        fs::remove_file(self.target()).ok();
        let mut all = vec!["--scratch-policy".into(), policy.into()];
        all.extend_from_slice(options);
        (self.pour)(image, &self.target(), &all)
    }

    #[track_caller]
    fn succeeds(&self, poured: &Poured, image: &Image) {
        assert!(poured.scratch.is_some(), "exit code {:?}: {}", poured.code, poured.words);
        assert_eq!(digest::disk(&self.target()), image.disk, "sha256");
    }

    #[track_caller]
    fn fails(&self, poured: &Poured, code: i32, words: &str) {
        assert_eq!(poured.code.unwrap_or(code), code, "{}", poured.words);
        assert!(poured.scratch.is_none() && poured.words.contains(words), "no {words:?} in {}", poured.words);
        assert!(!self.target().exists(), "the target is left");
    }

    #[track_caller]
    fn is_tidy(&self) {
        assert_eq!(fs::read_dir(self.room()).unwrap().count(), 0, "something is left in scratch");
    }

    fn scratch(&self, dir: &Path) -> Vec<OsString> {
        vec!["--scratch-dir".into(), dir.into()]
    }

    fn room(&self) -> PathBuf {
        self.dir.join("scratch")
    }

    fn poison(&self) -> PathBuf {
        self.file().join("scratch")
    }

    fn file(&self) -> PathBuf {
        self.dir.join("file")
    }

    fn target(&self) -> PathBuf {
        self.dir.join("target.img")
    }
}

/// The endpoint's name in the program's JSON.
fn key(endpoint: Endpoint) -> String {
    let key = match endpoint {
        Endpoint::Http => "http",
        Endpoint::Https => "https",
        Endpoint::HttpsCustomCa => "https-custom-ca",
        Endpoint::BasicAuth => "basic-auth",
        Endpoint::Registry => "registry",
        Endpoint::Upload => "upload",
    };
    key.to_owned()
}

#[test]
fn the_walk_leaves_out_no_cell_and_no_treatment() {
    let outcome = run::diskpour().args(["matrix", "--output", "json"]).run();
    let Value::Array(cells) = outcome.expect(0).result() else { panic!("{}", outcome.stdout) };
    let images = Images::new();
    assert_eq!(cells.len(), Endpoint::ALL.len() * images.all().len());
    let known = [Treatment::NoScratch, Treatment::SpillOnly, Treatment::Stage, Treatment::Refused];
    for cell in &cells {
        assert!(Endpoint::ALL.into_iter().any(|endpoint| cell["endpoint"] == key(endpoint)), "{cell}");
        let has = |image: &&Image| cell["format"] == image.format && cell["compression"] == image.compression;
        assert_eq!(images.all().iter().filter(has).count(), 1, "{cell}");
        for policy in ["lean", "strict"] {
            assert!(known.iter().any(|treatment| cell[policy] == treatment.name()), "{cell}");
        }
    }
}
