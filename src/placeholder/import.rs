//! Stands in for the import until it is wired.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::config::ImportConfig;
use crate::error::{Error, Kind};
use crate::progress::{Progress, Stop};
use crate::report::Outcome;

/// Fails; with standard input, when it is stopped.
///
/// # Errors
/// Always.
pub fn run(config: &ImportConfig, _: &Arc<Progress>, stop: &Arc<Stop>) -> Result<Outcome, Error> {
    while config.source == "-" {
        stop.check()?;
        thread::sleep(Duration::from_millis(20));
    }
    Err(Error::new(Kind::Other, "the import is not wired yet"))
}
