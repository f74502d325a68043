//! How fast zeros are found: the scan that every byte of every route passes through.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use diskpour::io::{is_zero, pieces};

/// The usual size of the loops' buffers.
const BUFFER: usize = 1 << 20;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    whole_buffers(&mut criterion);
    mixed_buffers(&mut criterion);
    criterion.final_summary();
}

/// All zeros is the slowest case: no byte lets the search stop early.
fn whole_buffers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("zero/is_zero");
    for len in [4096, 64 << 10, BUFFER] {
        let zeros = vec![0_u8; len];
        group.throughput(Throughput::Bytes(len.try_into().unwrap_or(u64::MAX)));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| is_zero(black_box(&zeros)));
        });
    }
    group.finish();
}

/// Buffers as real disks have them, split into data and zero runs.
fn mixed_buffers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("zero/pieces");
    group.throughput(Throughput::Bytes(BUFFER.try_into().unwrap_or(u64::MAX)));
    for (name, data_every) in
        [("all zero", 0), ("all data", 1), ("data in every 4th block", 4), ("in every 32nd", 32)]
    {
        let buffer = blocks(data_every);
        group.bench_function(name, |bencher| bencher.iter(|| pieces(black_box(&buffer)).count()));
    }
    group.finish();
}

/// A buffer of 4 KiB blocks; every `data_every`th ends in a byte that is not zero, none for 0.
fn blocks(data_every: usize) -> Vec<u8> {
    let mut buffer = vec![0_u8; BUFFER];
    for (at, block) in buffer.chunks_mut(4096).enumerate() {
        if at.checked_rem(data_every) == Some(0)
            && let Some(last) = block.last_mut()
        {
            *last = 1;
        }
    }
    buffer
}
