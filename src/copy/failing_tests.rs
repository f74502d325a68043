//! Every call to a target fails once, on every route.

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::io::Errno;

use super::{Forward, Pouring, Waiting, ranged, stream};
use crate::error::{Error, Kind};
use crate::format::qcow2::{HEADER_AREA, Header};
use crate::image::{Image, Qcow2, Raw, Trailer};
use crate::io::{ReadAt, Reading, Sequential, relay};
use crate::progress::Stop;
use crate::scratch::Scratch;
use crate::sink::failing::{Call, DEEDS, Deed, Failing};
use crate::sink::{FirstMibLast, Sink};

const MIB: usize = 1 << 20;
const CLUSTER: usize = 64 << 10;
const CLUSTERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Stream,
    Forward,
    Ranged,
    Stage,
}

const ROUTES: [Route; 4] = [Route::Stream, Route::Forward, Route::Ranged, Route::Stage];

/// The errors of a target, their kinds and their words.
const ERRORS: [(Errno, Kind, &str); 4] = [
    (Errno::NOSPC, Kind::TargetFull, "unable to write to file: write /target: no space left on device"),
    (Errno::DQUOT, Kind::TargetFull, "unable to write to file: write /target: disk quota exceeded"),
    (Errno::FBIG, Kind::TargetFull, "unable to write to file: write /target: file too large"),
    (Errno::IO, Kind::Other, "/target"),
];

/// 4 MiB: data, zeros in between, the same data twice.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; CLUSTER * CLUSTERS];
    for (index, cluster) in disk.chunks_mut(CLUSTER).enumerate() {
        let index = if index == 50 { 20 } else { index };
        if index % 5 != 3 {
            cluster.fill(u8::try_from(index).unwrap() + 1);
        }
    }
    disk
}

/// The disk as QCOW2 of version 2, its L2 table `late`, behind the data, or before them.
fn qcow2(late: bool) -> Vec<u8> {
    let be = |value: usize| (value as u64).to_be_bytes();
    let (disk, mut data, mut table) = (disk(), Vec::new(), Vec::new());
    let first = if late { 4 } else { 5 };
    for (index, cluster) in disk.chunks(CLUSTER).enumerate() {
        let host = CLUSTER * first + data.len();
        // Not marked as the only ones: they may be mapped again, and one is.
        let entry = match index {
            50 => CLUSTER * (first + 16),
            _ if cluster[0] == 0 => 0,
            _ => {
                data.extend_from_slice(cluster);
                host
            }
        };
        table.extend_from_slice(&be(entry));
    }
    assert_eq!(table[8 * 20..8 * 21], table[8 * 50..8 * 51], "one cluster for two places");
    table.resize(CLUSTER, 0);
    let l2 = if late { CLUSTER * first + data.len() } else { CLUSTER * 4 };
    let mut image = vec![0; CLUSTER * 4];
    image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    image[20..24].copy_from_slice(&16_u32.to_be_bytes());
    image[24..32].copy_from_slice(&be(disk.len()));
    image[36..40].copy_from_slice(&1_u32.to_be_bytes());
    image[40..48].copy_from_slice(&be(CLUSTER * 3));
    image[48..56].copy_from_slice(&be(CLUSTER));
    image[56..60].copy_from_slice(&1_u32.to_be_bytes());
    image[CLUSTER..CLUSTER + 8].copy_from_slice(&be(CLUSTER * 2));
    image[CLUSTER * 3..CLUSTER * 3 + 8].copy_from_slice(&be(l2));
    let parts = if late { [data, table] } else { [table, data] };
    image.extend(parts.concat());
    image
}

/// An image in memory.
struct Place(Vec<u8>);

impl ReadAt for Place {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&self.0[start..start + buf.len()]);
        Ok(())
    }

    fn reading(&self) -> Reading {
        Reading { lanes: 2, piece: 256 << 10, gap: 0 }
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        Ok(sequential(self.0.clone()))
    }
}

fn sequential(bytes: Vec<u8>) -> Sequential {
    let len = bytes.len() as u64;
    Sequential::new(Cursor::new(bytes), Some(len))
}

fn forward(bytes: Sequential, to: Pouring<'_>) -> Result<(), Error> {
    let mut bytes = bytes;
    let header = Header::parse(bytes.peek(HEADER_AREA).unwrap())?;
    let waiting = Waiting { memory_budget: 64 << 20, scratch_dir: None };
    let len = bytes.known_len();
    Forward::new(header, len, &waiting, to).run(bytes)
}

