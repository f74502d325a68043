//! The end of a run: its result on standard output, its error on standard error.

use std::io::{self, Write};
use std::panic::PanicHookInfo;

use serde::Serialize;

use super::escape::escaped;
use crate::config::{OutputStyle, UsageError};
use crate::error::{Error, Kind};
use crate::format::redact;

/// Prints a text on standard output.
///
/// # Errors
/// Whatever standard output fails with; a reader that has left is no failure.
pub fn say(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // `diskpour man | head` is no error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// Prints the result of a run on standard output; `to_text` words it for people.
///
/// # Errors
/// As for [`say`].
pub fn result<T: Serialize>(value: &T, to_text: fn(&T) -> String, style: OutputStyle) -> io::Result<()> {
    let text = match style {
        OutputStyle::Text => to_text(value),
        OutputStyle::Json => serde_json::to_string(value)?,
    };
    // Names of features and the like come from the image.
    let lines = text.lines().map(|line| escaped(line) + "\n");
    say(lines.collect::<String>().as_bytes())
}

/// Prints what the user should know on standard error, where the result does not say it.
pub fn warnings(warnings: &[String], style: OutputStyle) {
    for warning in warnings.iter().filter(|_| style == OutputStyle::Text) {
        complain(&format!("diskpour: warning: {}\n", escaped(&redact::urls(warning))));
    }
}

/// Prints why a run failed: a line on standard error, and with JSON an object on standard output.
pub fn failure(error: &Error, style: OutputStyle) {
    let (kind, message) = (error.kind(), redact::urls(&error.to_string()));
    let hint = hint(kind).map_or_else(String::new, |hint| format!("hint: {hint}\n"));
    complain(&format!("diskpour: error: {}\n{hint}", escaped(&message)));
    print_object(kind, &message, style);
}

/// Prints why a command line is refused, as [`failure`] does.
pub fn refusal(error: &UsageError) {
    // The advice is of clap's making, and may quote the command line.
    let advice: Vec<String> = error.advice().lines().map(|line| format!("{}\n", escaped(line))).collect();
    let message = error.to_string();
    complain(&format!("diskpour: error: {}\n\n{}", escaped(&message), advice.concat()));
    print_object(Kind::Usage, &message, error.output());
}

/// Prints where a defect of ours showed; a panic hook.
pub fn panicked(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, ToString::to_string);
    let what = info.payload_as_str().unwrap_or("no words");
    complain(&format!("diskpour: defect at {place}: {}\n", escaped(&redact::urls(what))));
}

/// Writes `text` to standard error; where that fails there is nobody left to tell.
fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[derive(Serialize)]
struct Failure<'a> {
    error: Details<'a>,
}

#[derive(Serialize)]
struct Details<'a> {
    kind: &'static str,
    message: &'a str,
    exit_code: u8,
}

fn print_object(kind: Kind, message: &str, style: OutputStyle) {
    if style == OutputStyle::Text {
        return;
    }
    let details = Details { kind: word(kind), message, exit_code: kind.verdict().exit_code };
    // The exit code tells it too, if standard output is gone.
    let _ = serde_json::to_string(&Failure { error: details })
        .map_err(io::Error::from)
        .and_then(|text| say(format!("{text}\n").as_bytes()));
}

/// The name of `kind` in JSON.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Usage => "usage",
        Kind::Unreachable => "unreachable",
        Kind::Refused => "refused",
        Kind::Integrity => "integrity",
        Kind::Image => "image",
        Kind::TargetFull => "target-full",
        Kind::ScratchRequired => "scratch-required",
        Kind::ScratchFull => "scratch-full",
        Kind::Interrupted => "interrupted",
        Kind::Terminated => "terminated",
        Kind::Other => "other",
    }
}

/// What helps against `kind`, where one thing helps.
fn hint(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::ScratchRequired => {
            Some("give a directory with --scratch-dir DIR, or hold more with --memory-budget SIZE")
        }
        Kind::ScratchFull => Some("give a directory with more space with --scratch-dir DIR"),
        Kind::Unreachable => Some("the same command may succeed when it is given again"),
        Kind::TargetFull => Some("give a larger target, or make space"),
        Kind::Usage
        | Kind::Refused
        | Kind::Integrity
        | Kind::Image
        | Kind::Interrupted
        | Kind::Terminated
        | Kind::Other => None,
    }
}
