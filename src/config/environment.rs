//! The environment: variables and what the standard streams lead to.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use super::choices::{Colour, ProgressChoice, ProgressStyle};

/// The variable `name`; an empty one counts as unset.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(super) fn variable(name: impl AsRef<std::ffi::OsStr>) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The variable `name` as text; an empty one counts as unset.
pub(super) fn text(name: &str) -> Option<String> {
    variable(name).map(|value| value.to_string_lossy().into_owned())
}

/// Where variables that other programs know too say that the certificates of the system are.
pub(super) fn system_certificates() -> Vec<PathBuf> {
    ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(variable).map(PathBuf::from).collect()
}

/// Every variable, as `NAME=value`.
pub(super) fn all() -> Vec<String> {
    let pair = |(name, value): (OsString, OsString)| {
        format!("{}={}", name.to_string_lossy(), value.to_string_lossy())
    };
    std::env::vars_os().map(pair).collect()
}

/// Whether the variable `name` is set to nothing.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(super) fn is_empty(name: impl AsRef<std::ffi::OsStr>) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Whether standard output may have colours.
pub(super) fn stdout_colour() -> Colour {
    colour(std::io::stdout().is_terminal())
}

/// Whether standard error may have colours.
pub(super) fn stderr_colour() -> Colour {
    colour(stderr_redraws())
}

/// Whether standard error is a terminal that can draw a line again.
pub(super) fn stderr_redraws() -> bool {
    std::io::stderr().is_terminal() && !is_dumb()
}

/// What `choice` comes to where standard error `redraws` lines or cannot.
pub(super) fn progress(choice: ProgressChoice, redraws: bool) -> ProgressStyle {
    match choice {
        ProgressChoice::Auto | ProgressChoice::Bar if redraws => ProgressStyle::Bar,
        ProgressChoice::Auto | ProgressChoice::Bar | ProgressChoice::Plain => ProgressStyle::Plain,
        ProgressChoice::Json => ProgressStyle::Json,
        ProgressChoice::None => ProgressStyle::None,
    }
}

fn colour(terminal: bool) -> Colour {
    if terminal && !is_dumb() && variable("NO_COLOR").is_none() { Colour::On } else { Colour::Off }
}

fn is_dumb() -> bool {
    variable("TERM").is_some_and(|term| term == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_drawn_only_where_lines_can_be_drawn_again() {
        let table = [
            (ProgressChoice::Auto, ProgressStyle::Bar, ProgressStyle::Plain),
            (ProgressChoice::Bar, ProgressStyle::Bar, ProgressStyle::Plain),
            (ProgressChoice::Plain, ProgressStyle::Plain, ProgressStyle::Plain),
            (ProgressChoice::Json, ProgressStyle::Json, ProgressStyle::Json),
            (ProgressChoice::None, ProgressStyle::None, ProgressStyle::None),
        ];
        for (choice, on_terminal, elsewhere) in table {
            assert_eq!(progress(choice, true), on_terminal);
            assert_eq!(progress(choice, false), elsewhere);
        }
    }
}
