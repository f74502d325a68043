//! Whether the bytes of a server drip: each comes in time, and the last would never.
//!
//! Refuses to know: clocks. Only time that was spent on waiting counts, so that a slow target is not
//! laid at the server's door.

use std::time::Duration;

use super::error::HttpError;

/// Bytes per second of waiting below which a server is as good as silent.
const LEAST: u64 = 1 << 10;

/// What came of the waiting since it was judged last.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Takes note of `bytes` that came after a wait; judges whenever the waiting comes to `window`.
    ///
    /// # Errors
    /// [`HttpError::Drips`] when too few bytes came in it.
    pub(super) fn came(&mut self, bytes: u64, waited: Duration, window: Duration) -> Result<(), HttpError> {
        self.waited = self.waited.saturating_add(waited);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.waited < window {
            return Ok(());
        }
        let Self { waited, bytes } = std::mem::take(self);
        let least = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).saturating_mul(LEAST) / 1000;
        if bytes < least { Err(HttpError::Drips { bytes, waited, least }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_kibibyte_a_second_is_enough_and_less_is_not() {
        let run = |bytes| {
            let mut pace = Pace::default();
            (0..30).try_for_each(|_| pace.came(bytes, SECOND, 10 * SECOND))
        };
        assert!(run(1024).is_ok());
        let error = run(1023).unwrap_err().to_string();
        assert_eq!(error, "only 10230 bytes in 10 s of waiting; 10240 are the least for --idle-timeout");
    }

    #[test]
    fn bytes_that_need_no_waiting_for_are_never_too_few() {
        let mut pace = Pace::default();
        for _ in 0..10_000 {
            pace.came(1, Duration::ZERO, SECOND).unwrap();
        }
        pace.came(1 << 10, 2 * SECOND, SECOND).unwrap();
        assert!(pace.came(1, SECOND, SECOND).is_err(), "what came before the last judgement counts no more");
    }
}
