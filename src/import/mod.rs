//! One import: open, look at the head, plan, pour, check, finish.
//!
//! Refuses to know: flags and environment, how progress is shown, exit codes.

mod archive;
pub(crate) mod clone;
pub(crate) mod head;
pub mod pod;
pub(crate) mod tap;
pub(crate) mod volume;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::config::{ContentType, ImportConfig, Overwrite, Resume, Verify};
use crate::copy::{Forward, Pouring, Waiting, ranged, stream};
use crate::error::{Error, Kind};
use crate::format::digest::Checksum;
use crate::format::magic::Layout;
use crate::format::qcow2::{HEADER_AREA, Header};
use crate::image::{Image, Qcow2, Raw, Trailer};
use crate::io::{Input, ReadAt, Sequential, relay};
use crate::journal::Key;
use crate::matrix::Endpoint;
use crate::plan::{Access, Digest, Facts, Plan, Route, Spill, plan};
use crate::progress::{Phase, Progress, Stop};
use crate::report::{DigestReport, Outcome};
use crate::scratch::Scratch;
use crate::sink::{self, Existing, Sink, SinkError, TargetSpec, Verifier};
use crate::source::{self, Context, NetworkOptions, Notes, Source};

use head::{Choices, Head};
use tap::Tap;

/// Pours the image that `config` names into the target that it names.
///
/// # Errors
/// Every [`Kind`] but usage; the target is then in the state that its sink documents.
pub fn run(config: &ImportConfig, progress: &Arc<Progress>, stop: &Arc<Stop>) -> Result<Outcome, Error> {
    let context = context(config, progress, stop);
    let notes = Arc::clone(&context.notes);
    let source = source::from_argument(&config.source, context)?;
    let endpoint = endpoint(&config.source, &config.network);
    pour(config, Origin { source, endpoint, notes }, progress, stop)
}

/// A source and the row of the matrix that it belongs to.
pub(crate) struct Origin {
    /// Where the image comes from.
    pub(crate) source: Box<dyn Source>,
    /// The row of the matrix.
    pub(crate) endpoint: Endpoint,
    /// What the source learns when it is opened.
    pub(crate) notes: Arc<Notes>,
}

/// Pours the image of `origin`, or unpacks its archive, into the target that `config` names.
///
/// # Errors
/// As for [`run`].
pub(crate) fn pour(
    config: &ImportConfig,
    origin: Origin,
    progress: &Arc<Progress>,
    stop: &Arc<Stop>,
) -> Result<Outcome, Error> {
    let tap = Tap::new(config.checksum.clone());
    let poured = match config.content_type {
        ContentType::Archive => archive::unpack(config, origin, progress, stop, &tap),
        ContentType::Kubevirt => disk(config, origin, progress, stop, &tap),
    };
    poured.map_err(|error| tap.judged(error, stop))
}

/// Pours the disk image of `origin`.
fn disk(
    config: &ImportConfig,
    origin: Origin,
    progress: &Arc<Progress>,
    stop: &Arc<Stop>,
    tap: &Tap,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let sink = open_sink(config, progress)?;
    let input = origin.source.open()?;
    if let Some(digest) = origin.notes.digest() {
        tap.rely_on(digest);
    }
    let access = access(&input);
    let head = head::open(input, choices(config), tap)?;
    let decided = plan(facts(config, origin.endpoint, access, &head))?;
    let pour = Import { config, progress, stop, sink: &*sink, tap };
    if config.resume == Resume::On {
        pour.resume(&head, &origin.notes);
    }
    let report = Report::new(&head, decided);
    let size = pour.route(head, decided).inspect_err(|error| pour.suspend(error))?;
    let digest = pour.finish(size, decided.route)?;
    if let Target::Watched(verifier) = &sink {
        progress.enter(Phase::Verifying);
        verifier.verify(size, progress, stop)?;
    }
    progress.enter(Phase::Done);
    let mut outcome = report.outcome(progress, size, started.elapsed());
    outcome.digest = digest.map(|value| DigestReport::new(&value, config.checksum.as_ref()));
    Ok(outcome)
}

/// The sink, and whether it is read back in the end.
enum Target {
    Plain(Box<dyn Sink>),
    Watched(Verifier),
}

impl std::ops::Deref for Target {
    type Target = dyn Sink;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Plain(sink) => &**sink,
            Self::Watched(verifier) => verifier,
        }
    }
}

fn open_sink(config: &ImportConfig, progress: &Arc<Progress>) -> Result<Target, SinkError> {
    let existing = match config.overwrite {
        Overwrite::Refuse => Existing::Refuse,
        Overwrite::Force => Existing::Overwrite,
    };
    let spec = TargetSpec {
        path: config.target.clone(),
        preallocation: config.preallocation,
        existing,
        max_size: config.max_size,
    };
    let sink = sink::open(&spec, Arc::clone(progress))?;
    Ok(match config.verify {
        Verify::Off => Target::Plain(sink),
        Verify::ReadBack => Target::Watched(Verifier::new(sink)),
    })
}

