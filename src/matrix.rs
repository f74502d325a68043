//! The supported-operations matrix of KubeVirt's CDI, and what diskpour does in each cell.
//!
//! One constant decides, is printed, and fills the README.
//!
//! Refuses to know: what a source really is; the plan asks with words.

mod print;

use crate::format::codec::Codec;
use crate::format::magic::Layout;

pub use print::{to_json, to_markdown, to_text};

/// Where an image comes from, as far as the matrix tells places apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// HTTP without authentication; a local file counts as this.
    Http,
    /// HTTPS with the system's certificates.
    Https,
    /// HTTPS with certificates that the user gave, with or without basic authentication.
    HttpsCustomCa,
    /// HTTP or HTTPS with basic authentication and the system's certificates.
    BasicAuth,
    /// A container registry.
    Registry,
    /// An upload; standard input counts as this.
    Upload,
}

impl Endpoint {
    /// Every endpoint, in the order of the table.
    pub const ALL: [Self; 6] =
        [Self::Http, Self::Https, Self::HttpsCustomCa, Self::BasicAuth, Self::Registry, Self::Upload];

    /// The name that the table shows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::HttpsCustomCa => "HTTPS, custom CA",
            Self::BasicAuth => "HTTP basic auth",
            Self::Registry => "Registry",
            Self::Upload => "Upload",
        }
    }
}

/// How closely CDI's documented use of scratch space is kept to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Scratch only for bytes whose place is not known yet and which exceed the memory budget.
    #[default]
    Lean,
    /// Scratch wherever CDI documents it, and nothing that CDI does not support.
    Strict,
}

impl Policy {
    /// Every policy, the default first.
    pub const ALL: [Self; 2] = [Self::Lean, Self::Strict];

    /// The name that options use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lean => "lean",
            Self::Strict => "strict",
        }
    }
}

/// CDI's mark in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Supported without scratch space.
    Supported,
    /// Supported with scratch space.
    Scratch,
    /// Supported, with scratch space because of a custom CA.
    ScratchForCustomCa,
    /// Not supported.
    Unsupported,
}

impl Mark {
    /// Every mark, in the order of the legend.
    pub const ALL: [Self; 4] = [Self::Supported, Self::Scratch, Self::ScratchForCustomCa, Self::Unsupported];

    /// The mark as CDI's documentation writes it.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Supported => "✓",
            Self::Scratch => "✓*",
            Self::ScratchForCustomCa => "✓**",
            Self::Unsupported => "□",
        }
    }

    /// What the mark means in CDI's documentation.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Supported => "supported, needs no scratch space",
            Self::Scratch => "supported, needs scratch space",
            Self::ScratchForCustomCa => "supported, needs scratch space if a custom CA is used",
            Self::Unsupported => "not supported",
        }
    }

    /// What diskpour does under `policy` in a cell with this mark.
    #[must_use]
    pub fn allows(self, policy: Policy) -> Treatment {
        match (self, policy) {
            (Self::Supported, _) => Treatment::NoScratch,
            (_, Policy::Lean) => Treatment::SpillOnly,
            (Self::Unsupported, Policy::Strict) => Treatment::Refused,
            (_, Policy::Strict) => Treatment::Stage,
        }
    }
}

/// What diskpour does with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// Never touches scratch, even where a scratch directory is given.
    NoScratch,
    /// Uses scratch only for bytes without a known place that exceed the memory budget.
    SpillOnly,
    /// Puts the whole image into scratch first.
    Stage,
    /// Refuses the image.
    Refused,
}

impl Treatment {
    /// What diskpour does, in a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NoScratch => "never scratch",
            Self::SpillOnly => "one pass, spills at most what exceeds the memory budget",
            Self::Stage => "the whole image goes through scratch",
            Self::Refused => "refused",
        }
    }

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoScratch => "no-scratch",
            Self::SpillOnly => "spill-only",
            Self::Stage => "stage",
            Self::Refused => "refused",
        }
    }
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// CDI's mark.
    pub mark: Mark,
    /// Why CDI has this mark here.
    pub reason: &'static str,
    /// Whether the compression is ours alone; the mark is then that of gzip.
    pub extension: bool,
}

impl Cell {
    /// What diskpour does in this cell under `policy`.
    #[must_use]
    pub fn allows(&self, policy: Policy) -> Treatment {
        self.mark.allows(policy)
    }
}

const fn cell_of(mark: Mark, reason: &'static str) -> Cell {
    Cell { mark, reason, extension: false }
}

const RANGES: Cell = cell_of(Mark::Supported, "qemu-img reads ranges from the server");
const STREAM: Cell = cell_of(Mark::Supported, "raw bytes go to the target as they arrive");
const PACKED: Cell = cell_of(Mark::Scratch, "qemu-img cannot read a compressed stream");
const CUSTOM_CA: Cell =
    cell_of(Mark::ScratchForCustomCa, "qemu-img's HTTP reader does not take the certificates");
const LAYER: Cell = cell_of(Mark::Scratch, "the disk is a file inside a layer that has to be unpacked");
const PACKED_LAYER: Cell =
    cell_of(Mark::Unsupported, "a compressed disk inside a container image is not documented to work");
const UPLOAD: Cell = cell_of(Mark::Scratch, "an upload arrives once and cannot be read at random");

/// CDI's footnote on its QCOW2 cells: a server without ranges needs scratch.
///
/// It takes the place of an unstarred QCOW2 cell when the server has not proved its ranges.
pub const WITHOUT_RANGES: Cell = cell_of(Mark::Scratch, "the server does not serve ranges");

