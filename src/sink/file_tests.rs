//! What a file target promises.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::testing::{LoopDevice, Mount};
use super::{Existing, Preallocation, Sink, SinkError, TargetSpec, Verifier, open};
use crate::error::{Error, Kind};
use crate::format::addr::GuestOffset;
use crate::io::Aligned;
use crate::progress::{Progress, Stop};

const MIB: u64 = 1 << 20;

fn spec(path: &Path) -> TargetSpec {
    TargetSpec {
        path: path.to_path_buf(),
        preallocation: Preallocation::Off,
        existing: Existing::Refuse,
        max_size: None,
    }
}

fn opened(path: &Path) -> Box<dyn Sink> {
    open(&spec(path), Arc::default()).unwrap()
}

fn refusal(spec: &TargetSpec) -> SinkError {
    open(spec, Arc::default()).err().unwrap()
}

fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (path, marker) = (dir.path().join("disk.img"), dir.path().join(".disk.img.diskpour"));
    (dir, path, marker)
}

/// Pours `size` bytes, all zero but for some data at the start, at 2 MiB and at the very end.
fn pour(sink: &dyn Sink, size: u64, told: Option<u64>) {
    sink.prepare(told).unwrap();
    let mut at = 0;
    let mut data = Aligned::zeroed(100_000);
    data.fill(7);
    for start in [0, 2 * MIB, size.saturating_sub(512)] {
        if start < at || start >= size {
            continue;
        }
        sink.zero(GuestOffset(at), start - at).unwrap();
        let len = (size - start).min(100_000);
        sink.write_all_at(&data[..usize::try_from(len).unwrap()], GuestOffset(start)).unwrap();
        at = start + len;
    }
    sink.zero(GuestOffset(at), size - at).unwrap();
    sink.finish(size).unwrap();
}

fn image(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    for start in [0, 2 * MIB, size.saturating_sub(512)] {
        let (start, end) = (start.min(size), size.min(start + 100_000));
        bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()].fill(7);
    }
    bytes
}

