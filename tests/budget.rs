//! Every layout once more with a small memory budget: spilling really runs, or is really refused.

use std::fs;
use std::path::Path;

use crate::common::tally::Tally;
use crate::common::{digest, map, workshop};
use crate::differential::layouts::Bench;
use crate::differential::shapes::{Entries, Layout, Packing, Shape, Way};
use crate::differential::{Judgement, Servers, judge};

const BUDGET: u64 = 256 << 10;

/// The shapes that every layout is made in here.
const SHAPES: [Shape; 6] = [
    Shape { version: 3, cluster: 4 << 10, packing: Packing::Plain, entries: Entries::Normal },
    Shape { version: 3, cluster: 64 << 10, packing: Packing::Plain, entries: Entries::Normal },
    Shape { version: 2, cluster: 4 << 10, packing: Packing::Zlib, entries: Entries::Normal },
    Shape { version: 3, cluster: 64 << 10, packing: Packing::Zstd, entries: Entries::Extended },
    Shape { version: 3, cluster: 2 << 20, packing: Packing::Plain, entries: Entries::Normal },
    Shape { version: 3, cluster: 512, packing: Packing::Zlib, entries: Entries::Normal },
];

/// Layouts of which most shapes need more than the budget.
const BAD: [Layout; 4] = [Layout::Falloc, Layout::Full, Layout::Resized, Layout::Snapshot];

/// One image and what any reader needs for it.
struct Subject<'a> {
    image: &'a Path,
    judgement: Judgement,
    must_spill: bool,
}

fn pour_layouts(layouts: &[Layout]) {
    let workshop = workshop();
    let dir = workshop.path();
    let (bench, servers) = (Bench::at(dir), Servers::over(dir));
    let mut tally = Tally::of(format!("{layouts:?} within 256 KiB"));
    for layout in layouts {
        let mut spilling = 0;
        for shape in SHAPES {
            let image = bench.make(*layout, shape);
            let bytes = fs::read(&image).unwrap();
            let must_spill = map::parse(&bytes).must_hold(&bytes) > BUDGET;
            spilling += usize::from(must_spill);
            let subject = Subject { image: &image, judgement: judge(&image, dir), must_spill };
            for way in [Way::Pipe, Way::NoRanges] {
                let name = format!("{layout:?} {} by {way:?}", shape.options());
                tally.case(format!("{name} with scratch"), || with_scratch(&servers, way, &subject));
                tally.case(format!("{name} without"), || without_scratch(&servers, way, &subject));
            }
            fs::remove_file(image).unwrap();
        }
        println!("{layout:?}: {spilling} of {} images have to spill", SHAPES.len());
        assert!(spilling >= SHAPES.len() / 2 || !BAD.contains(layout), "{layout:?}: the images are harmless");
    }
    tally.finish();
}

fn with_scratch(servers: &Servers, way: Way, subject: &Subject<'_>) {
    let target = subject.image.with_file_name("spilled.raw");
    let scratch = subject.image.with_file_name("scratch");
    fs::create_dir_all(&scratch).unwrap();
    let run = servers.import(way, subject.image, &target).args(["--memory-budget", "256Ki"]);
    let outcome = run.arg("--scratch-dir").arg(&scratch).run();
    outcome.expect(0);
    assert_eq!(digest::disk(&target), subject.judgement.digest, "sha256");
    assert_eq!(fs::metadata(&target).unwrap().len(), subject.judgement.size, "size");
    fs::remove_file(target).unwrap();
    let used = outcome.number("scratch_bytes");
    assert!(used > 0 || !subject.must_spill, "nothing was spilled: {}", outcome.stdout);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "something is left in scratch");
}

fn without_scratch(servers: &Servers, way: Way, subject: &Subject<'_>) {
    let target = subject.image.with_file_name("held.raw");
    let outcome = servers.import(way, subject.image, &target).args(["--memory-budget", "256Ki"]).run();
    if outcome.code == 0 {
        assert!(!subject.must_spill, "no reader can do this within the budget: {}", outcome.stdout);
        assert_eq!(digest::disk(&target), subject.judgement.digest, "sha256");
        assert_eq!(outcome.number("scratch_bytes"), 0);
        fs::remove_file(target).unwrap();
        return;
    }
    outcome.expect(42).says("scratch");
    assert!(!target.exists(), "the target is left");
    assert!(!target.with_file_name(".held.raw.diskpour").exists(), "the marker is left");
}

#[test]
fn layouts_of_convert_pour_within_a_small_budget() {
    pour_layouts(&[Layout::Convert, Layout::ConvertParallel, Layout::Unaligned, Layout::Brimful]);
}

#[test]
fn other_layouts_pour_within_a_small_budget() {
    pour_layouts(&[Layout::Metadata, Layout::Reuse, Layout::Empty, Layout::Zero]);
}

#[test]
fn a_preallocation_spills_over_a_small_budget() {
    pour_layouts(&[Layout::Falloc, Layout::Full]);
}

#[test]
fn a_table_at_the_end_spills_over_a_small_budget() {
    pour_layouts(&[Layout::Resized]);
}

#[test]
fn writes_after_a_snapshot_spill_over_a_small_budget() {
    pour_layouts(&[Layout::Snapshot]);
}
