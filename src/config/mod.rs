//! From the command line and the environment, as given, to a [`Config`], as meant.
//!
//! The only room that reads either. Refuses to know: files, sockets, what a run does with it all.

mod args;
mod choices;
mod environment;
mod job;
mod meaning;
mod network;
mod pages;
mod pod;
mod serve;
mod usage;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::FromArgMatches;

use crate::format::digest::Checksum;
use crate::format::preallocation::Preallocation;
use crate::matrix::Policy;
use crate::source::{Locator, NetworkOptions};

pub use choices::{
    Colour, CompressionChoice, ContentType, FormatChoice, LogLevel, OutputStyle, Overwrite, ProgressStyle,
    Resume, Verify,
};
pub use clap_complete::Shell;
pub use job::{ClaimMode, JobConfig, JobResources, JobSecrets, Scratch};
pub use pages::{Page, completions, man};
pub use pod::{
    ClonePod, ClonePodError, FlagError, ImageServer, ImporterPod, NodePull, PodError, PodSource,
    SizeDetection, SmallError, UploadPodError, VolumeMode, Worker,
};
pub use serve::{Clients, PodTerms, Security, ServeConfig, TlsConfig, TlsVersion};
pub use usage::UsageError;

/// What the command line asks for.
#[derive(Debug)]
pub enum Parsed {
    /// A run.
    Run(Box<Config>),
    /// A text on standard output, and nothing else: help or the version.
    Say(String),
}

/// Everything that a run needs to know from its user.
#[derive(Debug)]
pub struct Config {
    /// What to do.
    pub command: Command,
    /// How much is logged on standard error.
    pub log_level: LogLevel,
    /// Whether logs may have colours.
    pub colour: Colour,
    /// Files and directories of certificates that stand in for the system's.
    pub system_certificates: Vec<PathBuf>,
}

impl Config {
    /// What the environment says for whatever is to be done.
    fn new(command: Command, log_level: LogLevel) -> Self {
        let system_certificates = environment::system_certificates();
        Self { command, log_level, colour: environment::stderr_colour(), system_certificates }
    }
}

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Pour an image into a target.
    Import(ImportConfig),
    /// Say what an image is and what an import would do.
    Inspect(InspectConfig),
    /// Receive an image over HTTPS.
    UploadServer(Box<ServeConfig>),
    /// Print a Kubernetes Job that imports.
    Job(Box<JobConfig>),
    /// Print the supported-operations matrix.
    Matrix(OutputStyle),
    /// Print a completion script.
    Completions(Shell),
    /// Print a manual page.
    Man(Page),
    /// Do what a pod of CDI is for.
    Worker(Worker),
}

impl Command {
    /// How the result is printed.
    #[must_use]
    pub fn output(&self) -> OutputStyle {
        match self {
            Self::Import(config) => config.output,
            Self::Inspect(config) => config.output,
            Self::UploadServer(config) => config.import.output,
            Self::Matrix(output) => *output,
            Self::Job(_) | Self::Completions(_) | Self::Man(_) | Self::Worker(_) => OutputStyle::Text,
        }
    }
}

/// An import, as meant.
#[derive(Clone)]
pub struct ImportConfig {
    /// Where the image is.
    pub source: Locator,
    /// The file or block device that takes the disk, or the directory that takes an archive.
    pub target: PathBuf,
    /// What the source holds.
    pub content_type: ContentType,
    /// The image's format.
    pub format: FormatChoice,
    /// The image's outermost compression.
    pub compression: CompressionChoice,
    /// The sum that the bytes as received must have.
    pub checksum: Option<Checksum>,
    /// Where bytes may wait on disk.
    pub scratch_dir: Option<PathBuf>,
    /// When bytes wait on disk.
    pub policy: Policy,
    /// The most bytes held in memory for want of a place.
    pub memory_budget: u64,
    /// Ranges under way at the same time.
    pub connections: usize,
    /// What is said of the network.
    pub network: Arc<NetworkOptions>,
    /// Threads that decode.
    pub workers: usize,
    /// The fewest bytes that an image may have, its codecs off.
    pub least: u64,
    /// The size in bytes that the disk grows to.
    pub size: Option<u64>,
    /// The largest disk in bytes that is taken, or the most bytes of an archive's files together.
    pub max_size: Option<u64>,
    /// What is done to the target's space first.
    pub preallocation: Preallocation,
    /// What happens to a file or a directory that is not empty.
    pub overwrite: Overwrite,
    /// Whether the target is read back.
    pub verify: Verify,
    /// Whether an import that was killed is gone on with.
    pub resume: Resume,
    /// How long the source may be silent.
    pub idle_timeout: Duration,
    /// How progress is shown.
    pub progress: ProgressStyle,
    /// How the result is printed.
    pub output: OutputStyle,
}

/// An inspection, as meant; the fields are those of [`ImportConfig`].
#[derive(Clone)]
pub struct InspectConfig {
    /// Where the image is.
    pub source: Locator,
    /// The image's format.
    pub format: FormatChoice,
    /// The image's outermost compression.
    pub compression: CompressionChoice,
    /// The sum that an import would check.
    pub checksum: Option<Checksum>,
    /// When bytes would wait on disk.
    pub policy: Policy,
    /// The most bytes that an import would hold in memory for want of a place.
    pub memory_budget: u64,
    /// Ranges under way at the same time.
    pub connections: usize,
    /// What is said of the network.
    pub network: Arc<NetworkOptions>,
    /// How long the source may be silent.
    pub idle_timeout: Duration,
    /// How the result is printed.
    pub output: OutputStyle,
}

// A derived Debug would need one of what is said of the network, secrets and all.
impl fmt::Debug for ImportConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportConfig")
            .field("source", &self.source)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for InspectConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InspectConfig").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Reads the command line `argv`, the program's name first, and the environment.
///
/// # Errors
/// [`UsageError`] when they make no sense; its text holds no password of a URL.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Parsed, UsageError> {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let output = usage::output_of(&argv);
    if let Some(called) = pod::called(&argv) {
        let call = called.map_err(|error| UsageError::new(error.to_string(), OutputStyle::Text))?;
        let config = Config::new(Command::Worker(call.worker), call.log_level);
        return Ok(Parsed::Run(Box::new(config)));
    }
    let matches = match args::command().try_get_matches_from(&argv) {
        Ok(matches) => matches,
        Err(said) if !said.use_stderr() => return Ok(Parsed::Say(help(&said))),
        Err(error) => return Err(UsageError::from_clap(&error, &argv)),
    };
    let config = args::Args::from_arg_matches(&matches)
        .map_err(|error| UsageError::from_clap(&error, &argv))
        .and_then(|args| {
            meaning::config(args).map_err(|misuse| UsageError::new(misuse.to_string(), output))
        })?;
    Ok(Parsed::Run(Box::new(config)))
}

/// The text of `--help` and `--version`, with bold headings where a terminal shows them.
fn help(said: &clap::Error) -> String {
    match environment::stdout_colour() {
        Colour::On => said.render().ansi().to_string(),
        Colour::Off => said.render().to_string(),
    }
}

#[cfg(test)]
mod tests;