#[test]
fn every_size_and_preallocation_gives_the_image_and_takes_its_space() {
    for preallocation in [Preallocation::Off, Preallocation::Falloc, Preallocation::Full] {
        for size in [0, 512, 4608, MIB, 3 * MIB + 512, 4 * MIB] {
            for told in [Some(size), None] {
                let (_dir, path, marker) = place();
                let progress = Arc::new(Progress::default());
                let sink = open(&TargetSpec { preallocation, ..spec(&path) }, Arc::clone(&progress)).unwrap();
                pour(sink.as_ref(), size, told);
                drop(sink);
                assert!(fs::read(&path).unwrap() == image(size), "{preallocation:?} {size} {told:?}");
                assert!(!marker.exists());
                assert_eq!(progress.written.load(Relaxed) + progress.zeroed.load(Relaxed), size);
                let taken = path.metadata().unwrap().blocks() * 512;
                if preallocation != Preallocation::Off {
                    assert!(taken >= size, "{preallocation:?} {size} {told:?}: {taken}");
                } else if size >= 3 * MIB {
                    assert!(taken < MIB, "{size} {told:?}: {taken}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_made_before_prepare_nor_when_the_disk_is_refused() {
    let (dir, path, _) = place();
    let sink = open(&TargetSpec { max_size: Some(MIB), ..spec(&path) }, Arc::default()).unwrap();
    let error = sink.prepare(Some(MIB + 512)).unwrap_err();
    assert!(matches!(error, SinkError::TooSmall { needed, capacity: MIB } if needed == MIB + 512));
    drop(sink);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_not_empty_needs_force_and_is_untouched_without() {
    let (_dir, path, _) = place();
    fs::write(&path, "precious").unwrap();
    let error = Error::from(refusal(&spec(&path)));
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("--force"), "{error}");
    let forced = TargetSpec { existing: Existing::Overwrite, max_size: Some(MIB), ..spec(&path) };
    open(&forced, Arc::default()).unwrap().prepare(Some(MIB + 1)).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    pour(open(&forced, Arc::default()).unwrap().as_ref(), 4608, Some(4608));
    assert!(fs::read(&path).unwrap() == image(4608));
}

#[test]
fn an_empty_file_and_our_own_leftover_need_no_force() {
    for leftover in [false, true] {
        let (_dir, path, marker) = place();
        fs::write(&path, if leftover { vec![9; 5000] } else { Vec::new() }).unwrap();
        if leftover {
            fs::write(&marker, "").unwrap();
        }
        pour(opened(&path).as_ref(), 4608, None);
        assert!(fs::read(&path).unwrap() == image(4608));
        assert!(!marker.exists());
    }
}

#[test]
fn without_finish_our_file_is_removed_and_another_is_left_empty() {
    for existed in [false, true] {
        let (_dir, path, marker) = place();
        if existed {
            fs::write(&path, "").unwrap();
        }
        let sink = opened(&path);
        sink.prepare(Some(4 * MIB)).unwrap();
        assert!(marker.exists(), "marked before the first write");
        sink.write_all_at(&[7; 2 << 20], GuestOffset(0)).unwrap();
        sink.sync().unwrap();
        assert!(crate::io::is_zero(&fs::read(&path).unwrap()[..1 << 20]), "what a kill would leave");
        drop(sink);
        assert!(!marker.exists());
        assert_eq!(path.exists(), existed);
        assert!(!existed || fs::read(&path).unwrap().is_empty());
    }
}

#[test]
fn a_file_that_took_the_place_of_ours_is_not_removed() {
    let (_dir, path, _) = place();
    let sink = opened(&path);
    sink.prepare(None).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another").unwrap();
    drop(sink);
    assert_eq!(fs::read(&path).unwrap(), b"another");
}

#[test]
fn two_imports_never_pour_into_one_file() {
    let (_dir, path, _) = place();
    let first = opened(&path);
    let late = opened(&path);
    first.prepare(None).unwrap();
    assert!(matches!(refusal(&spec(&path)), SinkError::Busy { .. }));
    late.prepare(None).unwrap_err();
    drop(late);
    assert!(path.exists(), "the loser leaves the winner's file alone");
    first.finish(0).unwrap();
    drop(first);
    opened(&path);
}

#[test]
fn a_new_file_has_the_usual_mode() {
    let (dir, path, _) = place();
    pour(opened(&path).as_ref(), 512, None);
    let usual = fs::File::create(dir.path().join("usual")).unwrap().metadata().unwrap().permissions();
    assert_eq!(path.metadata().unwrap().permissions().mode(), usual.mode());
}

#[test]
fn a_sparse_tebibyte_is_verified_in_the_time_of_its_data() {
    let (_dir, path, _) = place();
    let (size, progress) = (1 << 40, Progress::default());
    let sink = Verifier::new(opened(&path));
    pour(&sink, size, Some(size));
    sink.verify(size, &progress, &Stop::default()).unwrap();
    assert_eq!(progress.verified.load(Relaxed), size);
    drop(sink);
    assert_eq!(path.metadata().unwrap().len(), size);
}

#[test]
fn data_that_changed_on_the_target_or_appeared_there_is_found_and_the_file_removed() {
    for at in [5, 2 * MIB + 5, 3 * MIB + 5, 4 * MIB - 1] {
        let (_dir, path, _) = place();
        let sink = Verifier::new(opened(&path));
        pour(&sink, 4 * MIB, None);
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[1], at).unwrap();
        let error = sink.verify(4 * MIB, &Progress::default(), &Stop::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{at}: {error}");
        assert!(!path.exists());
    }
}

#[test]
fn a_full_file_system_is_told_in_words_and_in_memory_works() {
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=4m", "none"]) else { return };
    let path = mount.path().join("disk.img");
    pour(opened(&path).as_ref(), 3 * MIB + 512, None);
    assert!(fs::read(&path).unwrap() == image(3 * MIB + 512));
    fs::remove_file(&path).unwrap();
    let words = format!("unable to write to file: write {}: no space left on device", path.display());
    let sink = opened(&path);
    sink.prepare(None).unwrap();
    let error = sink.write_all_at(&[7; 8 << 20], GuestOffset(MIB)).unwrap_err();
    assert_eq!(Error::from(error).to_string(), words);
    drop(sink);
    let preallocated = TargetSpec { preallocation: Preallocation::Falloc, ..spec(&path) };
    let sink = open(&preallocated, Arc::default()).unwrap();
    let error = Error::from(sink.prepare(Some(8 * MIB)).unwrap_err());
    assert_eq!((error.to_string(), error.kind()), (words, Kind::TargetFull));
    drop(sink);
    assert!(!path.exists());
}

#[test]
fn a_file_system_that_cannot_reserve_gets_written_zeros() {
    let Some(device) = LoopDevice::new(16 << 20, 512) else { return };
    let made = Command::new("mke2fs").args(["-q", "-t", "ext2"]).arg(device.path()).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: no mke2fs here");
        return;
    }
    let Some(mount) = Mount::new(&[device.path().to_str().unwrap()]) else { return };
    for (told, name) in [(None, "unknown"), (Some(4 * MIB), "known")] {
        let path = mount.path().join(name);
        let spec = TargetSpec { preallocation: Preallocation::Falloc, ..spec(&path) };
        pour(open(&spec, Arc::default()).unwrap().as_ref(), 4 * MIB, told);
        assert!(fs::read(&path).unwrap() == image(4 * MIB));
        assert!(path.metadata().unwrap().blocks() * 512 >= 4 * MIB);
    }
    let error = refusal(&spec(device.path()));
    assert!(matches!(error, SinkError::Busy { .. }), "a mounted device is refused: {error}");
}
