//! What the user sees: progress while it runs, and the result or the error at the end.
//!
//! The only room that writes to standard output and standard error. Refuses to know: what a run does.

mod answer;
mod bar;
mod escape;
mod labels;
mod lines;
mod log;
mod meter;
mod outcome;
mod pen;
mod percent;
mod reporter;
pub mod termination;

pub use answer::{failure, panicked, refusal, result, say, warnings};
pub use escape::escaped;
pub use labels::labels;
pub use log::start_log;
pub use outcome::{DigestReport, Outcome};
pub use pen::Pen;
pub use percent::Percent;
pub use reporter::Reporter;
