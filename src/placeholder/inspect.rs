//! Stands in for the inspection until it is wired.

use std::sync::Arc;

use serde::Serialize;

use crate::config::InspectConfig;
use crate::error::{Error, Kind};
use crate::progress::{Progress, Stop};

/// Nothing.
#[derive(Debug, Serialize)]
pub struct Inspection {}

impl Inspection {
    /// Nothing.
    #[must_use]
    pub fn to_text(&self) -> String {
        String::new()
    }
}

/// Fails.
///
/// # Errors
/// Always.
pub fn run(_: &InspectConfig, _: &Arc<Progress>, _: &Arc<Stop>) -> Result<Inspection, Error> {
    Err(Error::new(Kind::Other, "the inspection is not wired yet"))
}
