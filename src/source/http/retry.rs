//! How often and how soon a broken request is tried again: arithmetic only.
//!
//! Refuses to know: clocks and sockets; the caller sleeps.

use std::time::Duration;

use super::error::HttpError;

/// Tries without real progress, the first one included.
const TRIES: u32 = 5;

/// A try that delivered this much was progress; less would let a server that breaks after every
/// few bytes keep an import busy for days.
const PROGRESS: u64 = 1 << 20;

/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// What is left of the patience with one stream or one range.
#[derive(Debug, Default)]
pub(super) struct Patience {
    fruitless: u32,
    delivered: u64,
}

impl Patience {
    /// Counts bytes that the present try delivered.
    pub(super) fn delivered(&mut self, bytes: u64) {
        self.delivered = self.delivered.saturating_add(bytes);
    }

    /// The time to wait before the next try after `error`, and `error` for the log; `noise` spreads
    /// the tries of many importers.
    ///
    /// # Errors
    /// `error` itself when another try cannot help, [`HttpError::GivenUp`] when there were enough.
    pub(super) fn again(&mut self, error: HttpError, noise: u64) -> Result<(Duration, HttpError), HttpError> {
        if !error.is_passing() {
            return Err(error);
        }
        if self.delivered >= PROGRESS {
            self.fruitless = 0;
        }
        self.delivered = 0;
        self.fruitless = self.fruitless.saturating_add(1);
        if self.fruitless >= TRIES {
            return Err(HttpError::GivenUp { tries: TRIES, last: Box::new(error) });
        }
        let wait = match error.asked_wait() {
            Some(asked) => asked.min(LONGEST_ASKED),
            None => back_off(self.fruitless, noise),
        };
        Ok((wait, error))
    }
}

/// The wait before the try that follows `failed` failures: a short one, then 1, 2, 4 s and so on,
/// up to a quarter more or less by `noise`.
fn back_off(failed: u32, noise: u64) -> Duration {
    let millis = match failed {
        0 | 1 => 200,
        _ => 1000_u64.checked_shl(failed.saturating_sub(2)).map_or(15_000, |millis| millis.min(15_000)),
    };
    let spread = noise.checked_rem((millis / 2).saturating_add(1)).unwrap_or(0);
    Duration::from_millis((millis - millis / 4).saturating_add(spread).min(15_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> HttpError {
        HttpError::Short { got: 1, want: 2 }
    }

    #[test]
    fn the_waits_grow_from_a_quick_one_to_a_cap() {
        for (failed, low, high) in [
            (1, 150, 250),
            (2, 750, 1250),
            (3, 1500, 2500),
            (4, 3000, 5000),
            (6, 11_250, 15_000),
            (99, 11_250, 15_000),
        ] {
            for noise in [0, 1, 77, 500, 12_345, u64::MAX] {
                let millis = back_off(failed, noise).as_millis();
                assert!((low..=high).contains(&millis), "{failed} {noise}: {millis}");
            }
        }
    }

    #[test]
    fn five_fruitless_tries_are_enough() {
        let mut patience = Patience::default();
        for _ in 1..5 {
            patience.delivered(PROGRESS - 1);
            patience.again(broken(), 0).unwrap();
        }
        let end = patience.again(broken(), 0).unwrap_err();
        assert!(end.to_string().contains("5 tries"), "{end}");
    }

    #[test]
    fn progress_renews_the_patience() {
        let mut patience = Patience::default();
        for _ in 0..100 {
            patience.delivered(PROGRESS);
            assert!(patience.again(broken(), 0).unwrap().0 <= Duration::from_millis(200));
        }
    }

    #[test]
    fn what_cannot_pass_is_not_tried_again() {
        let end = Patience::default().again(HttpError::Lie("x".to_owned()), 0).unwrap_err();
        assert!(matches!(end, HttpError::Lie(_)));
    }

    #[test]
    fn the_server_may_ask_for_five_minutes_at_most() {
        let busy = |secs| HttpError::Busy {
            status: 503,
            wait: Some(Duration::from_secs(secs)),
            body: String::new(),
        };
        assert_eq!(Patience::default().again(busy(7), 9).unwrap().0, Duration::from_secs(7));
        assert_eq!(Patience::default().again(busy(9999), 9).unwrap().0, LONGEST_ASKED);
    }
}