/// One row: an endpoint and a layout, and a cell for no compression and for each codec.
#[derive(Clone, Copy, Debug)]
struct Row {
    endpoint: Endpoint,
    layout: Layout,
    plain: Cell,
    gzip: Cell,
    xz: Cell,
    /// Zstandard and bzip2: our extensions.
    ours: Cell,
}

const fn row(endpoint: Endpoint, layout: Layout, plain: Cell, gzip: Cell, xz: Cell) -> Row {
    Row { endpoint, layout, plain, gzip, xz, ours: Cell { extension: true, ..gzip } }
}

/// CDI's table of supported operations.
static ROWS: [Row; 12] = [
    row(Endpoint::Http, Layout::Qcow2, RANGES, PACKED, PACKED),
    row(Endpoint::Http, Layout::Raw, STREAM, STREAM, STREAM),
    row(Endpoint::Https, Layout::Qcow2, RANGES, PACKED, PACKED),
    row(Endpoint::Https, Layout::Raw, STREAM, STREAM, STREAM),
    row(Endpoint::HttpsCustomCa, Layout::Qcow2, CUSTOM_CA, PACKED, PACKED),
    row(Endpoint::HttpsCustomCa, Layout::Raw, STREAM, STREAM, STREAM),
    row(Endpoint::BasicAuth, Layout::Qcow2, RANGES, PACKED, PACKED),
    row(Endpoint::BasicAuth, Layout::Raw, STREAM, STREAM, STREAM),
    row(Endpoint::Registry, Layout::Qcow2, LAYER, PACKED_LAYER, PACKED_LAYER),
    row(Endpoint::Registry, Layout::Raw, LAYER, PACKED_LAYER, PACKED_LAYER),
    row(Endpoint::Upload, Layout::Qcow2, UPLOAD, UPLOAD, UPLOAD),
    row(Endpoint::Upload, Layout::Raw, UPLOAD, UPLOAD, UPLOAD),
];

impl Row {
    fn cell(&self, compression: Option<Codec>) -> &Cell {
        match compression {
            None => &self.plain,
            Some(Codec::Gzip) => &self.gzip,
            Some(Codec::Xz) => &self.xz,
            Some(Codec::Zstd | Codec::Bzip2) => &self.ours,
        }
    }
}

/// The cell of an image of `layout` from `endpoint`; `compression` is the outermost codec.
#[must_use]
pub fn cell(endpoint: Endpoint, layout: Layout, compression: Option<Codec>) -> &'static Cell {
    let row = ROWS.iter().find(|row| row.endpoint == endpoint && row.layout == layout);
    // A test looks every cell up; the first row stands in for what cannot be.
    row.unwrap_or(&ROWS[0]).cell(compression)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CDI's table as its documentation prints it: none, GZ, XZ of QCOW2, then of RAW.
    const DOCUMENTED: [(Endpoint, [&str; 6]); 6] = [
        (Endpoint::Http, ["✓", "✓*", "✓*", "✓", "✓", "✓"]),
        (Endpoint::Https, ["✓", "✓*", "✓*", "✓", "✓", "✓"]),
        (Endpoint::HttpsCustomCa, ["✓**", "✓*", "✓*", "✓", "✓", "✓"]),
        (Endpoint::BasicAuth, ["✓", "✓*", "✓*", "✓", "✓", "✓"]),
        (Endpoint::Registry, ["✓*", "□", "□", "✓*", "□", "□"]),
        (Endpoint::Upload, ["✓*", "✓*", "✓*", "✓*", "✓*", "✓*"]),
    ];

    #[test]
    fn the_marks_are_those_of_the_documentation() {
        for (endpoint, signs) in DOCUMENTED {
            let compressions = [None, Some(Codec::Gzip), Some(Codec::Xz)];
            let found: Vec<&str> = Layout::ALL
                .iter()
                .flat_map(|layout| compressions.map(|codec| cell(endpoint, *layout, codec).mark.sign()))
                .collect();
            assert_eq!(found, signs, "{endpoint:?}");
        }
    }

    #[test]
    fn every_cell_has_a_row_of_its_own() {
        for (at, row) in ROWS.iter().enumerate() {
            assert_eq!(row.endpoint, Endpoint::ALL[at / 2]);
            assert_eq!(row.layout, Layout::ALL[at % 2]);
        }
    }

    #[test]
    fn our_own_codecs_follow_gzip() {
        for row in &ROWS {
            for codec in [Codec::Zstd, Codec::Bzip2] {
                let ours = cell(row.endpoint, row.layout, Some(codec));
                assert!(ours.extension);
                assert_eq!(ours.mark, row.gzip.mark);
            }
        }
    }

    #[test]
    fn the_policies_treat_the_marks_as_the_design_says() {
        let table = [
            (Mark::Supported, Treatment::NoScratch, Treatment::NoScratch),
            (Mark::Scratch, Treatment::SpillOnly, Treatment::Stage),
            (Mark::ScratchForCustomCa, Treatment::SpillOnly, Treatment::Stage),
            (Mark::Unsupported, Treatment::SpillOnly, Treatment::Refused),
        ];
        for (mark, lean, strict) in table {
            assert_eq!(mark.allows(Policy::Lean), lean);
            assert_eq!(mark.allows(Policy::Strict), strict);
        }
    }
}
