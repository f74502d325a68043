//! The pure parts, each once on fixed bytes, for who counts instructions (`benches/count-instructions`).
//!
//! With the name of a case it runs that case, with `--list` it names them, else it runs all.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/image.rs"]
mod image;
#[path = "support/tables.rs"]
mod tables;

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;

use diskpour::codec::cluster::Inflater;
use diskpour::codec::{Codec, Options, decode};
use diskpour::copy::{Forward, Pouring, Waiting, stream};
use diskpour::format::addr::HostOffset;
use diskpour::format::qcow2::{Compression, Header, Metadata, extents};
use diskpour::format::quantity;
use diskpour::image::Trailer;
use diskpour::io::{Sequential, pieces};
use diskpour::progress::{Progress, Stop};
use diskpour::sink::NullSink;

use disk::Outcome;
use tables::{CLUSTER, COPIED, L2_AT, compressed, put64, tables, wide};

/// Bytes of the disk behind every case.
const DISK: usize = 4 << 20;
const ENTRIES: usize = CLUSTER / 8;

/// What is counted, after everything that it needs was made.
type Work = Box<dyn FnOnce() -> Outcome<()>>;

/// A name and what makes its work ready.
type Case = (&'static str, fn() -> Outcome<Work>);

const CASES: [Case; 10] = [
    ("zero scan, 1 MiB of zeros", || scan(vec![0; 1 << 20])),
    ("zero scan, 1 MiB of data", || scan(disk::disk(1 << 20))),
    ("qcow2 header", header),
    ("qcow2 L2 table of 8192 entries", l2_table),
    ("qcow2 cluster, zlib", || cluster(Compression::Deflate)),
    ("qcow2 cluster, zstd", || cluster(Compression::Zstd)),
    ("gzip, 4 MiB", gzip),
    ("stream route, 4 MiB raw", raw),
    ("forward route, 4 MiB qcow2", || forward(None)),
    ("quantity", quantities),
];

fn main() -> Outcome<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if wanted.iter().any(|word| word == "--list") {
        let names: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
        writeln!(std::io::stdout(), "{}", names.join("\n"))?;
        return Ok(());
    }
    for (_, prepare) in CASES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name))
    {
        counted(prepare()?)?;
    }
    Ok(())
}

/// The counter looks for this function by its name.
#[inline(never)]
fn counted(work: Work) -> Outcome<()> {
    work()
}

fn scan(bytes: Vec<u8>) -> Outcome<Work> {
    Ok(Box::new(move || {
        black_box(pieces(black_box(&bytes)).count());
        Ok(())
    }))
}

fn header() -> Outcome<Work> {
    let head = tables(1 << 29, Compression::Zstd);
    Ok(Box::new(move || {
        black_box(Header::parse(black_box(&head))?);
        Ok(())
    }))
}

fn l2_table() -> Outcome<Work> {
    let header = Header::parse(&tables(wide(ENTRIES * CLUSTER), Compression::Deflate))?;
    let metadata = Metadata::new(&header, &[COPIED | wide(L2_AT)], None)?;
    let mut table = Vec::with_capacity(CLUSTER);
    let host = |at: usize| wide(L2_AT + CLUSTER + (ENTRIES - at) * CLUSTER);
    put64(&mut table, &(0..ENTRIES).map(|at| COPIED | host(at)).collect::<Vec<_>>());
    Ok(Box::new(move || {
        black_box(extents(&header, &metadata, 0, black_box(&table), None)?);
        Ok(())
    }))
}

fn cluster(compression: Compression) -> Outcome<Work> {
    let packed = compressed(&disk::disk(CLUSTER), compression)?;
    let mut inflater = Inflater::new(compression).ok_or("no memory for a decoder")?;
    let mut out = vec![0; CLUSTER];
    Ok(Box::new(move || {
        inflater.fill(HostOffset(0), black_box(&packed), &mut out)?;
        Ok(())
    }))
}

fn gzip() -> Outcome<Work> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&disk::disk(DISK))?;
    let packed: &'static [u8] = encoder.finish()?.leak();
    let mut out = vec![0; DISK];
    Ok(Box::new(move || {
        let input = Sequential::new(packed, Some(wide(packed.len())));
        decode(Codec::Gzip, input, &Options { threads: 1 })?.read_exact(&mut out)?;
        Ok(())
    }))
}

fn raw() -> Outcome<Work> {
    let plain: &'static [u8] = disk::disk(DISK).leak();
    poured(move |to| {
        stream(Sequential::new(plain, Some(wide(DISK))), Trailer::Checked, to)?;
        Ok(())
    })
}

fn forward(compression: Option<Compression>) -> Outcome<Work> {
    let image: &'static [u8] = image::qcow2(&disk::disk(DISK), compression)?.leak();
    poured(move |to| {
        let waiting = Waiting { memory_budget: 64 << 20, scratch_dir: None };
        let pass = Forward::new(Header::parse(image)?, Some(wide(image.len())), &waiting, to);
        Ok(pass.run(Sequential::new(image, Some(wide(image.len()))))?)
    })
}

/// `route` into nothing, by one worker.
fn poured(route: impl FnOnce(Pouring<'_>) -> Outcome<()> + 'static) -> Outcome<Work> {
    Ok(Box::new(move || {
        let progress = Arc::new(Progress::default());
        let (sink, stop) = (NullSink::new(Arc::clone(&progress)), Stop::default());
        route(Pouring { sink: &sink, progress: &progress, stop: &stop, workers: 1 })
    }))
}

fn quantities() -> Outcome<Work> {
    Ok(Box::new(|| {
        for text in ["10Gi", "1500M", "123456789", "0.5Ti", "1e3"] {
            black_box(quantity::parse(black_box(text)).is_ok());
        }
        Ok(())
    }))
}
