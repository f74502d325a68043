//! Many cases in one test: all run, all failures are told.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Counts cases and keeps the failures of those that panic.
pub(crate) struct Tally {
    what: String,
    ran: usize,
    failures: Vec<String>,
}

impl Tally {
    pub(crate) fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), ran: 0, failures: Vec::new() }
    }

    /// Runs one case; its panic is its failure.
    pub(crate) fn case<T>(&mut self, name: impl Into<String>, case: impl FnOnce() -> T) -> Option<T> {
        self.ran += 1;
        match catch_unwind(AssertUnwindSafe(case)) {
            Ok(value) => Some(value),
            Err(panic) => {
                self.failures.push(format!("{}: {}", name.into(), words(&*panic)));
                None
            }
        }
    }

    /// Prints how many cases ran, and fails when one failed.
    pub(crate) fn finish(self) {
        println!("{}: {} cases, {} failed", self.what, self.ran, self.failures.len());
        assert!(self.failures.is_empty(), "{}:\n{}", self.what, self.failures.join("\n"));
    }
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}
