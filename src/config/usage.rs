//! What is said to somebody whose command line makes no sense.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::OutputStyle;
use super::environment;
use crate::error::{Classify, Kind};
use crate::format::redact;

/// A command line or a variable that makes no sense.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct UsageError {
    message: String,
    advice: String,
    output: OutputStyle,
}

impl Classify for UsageError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

impl UsageError {
    /// An error of our own making.
    pub(super) fn new(message: String, output: OutputStyle) -> Self {
        let advice = "For more information, try '--help'.".to_owned();
        Self { message: redact::urls(&message), advice, output }
    }

    /// clap's error about `argv`, without the secrets in the URLs of `argv`.
    pub(super) fn from_clap(error: &clap::Error, argv: &[OsString]) -> Self {
        let mut text = error.render().to_string();
        for arg in argv.iter().map(|arg| arg.to_string_lossy()).filter(|arg| arg.contains("://")) {
            // Of `--option=value` the message holds the value alone.
            let value = arg.strip_prefix("--").and_then(|arg| arg.split_once('=')).map(|(_, value)| value);
            for secret in [Some(arg.as_ref()), value].into_iter().flatten() {
                text = text.replace(secret, &redact::url(secret));
            }
        }
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            // clap's text is the whole help and says nothing of the error.
            return Self { message: "no command is given".to_owned(), advice: text, output: output_of(argv) };
        }
        let text = redact::urls(text.trim_end());
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let (message, advice) = text.split_once("\n\n").unwrap_or((text, ""));
        // Missing arguments are listed on lines of their own.
        let mut message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(variable) = blamed(error, argv) {
            message = format!("{message} ({variable} in the environment)");
        }
        Self { message, advice: advice.to_owned(), output: output_of(argv) }
    }

    /// What may help, on lines of its own; may be empty.
    #[must_use]
    pub fn advice(&self) -> &str {
        &self.advice
    }

    /// How the result was to be printed, as far as that can be made out.
    #[must_use]
    pub fn output(&self) -> OutputStyle {
        self.output
    }
}

/// The variable that holds the value which `error` complains of.
fn blamed(error: &clap::Error, argv: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let option = option.split_whitespace().next()?;
    let name = format!("DISKPOUR_{}", option.strip_prefix("--")?.to_uppercase().replace('-', "_"));
    let given = argv.iter().any(|arg| arg.to_string_lossy().starts_with(option));
    (!given && environment::variable(&name).is_some()).then_some(name)
}

/// How `argv` or the environment wants the result to be printed, seen before either was understood.
pub(super) fn output_of(argv: &[OsString]) -> OutputStyle {
    let mut wish = environment::variable("DISKPOUR_OUTPUT");
    for (at, arg) in argv.iter().enumerate() {
        match arg.to_str() {
            Some("--output") => wish = argv.get(at.saturating_add(1)).cloned(),
            Some(arg) => wish = arg.strip_prefix("--output=").map(OsString::from).or(wish),
            None => {}
        }
    }
    if wish.is_some_and(|wish| wish == "json") { OutputStyle::Json } else { OutputStyle::Text }
}
