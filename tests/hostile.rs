//! Images, streams and documents that want files, memory or time which are not theirs.
//!
//! Each case runs the built program in a cage: a directory with files that hostile images name, a target
//! that was there before, and limits on memory and on the processors' time.

mod amplify;
mod codecs;
mod documents;
mod header;
mod image;
mod tables;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::common::child::own_peak;
use crate::common::run::{self, Outcome, Run};
use crate::common::{digest, workshop};

/// More than any image may make the program take.
const MEMORY_LIMIT: u64 = 256 << 20;

/// Seconds of the processors' time, hundreds of times what a case takes.
const TIME_LIMIT: u64 = 20;

/// The largest disk that the target takes.
const CAPACITY: u64 = 64 << 20;

/// What hostile images want to read.
const CANARY: &str = "CANARY: must never be copied into a target";

/// What a target holds before.
static OLD: [u8; 64 << 10] = [0xa5; 64 << 10];

/// What becomes of a target that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Nothing: the import is refused before the first write.
    Untouched,
    /// It is emptied: the import ended half way.
    Emptied,
    /// What the file's length shows is seen before the first write; a pipe's shows at its end.
    SeenByLength,
}

/// A place for the cases of one class, and the worst of them.
struct Cage {
    workshop: TempDir,
    class: &'static str,
    cases: usize,
    memory: u64,
    time: Duration,
    failures: Vec<String>,
}

/// Everything in a directory: names, sizes and times of change.
type Listing = BTreeMap<PathBuf, (u64, i64, i64)>;

impl Cage {
    fn of(class: &'static str) -> Self {
        let workshop = workshop();
        fs::create_dir(workshop.path().join("canary")).unwrap();
        fs::write(workshop.path().join("canary/secret.raw"), CANARY.repeat(2000)).unwrap();
        let (memory, time) = (0, Duration::ZERO);
        Self { workshop, class, cases: 0, memory, time, failures: Vec::new() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.workshop.path().join(name)
    }

    fn target(&self) -> PathBuf {
        self.at("target")
    }

    /// The image refused as a file and from a pipe.
    fn refuses(&mut self, name: &str, image: &[u8], (code, words): (i32, &str), left: Left) {
        let file = self.at("image");
        fs::write(&file, image).unwrap();
        self.refuses_file(name, &file, (code, words), left);
        fs::remove_file(&file).unwrap();
    }

    /// The same of an image that is there already.
    fn refuses_file(&mut self, name: &str, file: &Path, (code, words): (i32, &str), left: Left) {
        let from_file = self.import(file);
        let state = if left == Left::SeenByLength { Left::Untouched } else { left };
        self.refusal(&format!("{name}, a file"), from_file, (code, words), state);
        let from_pipe = self.import("-").fed_from(file);
        let state = if left == Left::SeenByLength { Left::Emptied } else { left };
        self.refusal(&format!("{name}, a pipe"), from_pipe, (code, words), state);
    }

    /// The disk poured from a file and from a pipe, `sum` its digest.
    fn pours(&mut self, name: &str, file: &Path, sum: &str) {
        let runs = [self.import(file), self.import("-").fed_from(file)];
        for (run, way) in runs.into_iter().zip(["a file", "a pipe"]) {
            let outcome = self.run(run);
            let right = outcome.code == 0 && digest::disk(&self.target()) == sum;
            self.note(&format!("{name}, {way}"), right, &outcome);
        }
    }

    /// An import over a target that was there before and takes [`CAPACITY`] bytes.
    fn import(&self, source: impl AsRef<OsStr>) -> Run {
        self.import_within(CAPACITY, source)
    }

    /// The same, over one that takes `most` bytes.
    fn import_within(&self, most: u64, source: impl AsRef<OsStr>) -> Run {
        let run = run::import(source, self.target()).args(["--force", "--max-size"]);
        self.caged(run.arg(most.to_string()))
    }

    fn caged(&self, run: Run) -> Run {
        run.caged(self.workshop.path(), TIME_LIMIT)
    }

    /// Runs an import that must end with `code` and `words`, and change nothing but the target.
    fn refusal(&mut self, name: &str, run: Run, (code, words): (i32, &str), left: Left) {
        fs::write(self.target(), OLD).unwrap();
        let before = self.listing();
        let outcome = self.run(run);
        let said = outcome.stderr.to_lowercase().contains(&words.to_lowercase());
        self.note(name, outcome.code == code && said, &outcome);
        let found = fs::read(self.target()).unwrap_or_default();
        let kept = match left {
            Left::Untouched => found == OLD,
            Left::Emptied | Left::SeenByLength => found.is_empty(),
        };
        if !kept || self.listing() != before {
            self.failures.push(format!("{name}: {} bytes at the target, or others changed", found.len()));
        }
    }

    fn run(&mut self, run: Run) -> Outcome {
        let outcome = run.run();
        self.memory = self.memory.max(outcome.peak);
        self.time = self.time.max(outcome.cpu);
        self.cases += 1;
        outcome
    }

    fn note(&mut self, name: &str, right: bool, outcome: &Outcome) {
        let words = outcome.stderr.lines().last().unwrap_or_default();
        if !right {
            self.failures.push(format!("{name}: {} {words}", outcome.code));
        }
        // A child inherits the most that its parent had, which is much where tests run in threads.
        if outcome.peak > MEMORY_LIMIT && outcome.peak > own_peak() {
            self.failures.push(format!("{name}: {} MiB resident", outcome.peak >> 20));
        }
    }

    /// What lies in the cage, but for the target.
    fn listing(&self) -> Listing {
        let mut found = BTreeMap::new();
        let mut open = vec![self.workshop.path().to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let facts = fs::symlink_metadata(&path).unwrap();
                if facts.is_dir() {
                    open.push(path);
                } else if path != self.target() {
                    found.insert(path, (facts.len(), facts.mtime(), facts.mtime_nsec()));
                }
            }
        }
        found
    }

    /// Prints the class's line of the table, and fails when a case did.
    #[track_caller]
    fn finish(self) {
        let (mib, ms) = (self.memory >> 20, self.time.as_millis());
        println!("{}: {} cases, at most {mib} MiB and {ms} ms of processor", self.class, self.cases);
        assert!(self.failures.is_empty(), "{}:\n{}", self.class, self.failures.join("\n"));
    }
}

/// The file `path` of `count` times `piece`.
fn repeated(path: &Path, piece: &[u8], count: usize) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    for _ in 0..count {
        file.write_all(piece).unwrap();
    }
    file.into_inner().unwrap();
}

/// The digest of a disk of `len` zeros.
fn zeros(dir: &Path, len: u64) -> String {
    let path = dir.join("zeros");
    fs::File::create(&path).unwrap().set_len(len).unwrap();
    let sum = digest::disk(&path);
    fs::remove_file(path).unwrap();
    sum
}
