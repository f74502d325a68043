//! A journal's life: what it promises, and what becomes of it when the target fails.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::marker::Marker;
use super::resume::{Lasting, Resumable};
use super::testing::{Call, Recorder};
use super::{MIB, Sink, SinkError, in_memory};
use crate::format::addr::GuestOffset;
use crate::journal::{Key, Ranges};
use crate::progress::Progress;

/// A target in memory whose disk may fail, and whose journal lies in a directory.
struct Target {
    recorder: Recorder,
    directory: PathBuf,
    kept: Mutex<Vec<Ranges>>,
    /// The next flush fails, once: the one after it knows nothing of that.
    broken: AtomicBool,
}

impl Sink for Target {
    fn capacity(&self) -> Option<u64> {
        None
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        self.recorder.prepare(size)
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        self.recorder.write_all_at(buf, at)
    }

    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        self.recorder.zero(at, len)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        self.recorder.read_exact_at(buf, at)
    }

    fn sync(&self) -> Result<(), SinkError> {
        if self.broken.swap(false, Relaxed) {
            let cause = io::Error::from_raw_os_error(libc::EIO);
            return Err(SinkError::failed("flush", Path::new("disk"), None, cause));
        }
        self.recorder.sync()
    }

    fn finish(&self, virtual_size: u64) -> Result<(), SinkError> {
        self.recorder.finish(virtual_size)
    }

    fn revoke(&self) -> Result<(), SinkError> {
        self.recorder.revoke()
    }
}

impl Lasting for Target {
    fn marker(&self, _scratch: Option<&Path>) -> Option<Marker> {
        Some(Marker::within(&self.directory, Path::new("disk")))
    }

    fn keep(&self, kept: Ranges) {
        self.kept.lock().unwrap().push(kept);
    }

    fn leave(&self) {
        self.recorder.flip(0);
    }
}

struct Scene {
    dir: tempfile::TempDir,
    recorder: Recorder,
    target: Arc<Target>,
}

impl Scene {
    fn new() -> Self {
        let (dir, recorder) = (tempfile::tempdir().unwrap(), Recorder::new(None));
        let target = Self::target(dir.path(), &recorder);
        Self { dir, recorder, target }
    }

    fn target(dir: &Path, recorder: &Recorder) -> Arc<Target> {
        Arc::new(Target {
            recorder: recorder.clone(),
            directory: dir.to_path_buf(),
            kept: Mutex::default(),
            broken: AtomicBool::new(false),
        })
    }

    /// A new run over the same target.
    fn run(&mut self, key: &Key) -> Resumable {
        self.target = Self::target(self.dir.path(), &self.recorder);
        let sink = Resumable::new(Arc::<Target>::clone(&self.target), Arc::new(Progress::default()));
        sink.resume(key.clone(), None);
        sink
    }

    fn journal(&self) -> Option<String> {
        fs::read_to_string(self.dir.path().join(".disk.diskpour")).ok()
    }

    /// Waits for an entry that has `words`.
    fn entered(&self, words: &str) {
        until(words, || self.journal().is_some_and(|text| text.contains(words)));
    }
}

