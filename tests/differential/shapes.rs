//! What an image can be made of, and the fixed list of cases.

/// How clusters are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Packing {
    Plain,
    Zlib,
    Zstd,
}

/// The L2 entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entries {
    Normal,
    Extended,
}

/// How the image came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Layout {
    Convert,
    ConvertParallel,
    Metadata,
    Falloc,
    Full,
    Resized,
    Snapshot,
    Reuse,
    Unaligned,
    Empty,
    Zero,
    Brimful,
}

/// How the image comes to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    File,
    Ranges,
    NoRanges,
    Pipe,
}

pub(crate) const LAYOUTS: [Layout; 12] = [
    Layout::Convert,
    Layout::ConvertParallel,
    Layout::Metadata,
    Layout::Falloc,
    Layout::Full,
    Layout::Resized,
    Layout::Snapshot,
    Layout::Reuse,
    Layout::Unaligned,
    Layout::Empty,
    Layout::Zero,
    Layout::Brimful,
];
const WAYS: [Way; 4] = [Way::File, Way::Ranges, Way::NoRanges, Way::Pipe];
const WRAPS: [&str; 4] = ["none", "gzip", "xz", "zstd"];

/// The format's own choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) version: u8,
    pub(crate) cluster: u64,
    pub(crate) packing: Packing,
    pub(crate) entries: Entries,
}

impl Shape {
    /// The value of `-o` that gives this shape.
    pub(crate) fn options(self) -> String {
        let compat = if self.version == 2 { "0.10" } else { "1.1" };
        let zstd = if self.packing == Packing::Zstd { ",compression_type=zstd" } else { "" };
        let extended = if self.entries == Entries::Extended { ",extended_l2=on" } else { "" };
        format!("compat={compat},cluster_size={}{zstd}{extended}", self.cluster)
    }

    pub(crate) fn packed(self) -> bool {
        self.packing != Packing::Plain
    }

    fn is_valid(self) -> bool {
        let zstd = self.packing == Packing::Zstd;
        let extended = self.entries == Entries::Extended;
        // Version 2 knows neither; subclusters have 512 bytes at least.
        (self.version == 3 || !(zstd || extended)) && (!extended || self.cluster >= 16 << 10)
    }
}

/// Every shape that is valid.
pub(crate) fn shapes() -> Vec<Shape> {
    let mut all = Vec::new();
    for version in [2, 3] {
        for cluster in [512, 4 << 10, 64 << 10, 2 << 20] {
            for packing in [Packing::Plain, Packing::Zlib, Packing::Zstd] {
                for entries in [Entries::Normal, Entries::Extended] {
                    all.push(Shape { version, cluster, packing, entries });
                }
            }
        }
    }
    all.retain(|shape| shape.is_valid());
    all
}

/// The ways and wraps that the image of `layout` and `shape` is poured by: 2 of the 16 that there
/// are, in turn, so that every pair of values of two axes meets somewhere.
pub(crate) fn deliveries(layout: usize, shape: usize) -> [(Way, &'static str); 2] {
    [0, 1].map(|turn| {
        let number = (shape * 2 + turn) * 5 + layout * 7;
        (WAYS[number % 4], WRAPS[number / 4 % 4])
    })
}

#[test]
fn the_list_of_cases_is_long_and_every_pair_of_values_meets() {
    use std::collections::HashSet;
    let shapes = shapes();
    let mut cases = Vec::new();
    for (layout, name) in LAYOUTS.iter().enumerate() {
        for (index, shape) in shapes.iter().enumerate() {
            for (way, wrap) in deliveries(layout, index) {
                let words = [
                    shape.version.to_string(),
                    shape.cluster.to_string(),
                    format!("{:?}", shape.packing),
                    format!("{:?}", shape.entries),
                    format!("{name:?}"),
                    format!("{way:?}"),
                    wrap.to_owned(),
                ];
                cases.push(words);
            }
        }
    }
    println!("the list has {} cases of {} images", cases.len(), LAYOUTS.len() * shapes.len());
    assert!(cases.len() >= 300);
    assert_eq!(cases.iter().collect::<HashSet<_>>().len(), cases.len(), "a case is there twice");
    for one in 0..7 {
        for other in one + 1..7 {
            let met: HashSet<_> = cases.iter().map(|case| (&case[one], &case[other])).collect();
            let ones: HashSet<_> = cases.iter().map(|case| &case[one]).collect();
            let others: HashSet<_> = cases.iter().map(|case| &case[other]).collect();
            let never = impossible(one, other);
            let all = ones.len() * others.len();
            assert_eq!(met.len(), all - never, "axes {one} and {other}: not every pair meets");
        }
    }
}

/// How many pairs of the format's own axes exclude each other.
#[cfg(test)]
fn impossible(one: usize, other: usize) -> usize {
    match (one, other) {
        // Version 2 has no zstd; and no extended entries.
        (0, 2 | 3) => 1,
        // Extended entries want clusters of 16 KiB at least.
        (1, 3) => 2,
        _ => 0,
    }
}
