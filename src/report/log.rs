//! Logs on standard error.

use tracing_subscriber::EnvFilter;

use super::pen::Pen;
use crate::config::{Colour, LogLevel};

/// Sends logs of `level` and above to `pen`; a second call changes nothing.
pub fn start_log(level: LogLevel, colour: Colour, pen: &Pen) {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    let pen = pen.clone();
    // Libraries log URLs and headers as they are; only what we log ourselves is free of secrets.
    let started = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("off,diskpour={level}")))
        .with_ansi(colour == Colour::On)
        .without_time()
        .with_target(false)
        .with_writer(move || pen.clone())
        .try_init();
    // The one failure is that logs were started before, by a test.
    drop(started);
}