fn context(config: &ImportConfig, progress: &Arc<Progress>, stop: &Arc<Stop>) -> Context {
    Context {
        progress: Arc::clone(progress),
        stop: Arc::clone(stop),
        idle_timeout: config.idle_timeout,
        connections: config.connections,
        network: Arc::clone(&config.network),
        notes: Arc::default(),
    }
}

fn choices(config: &ImportConfig) -> Choices {
    let (format, compression) = (config.format, config.compression);
    Choices { format, compression, workers: config.workers, least: config.least }
}

/// The row of the matrix for a SOURCE argument.
pub(crate) fn endpoint(source: &str, network: &NetworkOptions) -> Endpoint {
    let scheme = |name: &str| source.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let authority = source.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
    let signed = network.username.is_some() || authority.is_some_and(|authority| authority.contains('@'));
    let web = scheme("http://") || scheme("https://");
    let registry = ["docker://", "oci:", "oci-archive:", "docker-archive:"];
    match source {
        "-" => Endpoint::Upload,
        _ if registry.into_iter().any(scheme) => Endpoint::Registry,
        // A custom CA decides, also together with a password.
        _ if scheme("https://") && !network.ca_certs.is_empty() => Endpoint::HttpsCustomCa,
        _ if web && signed => Endpoint::BasicAuth,
        _ if scheme("https://") => Endpoint::Https,
        _ => Endpoint::Http,
    }
}

pub(crate) fn access(input: &Input) -> Access {
    match input {
        Input::Random(_) => Access::Random,
        Input::Sequential(_) => Access::Sequential,
    }
}

fn facts(config: &ImportConfig, endpoint: Endpoint, access: Access, head: &Head) -> Facts {
    let digest = if config.checksum.is_some() { Digest::Wanted } else { Digest::Unasked };
    let (layout, codec, policy) = (head.layout, head.codecs.first().copied(), config.policy);
    Facts { endpoint, layout, codec, access, policy, digest }
}

/// What one import works with.
struct Import<'a> {
    config: &'a ImportConfig,
    progress: &'a Arc<Progress>,
    stop: &'a Arc<Stop>,
    sink: &'a dyn Sink,
    tap: &'a Tap,
}

impl<'a> Import<'a> {
    /// Pours by the way that was decided; returns the size of the image's disk in bytes.
    fn route(&self, head: Head, decided: Plan) -> Result<u64, Error> {
        let layout = head.layout;
        match decided.route {
            Route::Ranged => match head.input {
                Input::Random(place) => self.ranged(place, layout),
                Input::Sequential(_) => Err(Error::new(Kind::Other, "a stream cannot be read by ranges")),
            },
            Route::Stream => self.stream(head::received(head.input, self.tap)?),
            Route::Forward => self.forward(relay(head::received(head.input, self.tap)?), decided.spill),
            Route::Stage => {
                let staged = self.stage(relay(head::received(head.input, self.tap)?))?;
                // Before anything is made of bytes that may not be those expected.
                self.tap.check(self.stop)?;
                self.ranged(staged, layout)
            }
        }
    }

    /// Has the target go on where an import of the same image ended, and keep a journal of this one.
    fn resume(&self, head: &Head, notes: &Notes) {
        let Some(version) = notes.version() else {
            tracing::warn!(
                "this import cannot be resumed: the source does not say what tells this version of the image from \
                 another"
            );
            return;
        };
        let codecs: Vec<_> = head.codecs.iter().map(ToString::to_string).collect();
        let plan =
            format!("{} [{}] {}", head.layout.name(), codecs.join(" "), self.config.preallocation.name());
        let key = Key::new(&version.place, &version.validator, &plan);
        self.sink.resume(key, self.config.scratch_dir.as_deref());
    }

    /// Leaves the target for the next run where that may have more luck: the bytes were good so far.
    fn suspend(&self, error: &Error) {
        let kind = self.stop.check().map_or_else(|wish| wish.kind(), |()| error.kind());
        let wish = matches!(kind, Kind::Interrupted | Kind::Terminated);
        if wish || error.kind() == Kind::Unreachable {
            self.sink.suspend();
        }
    }

