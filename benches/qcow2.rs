//! How fast a QCOW2 image's own bytes are understood: header, L2 tables, compressed clusters.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/tables.rs"]
mod tables;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use diskpour::codec::cluster::Inflater;
use diskpour::format::addr::HostOffset;
use diskpour::format::qcow2::{Compression, Header, Metadata, extents};

use disk::Outcome;
use tables::{CLUSTER, COPIED, L2_AT, compressed, put64, tables, wide};

/// Entries of an L2 table of one cluster.
const ENTRIES: usize = CLUSTER / 8;

const COMPRESSIONS: [(&str, Compression); 2] = [("zlib", Compression::Deflate), ("zstd", Compression::Zstd)];

fn main() -> Outcome<()> {
    let mut criterion = Criterion::default().configure_from_args();
    header(&mut criterion)?;
    l2_tables(&mut criterion)?;
    clusters(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn header(criterion: &mut Criterion) -> Outcome<()> {
    let head = tables(1 << 29, Compression::Zstd);
    Header::parse(&head)?;
    criterion.bench_function("qcow2/header", |bencher| bencher.iter(|| Header::parse(black_box(&head))));
    Ok(())
}

/// Tables that are full, in the two extremes: all one stretch, and no entry beside its like.
fn l2_tables(criterion: &mut Criterion) -> Outcome<()> {
    let header = Header::parse(&tables(wide(ENTRIES * CLUSTER), Compression::Deflate))?;
    let metadata = Metadata::new(&header, &[COPIED | wide(L2_AT)], None)?;
    let first = L2_AT + CLUSTER;
    let in_order = |at: usize| wide(first + at * CLUSTER);
    let backwards = |at: usize| wide(first + (ENTRIES - at) * CLUSTER);
    let mut group = criterion.benchmark_group("qcow2/l2 table");
    group.throughput(Throughput::Elements(wide(ENTRIES)));
    for (name, table) in [("in order", full_table(in_order)), ("backwards", full_table(backwards))] {
        extents(&header, &metadata, 0, &table, None)?;
        group.bench_function(name, |bencher| {
            bencher.iter(|| extents(&header, &metadata, 0, black_box(&table), None));
        });
    }
    group.finish();
    Ok(())
}

/// An L2 table whose entry `at` names the cluster at `host(at)`.
fn full_table(host: impl Fn(usize) -> u64) -> Vec<u8> {
    let mut table = Vec::with_capacity(CLUSTER);
    let entries: Vec<u64> = (0..ENTRIES).map(|at| COPIED | host(at)).collect();
    put64(&mut table, &entries);
    table
}

fn clusters(criterion: &mut Criterion) -> Outcome<()> {
    let plain = disk::disk(CLUSTER);
    let mut group = criterion.benchmark_group("qcow2/cluster");
    group.throughput(Throughput::Bytes(wide(CLUSTER)));
    for (name, compression) in COMPRESSIONS {
        let packed = compressed(&plain, compression)?;
        let mut out = vec![0; CLUSTER];
        let mut inflater = Inflater::new(compression).ok_or("no memory for a decoder")?;
        inflater.fill(HostOffset(0), &packed, &mut out)?;
        if out != plain {
            return Err(format!("{name}: wrong bytes").into());
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| inflater.fill(HostOffset(0), black_box(&packed), &mut out).is_ok());
        });
    }
    group.finish();
    Ok(())
}
