//! How fast each route pours when neither the source nor the target takes time.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/image.rs"]
mod image;
#[path = "support/tables.rs"]
mod tables;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use criterion::{Criterion, SamplingMode, Throughput};
use diskpour::copy::{Forward, Pouring, Waiting, ranged, stream};
use diskpour::error::Error;
use diskpour::format::qcow2::{Compression, Header};
use diskpour::image::{Image, Qcow2, Raw, Trailer};
use diskpour::io::{ReadAt, Reading, Sequential};
use diskpour::progress::{Progress, Stop};
use diskpour::scratch::Scratch;
use diskpour::sink::NullSink;

use disk::Outcome;
use tables::wide;

/// Bytes of the disk that is poured.
const DISK: usize = 64 << 20;
const WORKERS: usize = 2;

/// The disk's bytes, and images of it: a name, how its clusters are compressed.
const IMAGES: [(&str, Option<Compression>); 3] =
    [("qcow2", None), ("qcow2 zlib", Some(Compression::Deflate)), ("qcow2 zstd", Some(Compression::Zstd))];

fn main() -> Outcome<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let raw: &'static [u8] = disk::disk(DISK).leak();
    let scratch = tempfile::tempdir()?;
    let mut bench = Bench { criterion: &mut criterion };
    bench.route("stream/raw", |to| {
        stream(sequential(raw), Trailer::Checked, to)?;
        Ok(())
    })?;
    bench.route("ranged/raw", |to| ranged(&Raw::open(memory(raw), Trailer::Checked)?, to))?;
    for (name, compression) in IMAGES {
        let image: &'static [u8] = image::qcow2(raw, compression)?.leak();
        bench.route(&format!("forward/{name}"), |to| forward(image, to))?;
        bench.route(&format!("ranged/{name}"), |to| pour(&Qcow2::open(memory(image))?, to))?;
        if compression.is_none() {
            bench.route("stage/qcow2", |to| stage(image, scratch.path(), to))?;
        }
    }
    criterion.final_summary();
    Ok(())
}

fn forward(image: &'static [u8], to: Pouring<'_>) -> Result<(), Error> {
    let waiting = Waiting { memory_budget: 64 << 20, scratch_dir: None };
    Forward::new(Header::parse(image)?, Some(wide(image.len())), &waiting, to).run(sequential(image))
}

fn stage(image: &'static [u8], dir: &Path, to: Pouring<'_>) -> Result<(), Error> {
    let staged = Scratch::create(dir, Arc::clone(to.progress))?.stage(sequential(image), to.stop)?;
    pour(&Qcow2::open(staged)?, to)
}

fn pour(image: &dyn Image, to: Pouring<'_>) -> Result<(), Error> {
    ranged(image, to)
}

/// Where routes are added.
struct Bench<'a> {
    criterion: &'a mut Criterion,
}

impl Bench<'_> {
    /// Measures `route` when it has poured the whole disk once.
    fn route(&mut self, name: &str, route: impl Fn(Pouring<'_>) -> Result<(), Error>) -> Outcome<()> {
        let poured = once(&route)?;
        if poured != wide(DISK) {
            return Err(format!("{name}: {poured} bytes came out of a disk of {DISK}").into());
        }
        let mut group = self.criterion.benchmark_group("routes");
        group.throughput(Throughput::Bytes(wide(DISK))).sampling_mode(SamplingMode::Flat);
        group.bench_function(name, |bencher| bencher.iter(|| once(&route).is_ok()));
        group.finish();
        Ok(())
    }
}

/// Pours into nothing; returns the bytes that were written or zeroed.
fn once(route: &impl Fn(Pouring<'_>) -> Result<(), Error>) -> Result<u64, Error> {
    let progress = Arc::new(Progress::default());
    let stop = Stop::default();
    let sink = NullSink::new(Arc::clone(&progress));
    route(Pouring { sink: &sink, progress: &progress, stop: &stop, workers: WORKERS })?;
    Ok(progress.written.load(Relaxed) + progress.zeroed.load(Relaxed))
}

fn sequential(bytes: &'static [u8]) -> Sequential {
    Sequential::new(bytes, Some(wide(bytes.len())))
}

fn memory(bytes: &'static [u8]) -> Arc<dyn ReadAt> {
    Arc::new(Memory(bytes))
}

/// An image in memory.
struct Memory(&'static [u8]);

impl ReadAt for Memory {
    fn len(&self) -> u64 {
        wide(self.0.len())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.saturating_add(buf.len());
        let bytes = self.0.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn reading(&self) -> Reading {
        Reading { lanes: WORKERS, piece: 1 << 20, gap: 64 << 10 }
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        Ok(sequential(self.0))
    }
}