/// Pours the disk by `route` as an import does, and finishes it.
fn pour(route: Route, late: bool, inner: &Failing) -> Result<(), Error> {
    let (sink, progress, stop) =
        (FirstMibLast::new(Box::new(inner.clone())), Arc::default(), Stop::default());
    let to = Pouring { sink: &sink, progress: &progress, stop: &stop, workers: 2 };
    match route {
        Route::Stream => stream(sequential(disk()), Trailer::Free, to).map(drop)?,
        Route::Forward => forward(sequential(qcow2(late)), to)?,
        Route::Ranged if late => ranged(&Raw::open(Arc::new(Place(disk())), Trailer::Free)?, to)?,
        Route::Ranged => ranged(&Qcow2::open(Arc::new(Place(qcow2(false))))?, to)?,
        Route::Stage => {
            let dir = tempfile::tempdir().unwrap();
            let scratch = Scratch::create(dir.path(), Arc::clone(&progress))?;
            let image = Qcow2::open(scratch.stage(sequential(qcow2(late)), &stop)?)?;
            assert_eq!(image.virtual_size(), disk().len() as u64);
            ranged(&image, to)?;
        }
    }
    Ok(sink.finish(disk().len() as u64)?)
}

/// That nothing was done after the failure that could make a broken disk look whole.
fn left_alone(name: &str, failed: Call, later: &[Call]) {
    let (_, at, len) = failed;
    for (deed, start, count) in later {
        let what = format!("{name}: {deed:?} of {count} at {start} after {failed:?}");
        assert_ne!(*deed, Deed::Finish, "{what}");
        assert_ne!(*deed, Deed::Sync, "{what}");
        if matches!(deed, Deed::Write | Deed::Zero) {
            assert!(*start >= MIB as u64, "the first MiB, {what}");
            assert!(start + count <= at || *start >= at + len, "tried again, {what}");
        }
    }
}

#[test]
fn whichever_call_fails_the_error_is_the_targets_and_the_disk_is_never_finished() {
    let mut failures = 0;
    for (route, late) in ROUTES.into_iter().flat_map(|route| [(route, false), (route, true)]) {
        for (deed, (errno, kind, words)) in
            DEEDS.into_iter().flat_map(|deed| ERRORS.map(|error| (deed, error)))
        {
            for nth in 1.. {
                let (target, name) =
                    (Failing::new(deed, nth, errno), format!("{route:?} {late} {deed:?} {nth} {errno:?}"));
                let poured = pour(route, late, &target);
                let Some((failed, later)) = target.failure() else {
                    poured.unwrap_or_else(|error| panic!("{name}: {error}"));
                    assert!(target.finished() && target.disk() == disk(), "{name}");
                    break;
                };
                let error = poured.unwrap_err();
                assert_eq!(error.kind(), kind, "{name}: {error}");
                assert!(error.to_string().contains(words), "{name}: {error}");
                assert_eq!(error.os_error().is_some(), errno == Errno::IO, "{name}: {error:?}");
                assert!(!target.finished(), "{name}");
                left_alone(&name, failed, &later);
                failures += 1;
            }
        }
    }
    assert!(failures > 500, "{failures} failures are not all");
}

/// What a server that goes silent sends: these bytes, and then nothing before the wish to stop.
struct Silent(Cursor<Vec<u8>>, Arc<Stop>);

impl Silent {
    fn wait(stop: &Stop) -> io::Error {
        while !stop.asked() {
            std::thread::sleep(Duration::from_millis(5));
        }
        io::Error::from(Error::new(Kind::Other, "stopped"))
    }
}

impl Read for Silent {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(Self::wait(&self.1)),
            count => Ok(count),
        }
    }
}

/// The same by ranges: silent in the second half.
struct SilentPlace(Vec<u8>, Arc<Stop>);

impl ReadAt for SilentPlace {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        if start >= self.0.len() / 2 {
            return Err(Silent::wait(&self.1));
        }
        buf.copy_from_slice(&self.0[start..start + buf.len()]);
        Ok(())
    }

    fn reading(&self) -> Reading {
        Reading { lanes: 64, piece: 256 << 10, gap: 0 }
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[test]
fn a_target_that_fails_does_not_wait_for_a_source_that_is_silent() {
    for route in [Route::Stream, Route::Forward, Route::Ranged] {
        let (done, result) = channel();
        std::thread::spawn(move || {
            let stop = Arc::new(Stop::default());
            let sink = Failing::new(Deed::Write, 1, Errno::NOSPC);
            let progress = Arc::default();
            let to = Pouring { sink: &sink, progress: &progress, stop: &stop, workers: 1 };
            let silent = |mut bytes: Vec<u8>| {
                let len = bytes.len() as u64;
                bytes.truncate(bytes.len() / 2);
                relay(Sequential::new(Silent(Cursor::new(bytes), Arc::clone(&stop)), Some(len)))
            };
            let poured = match route {
                Route::Stream => stream(silent(disk()), Trailer::Free, to).map(drop),
                Route::Forward => forward(silent(qcow2(false)), to),
                Route::Ranged => {
                    let place = SilentPlace(disk(), Arc::clone(&stop));
                    ranged(&Raw::open(Arc::new(place), Trailer::Free).unwrap(), to)
                }
                Route::Stage => unreachable!("it writes when all has come"),
            };
            drop(done.send(poured.unwrap_err()));
        });
        let error = result.recv_timeout(Duration::from_secs(20));
        let error = error.unwrap_or_else(|_| panic!("{route:?} waits for the source"));
        assert_eq!(error.kind(), Kind::TargetFull, "{route:?}: {error}");
    }
}
