//! From arguments as given to a configuration as meant: what they mean together.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::args::{Args, CommandArgs, ImageArgs, ImportArgs, InspectArgs, OutputArgs, TargetArgs, WaitArgs};
use super::choices::{ContentType, FormatChoice, Overwrite, ProgressChoice, Resume, Verify};
use super::job::{self, JobMisuse};
use super::serve::{self, ServeMisuse};
use super::{Command, Config, ImportConfig, InspectConfig, environment, network};
use crate::format::preallocation::Preallocation;
use crate::format::size;
use crate::source::{Locator, NetworkOptions};

/// The unit of disk sizes in bytes.
const SECTOR: u64 = 512;

/// Arguments that make no sense together, or alone for a reason that the parser does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misuse {
    #[error("the target is a URL; the order is SOURCE TARGET, and the target is a file or a block device")]
    TargetIsUrl,
    #[error(
        "the target cannot be standard output, as the disk is not written in order; \
         ./- is a file of that name"
    )]
    TargetIsStdout,
    #[error("the source and the target are the same file")]
    SourceIsTarget,
    #[error("--{option} 0 leaves no disk")]
    NoDisk { option: &'static str },
    #[error(
        "--size {size} is no multiple of 512 bytes, which disks come in; the next is {}",
        size.next_multiple_of(SECTOR)
    )]
    NotSectors { size: u64 },
    #[error("--size {size} ({}) is larger than --max-size {max} ({})", size::human(*size), size::human(*max))]
    SizeAboveMax { size: u64, max: u64 },
    #[error("--{option} concerns disk images and means nothing for --content-type archive")]
    NotForArchives { option: &'static str },
    #[error("--idle-timeout 0 would end every import at once; give a long time instead, such as 7d")]
    NoPatience,
    #[error(transparent)]
    Serve(#[from] ServeMisuse),
    #[error(transparent)]
    Job(#[from] JobMisuse),
}

/// What `args` mean.
pub(super) fn config(args: Args) -> Result<Config, Misuse> {
    let command = match args.command {
        CommandArgs::Import(args) => Command::Import(import(*args)?),
        CommandArgs::Inspect(args) => Command::Inspect(inspect(args)?),
        CommandArgs::UploadServer(args) => Command::UploadServer(Box::new(serve::meaning(*args)?)),
        CommandArgs::Job(args) => Command::Job(Box::new(job::meaning(*args)?)),
        CommandArgs::Matrix(args) => Command::Matrix(args.output.output),
        CommandArgs::Completions(args) => Command::Completions(args.shell),
        CommandArgs::Man(args) => Command::Man(args.page),
    };
    Ok(Config::new(command, args.log_level))
}

fn import(args: ImportArgs) -> Result<ImportConfig, Misuse> {
    check_places(&args.source, &args.target)?;
    if args.content_type == ContentType::Archive {
        check_archive(&args)?;
    }
    let pouring = Pouring {
        image: args.image,
        wait: args.wait,
        scratch_dir: args.scratch_dir,
        workers: args.workers,
        idle_timeout: args.speed.idle_timeout,
        target: args.target_options,
        progress: args.progress,
        output: args.output,
    };
    Ok(ImportConfig {
        source: args.source,
        target: args.target,
        content_type: args.content_type,
        connections: usize::from(args.speed.connections),
        network: network::options(*args.network),
        resume: if args.resume { Resume::On } else { Resume::Off },
        ..pouring.meaning()?
    })
}

/// The options that every command has which pours.
pub(super) struct Pouring {
    pub(super) image: ImageArgs,
    pub(super) wait: WaitArgs,
    pub(super) scratch_dir: Option<PathBuf>,
    pub(super) workers: Option<u16>,
    pub(super) idle_timeout: Duration,
    pub(super) target: TargetArgs,
    pub(super) progress: ProgressChoice,
    pub(super) output: OutputArgs,
}

impl Pouring {
    /// What the options mean, of a disk image from nowhere to nowhere.
    pub(super) fn meaning(self) -> Result<ImportConfig, Misuse> {
        let target = self.target;
        check_sizes(target.size, target.max_size)?;
        if self.idle_timeout.is_zero() {
            return Err(Misuse::NoPatience);
        }
        Ok(ImportConfig {
            source: Locator::default(),
            target: PathBuf::new(),
            content_type: ContentType::Kubevirt,
            format: self.image.format,
            compression: self.image.compression,
            checksum: self.image.checksum,
            scratch_dir: self.scratch_dir,
            policy: self.wait.scratch_policy,
            memory_budget: self.wait.memory_budget,
            connections: 1,
            network: NetworkOptions::default().into(),
            workers: self.workers.map_or_else(processors, usize::from),
            least: 0,
            size: target.size,
            max_size: target.max_size,
            preallocation: target.preallocation,
            overwrite: if target.force { Overwrite::Force } else { Overwrite::Refuse },
            verify: if target.verify { Verify::ReadBack } else { Verify::Off },
            resume: Resume::Off,
            idle_timeout: self.idle_timeout,
            progress: environment::progress(self.progress, environment::stderr_redraws()),
            output: self.output.output,
        })
    }
}

fn inspect(args: InspectArgs) -> Result<InspectConfig, Misuse> {
    if args.speed.idle_timeout.is_zero() {
        return Err(Misuse::NoPatience);
    }
    Ok(InspectConfig {
        source: args.source,
        format: args.image.format,
        compression: args.image.compression,
        checksum: args.image.checksum,
        policy: args.wait.scratch_policy,
        memory_budget: args.wait.memory_budget,
        connections: usize::from(args.speed.connections),
        network: network::options(*args.network),
        idle_timeout: args.speed.idle_timeout,
        output: args.output.output,
    })
}

/// As many as the machine, or the container, gives us.
pub(super) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn check_places(source: &str, target: &Path) -> Result<(), Misuse> {
    let target_text = target.to_string_lossy();
    if target_text.contains("://") {
        return Err(Misuse::TargetIsUrl);
    }
    if target_text == "-" {
        return Err(Misuse::TargetIsStdout);
    }
    if Path::new(source.strip_prefix("file://").unwrap_or(source)) == target {
        return Err(Misuse::SourceIsTarget);
    }
    Ok(())
}

/// That nothing is asked of an archive which only a disk has.
fn check_archive(args: &ImportArgs) -> Result<(), Misuse> {
    let target = &args.target_options;
    let asked = [
        ("format", args.image.format != FormatChoice::Auto),
        ("size", target.size.is_some()),
        ("preallocation", target.preallocation != Preallocation::Off),
        ("verify", target.verify),
        ("resume", args.resume),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((option, _)) => Err(Misuse::NotForArchives { option }),
        None => Ok(()),
    }
}

fn check_sizes(size: Option<u64>, max: Option<u64>) -> Result<(), Misuse> {
    if max == Some(0) {
        return Err(Misuse::NoDisk { option: "max-size" });
    }
    let Some(size) = size else { return Ok(()) };
    if size == 0 {
        return Err(Misuse::NoDisk { option: "size" });
    }
    // The last multiple that fits is far away from any disk.
    if !size.is_multiple_of(SECTOR) && size < u64::MAX - SECTOR {
        return Err(Misuse::NotSectors { size });
    }
    match max {
        Some(max) if size > max => Err(Misuse::SizeAboveMax { size, max }),
        _ => Ok(()),
    }
}
