//! The same bytes as `qemu-img convert -O raw`, whatever the image, its way and its wrap.

pub(crate) mod layouts;
pub(crate) mod shapes;

use std::fs;
use std::path::Path;

use layouts::Bench;
use shapes::{Entries, LAYOUTS, Layout, Packing, Shape, Way, deliveries, shapes};

use crate::common::server::{Ranges, Server};
use crate::common::tally::Tally;
use crate::common::{digest, foreign, qemu, run, workshop};

/// What may be held of an image that `qemu-img convert` made.
const HELD_LIMIT: u64 = 16 << 20;

/// The two HTTP servers of a test.
pub(crate) struct Servers {
    ranges: Server,
    no_ranges: Server,
}

impl Servers {
    pub(crate) fn over(dir: &Path) -> Self {
        let (ranges, no_ranges) = (Server::start(dir, Ranges::Served), Server::start(dir, Ranges::Ignored));
        Self { ranges, no_ranges }
    }

    /// An import of `source` that comes by `way`.
    pub(crate) fn import(&self, way: Way, source: &Path, target: &Path) -> run::Run {
        let name = source.file_name().unwrap().to_str().unwrap();
        match way {
            Way::File => run::import(source, target),
            Way::Ranges => run::import(self.ranges.url(name), target),
            Way::NoRanges => run::import(self.no_ranges.url(name), target),
            Way::Pipe => run::import_piped(source, target),
        }
    }
}

/// What `qemu-img` says about an image.
pub(crate) struct Judgement {
    pub(crate) size: u64,
    pub(crate) digest: String,
}

/// The disk in `image` as `qemu-img` sees it.
pub(crate) fn judge(image: &Path, dir: &Path) -> Judgement {
    let raw = dir.join("judged.raw");
    qemu::to_raw(image, "qcow2", &raw);
    let judgement = Judgement { size: fs::metadata(&raw).unwrap().len(), digest: digest::disk(&raw) };
    fs::remove_file(raw).unwrap();
    judgement
}

/// Runs all cases of one layout.
fn pour_all(layout: Layout) {
    let workshop = workshop();
    let dir = workshop.path();
    let (bench, servers) = (Bench::at(dir), Servers::over(dir));
    let mut tally = Tally::of(format!("{layout:?}"));
    let mut second = 0;
    let place = LAYOUTS.iter().position(|other| *other == layout).unwrap();
    for (index, shape) in shapes().into_iter().enumerate() {
        let image = bench.make(layout, shape);
        let judgement = judge(&image, dir);
        for (way, wrap) in deliveries(place, index) {
            let name = format!("{layout:?} {} by {way:?} in {wrap}", shape.options());
            tally.case(name, || pour_one(&servers, layout, &image, (way, wrap), &judgement));
        }
        let name = format!("{layout:?} {} by qcow2-rs", shape.options());
        second += tally.case(name, || usize::from(second_opinion(&image, shape, &judgement))).unwrap_or(0);
        fs::remove_file(image).unwrap();
    }
    println!("{layout:?}: qcow2-rs read {second} images and agreed with qemu-img on each");
    tally.finish();
}

fn pour_one(
    servers: &Servers,
    layout: Layout,
    image: &Path,
    (way, wrap): (Way, &str),
    judgement: &Judgement,
) {
    let target = image.with_file_name("target.raw");
    let scratch = image.with_file_name("scratch");
    fs::create_dir_all(&scratch).unwrap();
    fs::remove_file(&target).ok();
    let source = qemu::pack(image, wrap);
    let run = servers.import(way, &source, &target).arg("--scratch-dir").arg(&scratch);
    let outcome = run.run();
    outcome.expect(0);
    assert_eq!(fs::metadata(&target).unwrap().len(), judgement.size, "size");
    assert_eq!(digest::disk(&target), judgement.digest, "sha256");
    let result = outcome.result();
    assert_eq!(result["virtual_size"], judgement.size, "{result}");
    let ranged = wrap == "none" && matches!(way, Way::File | Way::Ranges);
    let route = if ranged { "ranged" } else { "forward" };
    assert!(result["route"].as_str().is_some_and(|word| word.eq_ignore_ascii_case(route)), "{result}");
    if matches!(layout, Layout::Convert | Layout::ConvertParallel) {
        assert_eq!(outcome.number("scratch_bytes"), 0, "{result}");
        assert!(outcome.number("held_peak_bytes") < HELD_LIMIT, "{result}");
    }
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "something is left in scratch");
    for left in [target, source].iter().filter(|path| *path != image) {
        fs::remove_file(left).unwrap();
    }
}

/// Whether qcow2-rs read the image; what it reads must be what `qemu-img` reads.
fn second_opinion(image: &Path, shape: Shape, judgement: &Judgement) -> bool {
    let knows = shape.cluster >= 4096 && shape.packing != Packing::Zstd && shape.entries == Entries::Normal;
    if !knows || judgement.size > 1 << 30 {
        return false;
    }
    // It takes a short read at the end of the file for data, so it gets a file without ragged end.
    let padded = image.with_file_name("padded.qcow2");
    let len = fs::copy(image, &padded).unwrap();
    fs::File::options().write(true).open(&padded).unwrap().set_len(len.next_multiple_of(4 << 20)).unwrap();
    let read = foreign::disk(&padded, judgement.size);
    if let Some(digest) = &read {
        assert_eq!(*digest, judgement.digest, "qcow2-rs and qemu-img differ");
    }
    read.is_some()
}

/// One test for each layout, so that they run in parallel.
macro_rules! layouts {
    ($($name:ident: $layout:ident,)*) => {
        $(#[test]
        fn $name() {
            pour_all(Layout::$layout);
        })*
    };
}

layouts! {
    images_that_convert_made: Convert,
    images_that_convert_made_out_of_order: ConvertParallel,
    images_with_preallocated_metadata: Metadata,
    images_with_fallocated_clusters: Falloc,
    images_with_every_cluster_written: Full,
    images_resized_past_their_l1_table: Resized,
    images_written_after_a_snapshot: Snapshot,
    images_that_use_discarded_clusters_again: Reuse,
    images_that_end_within_a_cluster: Unaligned,
    images_without_data: Empty,
    images_full_of_zeros: Zero,
    images_full_of_data: Brimful,
}
