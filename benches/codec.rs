//! How fast each codec decodes a stream, one thread and two.

#[path = "support/disk.rs"]
mod disk;

use std::io::{Read, Write};

use bzip2::write::BzEncoder;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use diskpour::codec::{Codec, Options, decode};
use diskpour::io::Sequential;
use flate2::write::GzEncoder;
use liblzma::stream::MtStreamBuilder;
use liblzma::write::XzEncoder;

use disk::Outcome;

/// Bytes of the disk behind every stream.
const DISK: usize = 8 << 20;
/// Bytes of a block where an xz stream has several.
const XZ_BLOCK: u64 = 1 << 20;

fn main() -> Outcome<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let plain = disk::disk(DISK);
    let one = Options { threads: 1 };
    let two = Options { threads: 2 };
    let blocks = xz_blocks(&plain)?;
    let cases = [
        ("gzip", Codec::Gzip, gzip(&plain)?, one),
        ("xz, one block", Codec::Xz, xz(&plain)?, one),
        ("xz, several blocks", Codec::Xz, blocks.clone(), one),
        ("xz, several blocks, two threads", Codec::Xz, blocks, two),
        ("zstd", Codec::Zstd, zstd::encode_all(&*plain, 3)?, one),
        ("bzip2", Codec::Bzip2, bzip2(&plain)?, one),
    ];
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(DISK.try_into()?)).sampling_mode(SamplingMode::Flat);
    for (name, codec, packed, options) in cases {
        let packed: &'static [u8] = packed.leak();
        let len = drain(codec, packed, &options)?;
        if len != DISK {
            return Err(format!("{name}: {len} bytes came out of {DISK}").into());
        }
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| drain(codec, packed, &options).is_ok());
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Decodes everything into one buffer after the other; returns the plain bytes' number.
fn drain(codec: Codec, packed: &'static [u8], options: &Options) -> Outcome<usize> {
    let input = Sequential::new(packed, Some(packed.len().try_into()?));
    let mut stream = decode(codec, input, options)?;
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(total),
            count => total += count,
        }
    }
}

fn gzip(plain: &[u8]) -> Outcome<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

fn xz(plain: &[u8]) -> Outcome<Vec<u8>> {
    let mut encoder = XzEncoder::new(Vec::new(), 6);
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

fn xz_blocks(plain: &[u8]) -> Outcome<Vec<u8>> {
    let stream = MtStreamBuilder::new().preset(6).threads(2).block_size(XZ_BLOCK).encoder()?;
    let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

fn bzip2(plain: &[u8]) -> Outcome<Vec<u8>> {
    let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}
