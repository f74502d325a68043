//! A seat for each connection, and who has to go when all are taken: whoever has been idle the longest.
//!
//! Connections that say nothing, or say it byte by byte, would otherwise keep everybody else out for
//! as long as each of them may wait.
//!
//! Refuses to know: what is said over a connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long one who has to go may take before the next has to.
const STEP: Duration = Duration::from_millis(50);

/// So many seats.
pub(super) struct Crowd {
    seats: Arc<Semaphore>,
    idle: Arc<Mutex<Idle>>,
}

/// Who is idle, the longest first.
#[derive(Default)]
struct Idle {
    next: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

impl Crowd {
    pub(super) fn new(seats: usize) -> Self {
        Self { seats: Arc::new(Semaphore::new(seats)), idle: Arc::default() }
    }

    /// A seat; where none is free, the one of who has been idle the longest, or the next to be free.
    pub(super) async fn admit(&self) -> Arc<Seat> {
        loop {
            if let Ok(permit) = Arc::clone(&self.seats).try_acquire_owned() {
                return Seat::taken(permit, &self.idle);
            }
            if let Some((_, longest)) = lock(&self.idle).waiting.pop_first() {
                longest.notify_one();
            }
            if let Ok(Ok(permit)) = timeout(STEP, Arc::clone(&self.seats).acquire_owned()).await {
                return Seat::taken(permit, &self.idle);
            }
        }
    }
}

/// The right of one connection to be there.
pub(super) struct Seat {
    idle: Arc<Mutex<Idle>>,
    /// Its place among the idle.
    number: Mutex<u64>,
    gone: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    fn taken(permit: OwnedSemaphorePermit, idle: &Arc<Mutex<Idle>>) -> Arc<Self> {
        let gone = Arc::new(Notify::new());
        let seat = Self { idle: Arc::clone(idle), number: Mutex::default(), gone, _permit: permit };
        seat.rest();
        Arc::new(seat)
    }

    /// Waits until the seat is another's.
    pub(super) async fn lost(&self) {
        self.gone.notified().await;
    }

    /// As long as the result lives, the connection is at work, and nobody takes its seat.
    pub(super) fn work(self: &Arc<Self>) -> Work {
        let number = *lock(&self.number);
        lock(&self.idle).waiting.remove(&number);
        Work(Arc::clone(self))
    }

    fn rest(&self) {
        let mut idle = lock(&self.idle);
        let number = idle.next;
        idle.next = number.saturating_add(1);
        idle.waiting.insert(number, Arc::clone(&self.gone));
        *lock(&self.number) = number;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let number = *lock(&self.number);
        lock(&self.idle).waiting.remove(&number);
    }
}

/// A connection at work; dropped, it is idle again.
pub(super) struct Work(Arc<Seat>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.rest();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::race::{Either, race};
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    /// Whether the seat was taken away.
    async fn is_lost(seat: &Seat) -> bool {
        race(seat.lost(), std::future::ready(())).await == Either::Left(())
    }

    #[test]
    fn who_was_idle_the_longest_loses_the_seat_and_who_works_never() {
        run(async {
            let crowd = Crowd::new(3);
            let (worker, first, second) = (crowd.admit().await, crowd.admit().await, crowd.admit().await);
            let work = worker.work();
            // Idle since later than the second.
            drop(first.work());
            let third = {
                let admitted = crowd.admit();
                let leaves = async {
                    second.lost().await;
                    drop(second);
                    std::future::pending::<()>().await;
                };
                let Either::Left(third) = race(admitted, leaves).await else { panic!("nobody was admitted") };
                third
            };
            assert!(!is_lost(&worker).await && !is_lost(&first).await && !is_lost(&third).await);
            drop(work);
        });
    }

    #[test]
    fn where_all_work_the_next_waits_for_one_to_end() {
        run(async {
            let crowd = Crowd::new(1);
            let seat = crowd.admit().await;
            let work = seat.work();
            assert!(timeout(STEP * 3, crowd.admit()).await.is_err());
            assert!(!is_lost(&seat).await);
            drop((work, seat));
            crowd.admit().await;
            assert!(lock(&crowd.idle).waiting.is_empty(), "who has left is forgotten");
        });
    }
}
