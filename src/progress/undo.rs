//! What must still happen to the target when the program is ended from outside.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One step, run at most once, when a signal ends the program before the sink could be dropped.
#[derive(Default)]
pub struct Undo(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Undo {
    /// Makes `step` what happens; it takes the place of an earlier one.
    pub fn arm(&self, step: impl FnOnce() + Send + 'static) {
        *self.step() = Some(Box::new(step));
    }

    /// Leaves nothing to happen: the target is complete, or its owner has cleaned up.
    pub fn disarm(&self) {
        *self.step() = None;
    }

    /// Runs the step, if there is one.
    pub fn run(&self) {
        // The lock ends before the step runs, which may take its time.
        let step = self.step().take();
        if let Some(step) = step {
            step();
        }
    }

    fn step(&self) -> MutexGuard<'_, Option<Box<dyn FnOnce() + Send>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.step().is_some() { "Undo(armed)" } else { "Undo" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

    use super::*;

    #[test]
    fn a_step_runs_once_and_only_while_armed() {
        let (undo, runs) = (Undo::default(), Arc::new(AtomicU8::new(0)));
        let counted = || {
            let runs = Arc::clone(&runs);
            move || {
                runs.fetch_add(1, Relaxed);
            }
        };
        undo.run();
        undo.arm(counted());
        undo.disarm();
        undo.run();
        assert_eq!(runs.load(Relaxed), 0);
        undo.arm(counted());
        undo.run();
        undo.run();
        assert_eq!(runs.load(Relaxed), 1);
    }
}
