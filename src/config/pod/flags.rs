//! The flags that a controller gives its pods: those of Go's `flag` package and of klog.
//!
//! Refuses to know: what they are for. Only the verbosity matters here; the others are taken and
//! forgotten, as they say where klog would write.

use std::ffi::OsString;

/// Flags of klog that are on or off, and need no value.
const SWITCHES: [&str; 6] =
    ["alsologtostderr", "logtostderr", "skip_headers", "skip_log_headers", "add_dir_header", "one_output"];

/// Flags of klog that have a value.
const VALUES: [&str; 7] =
    ["v", "stderrthreshold", "vmodule", "log_dir", "log_file", "log_file_max_size", "log_backtrace_at"];

/// A flag that nobody knows, or that lacks its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Not one of the list.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// At the end of the command line.
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    /// A word that is no flag.
    #[error("{0:?} is no flag, and nothing else is expected")]
    Word(String),
}

/// The flags of a command line, those of klog and `own` ones with a value, the last of a name first.
///
/// # Errors
/// [`FlagError`] for what Go's package would refuse.
pub(super) fn parse(argv: &[OsString], own: &[&str]) -> Result<Flags, FlagError> {
    let mut flags = Flags::default();
    let mut words = argv.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            return Err(FlagError::Word(word));
        };
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        let name = name.to_owned();
        if SWITCHES.contains(&name.as_str()) {
            continue;
        }
        if !VALUES.contains(&name.as_str()) && !own.contains(&name.as_str()) {
            return Err(FlagError::Unknown(name));
        }
        let value = value.map(str::to_owned).or_else(|| words.next());
        let value = value.ok_or_else(|| FlagError::NoValue(name.clone()))?;
        flags.0.insert(0, (name, value));
    }
    Ok(flags)
}

/// The flags that were given with a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(Vec<(String, String)>);

impl Flags {
    /// What `name` was set to last.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(flag, _)| flag == name).map(|(_, value)| value.as_str())
    }

    /// How much the controller wants logged; 0 where it does not say.
    pub(super) fn verbosity(&self) -> u32 {
        self.value("v").and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Flags, FlagError> {
        let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&argv, &["image-path"])
    }

    #[test]
    fn the_forms_of_go_are_read() {
        for (line, verbosity) in [
            ("", 0),
            ("-v=3", 3),
            ("--v=3", 3),
            ("-v 3", 3),
            ("-alsologtostderr -v=1", 1),
            ("-alsologtostderr=false --stderrthreshold=INFO -v 2 -vmodule a=5", 2),
            ("-v=1 -v=5", 5),
            ("-v=x", 0),
        ] {
            assert_eq!(parsed(line).unwrap().verbosity(), verbosity, "{line}");
        }
        assert_eq!(parsed("-image-path /data/disk.img").unwrap().value("image-path"), Some("/data/disk.img"));
    }

    #[test]
    fn what_go_would_refuse_is_refused() {
        assert_eq!(parsed("-x"), Err(FlagError::Unknown("x".to_owned())));
        assert_eq!(parsed("--vv=3"), Err(FlagError::Unknown("vv".to_owned())));
        assert_eq!(parsed("-v"), Err(FlagError::NoValue("v".to_owned())));
        assert_eq!(parsed("import"), Err(FlagError::Word("import".to_owned())));
    }
}