/// Waits until `happened`, for a while.
fn until(what: &str, happened: impl Fn() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn key() -> Key {
    Key::new("place", "validator", "raw")
}

fn write(sink: &dyn Sink, mib: u64) {
    let bytes = vec![u8::try_from(mib).unwrap() + 1; in_memory(MIB)];
    sink.write_all_at(&bytes, GuestOffset(mib * MIB)).unwrap();
}

#[test]
fn what_was_entered_is_not_written_again_and_the_rest_is() {
    let mut scene = Scene::new();
    let sink = scene.run(&key());
    sink.prepare(Some(5 * MIB)).unwrap();
    write(&sink, 1);
    write(&sink, 2);
    sink.zero(GuestOffset(3 * MIB), MIB / 2).unwrap();
    scene.entered("[[1048576,3145728]]");
    sink.suspend();
    drop(sink);

    let sink = scene.run(&key());
    sink.prepare(Some(5 * MIB)).unwrap();
    let before = scene.recorder.calls().len();
    assert_eq!(sink.kept().map(|kept| (kept.bytes(), kept.end())), Some((2 * MIB, 3 * MIB)));
    sink.write_all_at(&vec![9; 3 << 20], GuestOffset(MIB)).unwrap();
    sink.zero(GuestOffset(0), 2 * MIB).unwrap();
    let calls = scene.recorder.calls();
    let made: Vec<_> = calls[before..].iter().filter(|call| **call != Call::Sync).collect();
    assert_eq!(made, [&Call::Write(3 * MIB, 1 << 20), &Call::Zero(0, MIB)]);
    sink.finish(5 * MIB).unwrap();
    drop(sink);
    assert_eq!(scene.journal(), None);
    assert!(!scene.recorder.calls().contains(&Call::Revoke));
}

#[test]
fn a_target_with_other_bytes_is_made_ready_as_if_it_were_new() {
    let mut scene = Scene::new();
    let sink = scene.run(&key());
    sink.prepare(Some(5 * MIB)).unwrap();
    write(&sink, 1);
    scene.entered("[[1048576,2097152]]");
    sink.suspend();
    drop(sink);

    scene.recorder.flip(in_memory(MIB) + 7);
    let sink = scene.run(&key());
    sink.prepare(Some(5 * MIB)).unwrap();
    assert_eq!(sink.kept(), None);
    let kept: Vec<u64> = scene.target.kept.lock().unwrap().iter().map(Ranges::bytes).collect();
    assert_eq!(kept, [MIB, 0]);
}

#[test]
fn a_flush_that_fails_behind_the_import_fails_the_import() {
    let mut scene = Scene::new();
    let sink = scene.run(&key());
    sink.prepare(Some(5 * MIB)).unwrap();
    scene.target.broken.store(true, Relaxed);
    write(&sink, 1);
    until("a flush", || !scene.target.broken.load(Relaxed));
    // The thread has ended when this returns, so that it cannot be told too late.
    let error = sink.finish(5 * MIB).unwrap_err();
    assert!(error.to_string().contains("unable to flush"), "{error}");
    sink.suspend();
    drop(sink);
    let calls = scene.recorder.calls();
    assert!(!calls.iter().any(|call| matches!(call, Call::Finish(_))), "{calls:?}");
    assert!(calls.contains(&Call::Revoke) && scene.journal().is_none());
}

#[test]
fn an_import_that_fails_takes_its_journal_with_it() {
    let mut scene = Scene::new();
    let sink = scene.run(&key());
    sink.prepare(Some(5 * MIB)).unwrap();
    write(&sink, 1);
    scene.entered("[[1048576,2097152]]");
    drop(sink);
    assert_eq!(scene.journal(), None);
    assert!(scene.recorder.calls().contains(&Call::Revoke));
}

#[test]
fn a_target_beside_which_no_journal_can_be_is_written_all_the_same() {
    let mut scene = Scene::new();
    fs::create_dir(scene.dir.path().join(".disk.diskpour.new")).unwrap();
    let sink = scene.run(&key());
    sink.prepare(Some(2 * MIB)).unwrap();
    write(&sink, 1);
    sink.finish(2 * MIB).unwrap();
    drop(sink);
    assert!(scene.recorder.calls().contains(&Call::Finish(2 * MIB)));
}

#[test]
fn a_journal_that_cannot_be_written_ends_only_itself() {
    let mut scene = Scene::new();
    let sink = scene.run(&key());
    sink.prepare(Some(5 * MIB)).unwrap();
    fs::create_dir(scene.dir.path().join(".disk.diskpour.new")).unwrap();
    write(&sink, 1);
    until("a flush", || scene.recorder.calls().contains(&Call::Sync));
    write(&sink, 2);
    fs::remove_dir(scene.dir.path().join(".disk.diskpour.new")).unwrap();
    sink.finish(5 * MIB).unwrap();
}
