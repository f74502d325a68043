//! How long a server is waited for, whatever the user says of idle times.
//!
//! Refuses to know: clocks and sockets.

use std::time::Duration;

/// The longest times of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For a connection to come up, TLS included.
    pub(super) connect: Duration,
    /// For the answer to begin, the connection included: a server behind a balancer that lost it
    /// answers the next request.
    pub(super) answer: Duration,
    /// For the words of an answer that is not the object.
    pub(super) words: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            words: Duration::from_secs(5),
        }
    }
}
