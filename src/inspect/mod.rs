//! What an image is and what an import would do; writes nothing.

pub mod size;
mod survey;

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;

use crate::config::{FormatChoice, InspectConfig};
use crate::error::{Error, Kind};
use crate::format::magic::Layout;
use crate::format::qcow2::{Compression, HEADER_AREA, Header};
use crate::format::size::human;
use crate::image::{Image, Qcow2, Raw, Trailer};
use crate::import::head::{self, Choices, Head};
use crate::import::tap::Tap;
use crate::import::{access, endpoint};
use crate::io::Input;
use crate::plan::{Digest, Facts, Plan, Route, Spill, plan};
use crate::progress::{Progress, Stop};
use crate::source::{self, Context};

pub use survey::Survey;

/// What an inspection found.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// `raw` or `qcow2`.
    pub format: &'static str,
    /// The codecs around it, the outermost first.
    pub codecs: Vec<&'static str>,
    /// Bytes of the source, where they are known.
    pub source_bytes: Option<u64>,
    /// Bytes of the guest's disk, where they are known.
    pub virtual_size: Option<u64>,
    /// What a QCOW2 header says beside that.
    pub qcow2: Option<Qcow2Facts>,
    /// The way that an import would take.
    pub route: &'static str,
    /// Why the supported-operations matrix says so.
    pub reason: &'static str,
    /// Bytes of scratch that the import needs at most; `None` where only the import can tell.
    pub scratch_bytes: Option<u64>,
    /// What the tables say, where they can be read.
    pub survey: Option<Survey>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What a QCOW2 header says.
#[derive(Debug, Serialize)]
pub struct Qcow2Facts {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of a cluster.
    pub cluster_size: u64,
    /// How compressed clusters are compressed.
    pub compression: &'static str,
    /// Whether clusters have subclusters.
    pub extended_l2: bool,
    /// Internal snapshots, which an import ignores.
    pub snapshots: u32,
}

/// Looks at the image that `config` names.
///
/// # Errors
/// As an import, as far as the head and the tables show it.
pub fn run(config: &InspectConfig, progress: &Arc<Progress>, stop: &Arc<Stop>) -> Result<Inspection, Error> {
    let context = Context {
        progress: Arc::clone(progress),
        stop: Arc::clone(stop),
        idle_timeout: config.idle_timeout,
        connections: config.connections,
        network: Arc::clone(&config.network),
        notes: Arc::default(),
    };
    let source = source::from_argument(&config.source, context)?;
    let endpoint = endpoint(&config.source, &config.network);
    let input = source.open()?;
    let (access, source_bytes) = (access(&input), input.known_len());
    let choices = Choices { format: config.format, compression: config.compression, workers: 1, least: 0 };
    let head = head::open(input, choices, &Tap::new(None))?;
    let digest = if config.checksum.is_some() { Digest::Wanted } else { Digest::Unasked };
    let (layout, codec, policy) = (head.layout, head.codecs.first().copied(), config.policy);
    let decided = plan(Facts { endpoint, layout, codec, access, policy, digest })?;
    look(config, head, decided, source_bytes, stop)
}

fn look(
    config: &InspectConfig,
    head: Head,
    decided: Plan,
    source_bytes: Option<u64>,
    stop: &Stop,
) -> Result<Inspection, Error> {
    let mut found = Inspection {
        format: head.layout.name(),
        codecs: head.codecs.iter().map(|codec| codec.name()).collect(),
        source_bytes,
        virtual_size: None,
        qcow2: None,
        route: decided.route.name(),
        reason: decided.cell.reason,
        scratch_bytes: None,
        survey: None,
        warnings: head.warnings,
    };
    match (head.layout, head.input) {
        (Layout::Qcow2, Input::Random(place)) => {
            let image = Qcow2::open(place)?;
            found.describe(image.header());
            let survey = Survey::of(&image, stop)?;
            found.scratch_bytes = scratch(decided, config.memory_budget, source_bytes, Some(&survey));
            found.survey = Some(survey);
        }
        (Layout::Qcow2, Input::Sequential(mut stream)) => {
            let area = stream.peek(HEADER_AREA).map_err(|error| Error::from_io(error, Kind::Other))?;
            found.describe(&Header::parse(area)?);
            found.scratch_bytes = scratch(decided, config.memory_budget, source_bytes, None);
        }
        (Layout::Raw, Input::Random(place)) => {
            let trailer = if config.format == FormatChoice::Raw { Trailer::Free } else { Trailer::Checked };
            found.virtual_size = Some(Raw::open(place, trailer)?.virtual_size());
            found.scratch_bytes = scratch(decided, 0, source_bytes, None);
        }
        (Layout::Raw, Input::Sequential(stream)) => {
            found.virtual_size = stream.known_len();
            found.scratch_bytes = scratch(decided, 0, source_bytes, None);
        }
    }
    Ok(found)
}

/// The most bytes of scratch that the plan needs, where that can be told.
fn scratch(decided: Plan, budget: u64, source: Option<u64>, survey: Option<&Survey>) -> Option<u64> {
    match (decided.route, decided.spill) {
        (Route::Ranged | Route::Stream, _) | (Route::Forward, Spill::Never) => Some(0),
        (Route::Stage, _) => source,
        (Route::Forward, Spill::Allowed) => {
            survey.map(|survey| if survey.late_bytes > budget { survey.late_bytes } else { 0 })
        }
    }
}

impl Inspection {
    fn describe(&mut self, header: &Header) {
        self.virtual_size = Some(header.virtual_size);
        self.qcow2 = Some(Qcow2Facts {
            version: header.version,
            cluster_size: header.geometry.cluster_size(),
            compression: match header.compression {
                Compression::Deflate => "zlib",
                Compression::Zstd => "zstd",
            },
            extended_l2: header.geometry.extended(),
            snapshots: header.snapshots,
        });
    }

    /// The inspection for people, a fact a line and a picture of the disk.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<14} {value}");
        };
        line("format", self.format.to_owned());
        if !self.codecs.is_empty() {
            line("compressed by", self.codecs.join(", then "));
        }
        if let Some(bytes) = self.source_bytes {
            line("source", sized(bytes));
        }
        line("disk", self.virtual_size.map_or("known only when all was read".to_owned(), sized));
        if let Some(facts) = &self.qcow2 {
            line("qcow2", facts.to_text());
        }
        line("route", format!("{} ({})", self.route, self.reason));
        line(
            "scratch",
            match self.scratch_bytes {
                Some(0) => "none".to_owned(),
                Some(bytes) => format!("at most {}", sized(bytes)),
                None => "only if more than --memory-budget comes before its table".to_owned(),
            },
        );
        if let Some(survey) = &self.survey {
            text.push_str(&survey.to_text());
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

impl Qcow2Facts {
    fn to_text(&self) -> String {
        let clusters = human(self.cluster_size);
        let mut text = format!("version {}, clusters of {clusters}, {}", self.version, self.compression);
        if self.extended_l2 {
            text.push_str(", subclusters");
        }
        if self.snapshots > 0 {
            let _ = write!(text, ", {} internal snapshots (ignored)", self.snapshots);
        }
        text
    }
}

fn sized(bytes: u64) -> String {
    format!("{} ({bytes} bytes)", human(bytes))
}
