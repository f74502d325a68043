//! Two futures at a time, until the first of them is ready.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// What the first one to be ready gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Either<L, R> {
    Left(L),
    Right(R),
}

/// Runs both until one is ready, and drops the other; `left` wins when both are.
pub(super) async fn race<L, R>(
    left: impl Future<Output = L>,
    right: impl Future<Output = R>,
) -> Either<L, R> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(move |context| {
        if let Poll::Ready(value) = left.as_mut().poll(context) {
            return Poll::Ready(Either::Left(value));
        }
        right.as_mut().poll(context).map(Either::Right)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn the_first_that_is_ready_wins() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(race(ready(1), pending::<()>())), Either::Left(1));
        assert_eq!(runtime.block_on(race(pending::<()>(), ready(2))), Either::Right(2));
        assert_eq!(runtime.block_on(race(ready(1), ready(2))), Either::Left(1));
    }
}