    fn pouring(&self) -> Pouring<'a> {
        self.progress.enter(Phase::Pouring);
        Pouring { sink: self.sink, progress: self.progress, stop: self.stop, workers: self.config.workers }
    }

    fn ranged(&self, place: Arc<dyn ReadAt>, layout: Layout) -> Result<u64, Error> {
        let image: Box<dyn Image> = match layout {
            Layout::Qcow2 => Box::new(Qcow2::open(place)?),
            Layout::Raw => Box::new(Raw::open(place, self.trailer())?),
        };
        self.fits(image.virtual_size())?;
        ranged(&*image, self.pouring())?;
        Ok(image.virtual_size())
    }

    fn stream(&self, source: Sequential) -> Result<u64, Error> {
        if let Some(len) = source.known_len() {
            self.fits(len)?;
        }
        stream(source, self.trailer(), self.pouring())
    }

    fn forward(&self, mut source: Sequential, spill: Spill) -> Result<u64, Error> {
        let area = source.peek(HEADER_AREA).map_err(|error| Error::from_io(error, Kind::Other))?;
        let header = Header::parse(area)?;
        let size = header.virtual_size;
        self.fits(size)?;
        let scratch_dir = match spill {
            Spill::Allowed => self.config.scratch_dir.clone(),
            Spill::Never => None,
        };
        let waiting = Waiting { memory_budget: self.config.memory_budget, scratch_dir };
        let len = source.known_len();
        Forward::new(header, len, &waiting, self.pouring()).run(source)?;
        Ok(size)
    }

    fn stage(&self, source: Sequential) -> Result<Arc<dyn ReadAt>, Error> {
        let Some(dir) = &self.config.scratch_dir else {
            let size = source.known_len().map_or_else(String::new, |len| format!(" ({len} bytes)"));
            let why = format!(
                "scratch required: --scratch-policy strict stages this image{size}; give --scratch-dir DIR"
            );
            return Err(Error::new(Kind::ScratchRequired, why));
        };
        self.progress.enter(Phase::Staging);
        Scratch::create(dir, Arc::clone(self.progress))?.stage(source, self.stop)
    }

    fn trailer(&self) -> Trailer {
        use crate::config::FormatChoice;
        if self.config.format == FormatChoice::Raw { Trailer::Free } else { Trailer::Checked }
    }

    /// That a disk of `size` bytes, or as large as the user wants it, fits before anything is written.
    fn fits(&self, size: u64) -> Result<(), Error> {
        self.progress.virtual_size.store(size, Relaxed);
        let needed = size.max(self.config.size.unwrap_or(0));
        match self.sink.capacity() {
            Some(capacity) if needed > capacity => Err(SinkError::TooSmall { needed, capacity }.into()),
            _ => Ok(()),
        }
    }

    /// Checks what was received, and makes the disk of `size` bytes complete and durable.
    fn finish(&self, size: u64, route: Route) -> Result<Option<Checksum>, Error> {
        self.fits(size)?;
        let digest = if route == Route::Ranged { None } else { Some(self.tap.check(self.stop)?) };
        self.stop.check()?;
        self.progress.enter(Phase::Flushing);
        self.sink.finish(size.max(self.config.size.unwrap_or(0)))?;
        Ok(digest)
    }
}

/// What the outcome says that is known before the bytes flow.
struct Report {
    format: &'static str,
    codecs: Vec<String>,
    route: Route,
    warnings: Vec<String>,
}

impl Report {
    fn new(head: &Head, decided: Plan) -> Self {
        Self {
            format: head.layout.name(),
            codecs: head.codecs.iter().map(ToString::to_string).collect(),
            route: decided.route,
            warnings: head.warnings.clone(),
        }
    }

    fn outcome(self, progress: &Progress, virtual_size: u64, took: Duration) -> Outcome {
        Outcome {
            format: self.format.to_owned(),
            codecs: self.codecs,
            route: self.route.name().to_owned(),
            virtual_size,
            warnings: self.warnings,
            ..counted(progress, took)
        }
    }
}

/// An outcome of which only the counters are filled in.
fn counted(progress: &Progress, took: Duration) -> Outcome {
    Outcome {
        fetched_bytes: progress.fetched.load(Relaxed),
        requests: progress.requests.load(Relaxed),
        retries: progress.retries.load(Relaxed),
        written_bytes: progress.written.load(Relaxed),
        zeroed_bytes: progress.zeroed.load(Relaxed),
        resumed_bytes: progress.kept.load(Relaxed),
        held_peak_bytes: progress.held_peak.load(Relaxed),
        scratch_bytes: progress.scratch.load(Relaxed),
        seconds: took.as_secs_f64(),
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_its_row_of_the_matrix() {
        let rows = [
            ("-", Endpoint::Upload),
            ("http://host/a@b", Endpoint::Http),
            ("HTTPS://host/a", Endpoint::Https),
            ("https://user:word@host/a", Endpoint::BasicAuth),
            ("http://user@host", Endpoint::BasicAuth),
            ("/images/a.qcow2", Endpoint::Http),
            ("file:///images/a@b.qcow2", Endpoint::Http),
            ("http", Endpoint::Http),
        ];
        for (source, expected) in rows {
            assert_eq!(endpoint(source, &NetworkOptions::default()), expected, "{source}");
        }
    }
}
