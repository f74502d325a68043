//! How far away a server is, and how much is worth asking it for at once.
//!
//! Refuses to know: what is asked for, and how many ask at a time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A range of a server nearby.
const SHORT: usize = 4 << 20;

/// A range of a server far away.
const LONG: usize = 16 << 20;

/// Asked for by all lanes together, at most, unless they are very many: the last of them would have little to do
/// beside the others.
const UNDER_WAY: usize = 64 << 20;

/// From here on a server is far: on the way to it a short range's time is lost.
const FAR: Duration = Duration::from_millis(5);

/// The shortest wait for the head of an answer so far.
#[derive(Debug)]
pub(super) struct Reach(AtomicU64);

impl Default for Reach {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Reach {
    /// Takes note of an answer whose head came after `wait`. The shortest counts: a longer one may be
    /// the server's work, or a new connection.
    pub(super) fn answered(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX).max(1);
        let shortest = |known| Some(if known == 0 { wait } else { wait.min(known) });
        // It never refuses.
        let _ = self.0.fetch_update(Relaxed, Relaxed, shortest);
    }

    /// Bytes worth asking for in one range, of which `lanes` are under way at a time.
    pub(super) fn piece(&self, lanes: usize) -> usize {
        if Duration::from_micros(self.0.load(Relaxed)) < FAR {
            return SHORT;
        }
        UNDER_WAY.checked_div(lanes).unwrap_or(LONG).clamp(SHORT, LONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_far_away_is_asked_for_more_at_once() {
        let reach = Reach::default();
        assert_eq!(reach.piece(4), SHORT, "nothing is known yet");
        reach.answered(4 * FAR);
        assert_eq!([1, 4, 8, 100].map(|lanes| reach.piece(lanes)), [LONG, LONG, LONG / 2, SHORT]);
        reach.answered(10 * FAR);
        assert_eq!(reach.piece(4), LONG);
        reach.answered(FAR / 10);
        reach.answered(4 * FAR);
        assert_eq!(reach.piece(4), SHORT, "the way is as long as the shortest wait");
    }
}
