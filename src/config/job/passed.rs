//! The options of `diskpour import` that another command takes too and hands on as they are.
//!
//! Refuses to know: what they mean. They are the import's own, so that none can be forgotten.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches};

use crate::config::args::ImportArgs;
use crate::config::choices::ContentType;

/// Arguments of an import that concern files of the machine, or are said in another way.
const KEPT: [&str; 9] = [
    "source",
    "target",
    "scratch_dir",
    "username",
    "password_file",
    "header_file",
    "ca_cert",
    "proxy_ca_cert",
    "auth_file",
];

/// Options that were given, in the words of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) words: Vec<String>,
    /// What one of them says of the source.
    pub(super) content_type: ContentType,
}

impl clap::Args for Passed {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(options())
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Passed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |arg: &Arg| {
            let source = matches.value_source(arg.get_id().as_str());
            matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
        };
        let words = options().filter(given).flat_map(|arg| words(&arg, matches)).collect();
        let content_type = matches.get_one("content_type").copied().unwrap_or_default();
        Ok(Self { words, content_type })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The arguments of an import that are handed on.
fn options() -> impl Iterator<Item = Arg> {
    let import = ImportArgs::command();
    let options: Vec<Arg> =
        import.get_arguments().filter(|arg| !KEPT.contains(&arg.get_id().as_str())).cloned().collect();
    options.into_iter()
}

/// `arg` as it was given, each value in one word with its name.
fn words(arg: &Arg, matches: &ArgMatches) -> Vec<String> {
    let (Some(name), id) = (arg.get_long(), arg.get_id().as_str()) else { return Vec::new() };
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return if matches.get_flag(id) { vec![format!("--{name}")] } else { Vec::new() };
    }
    let values = matches.get_raw(id).into_iter().flatten();
    values.map(|value| format!("--{name}={}", value.to_string_lossy())).collect()
}
