//! SIGINT and SIGTERM: a wish to end first, and an end when nobody obeys it.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use diskpour::config::OutputStyle;
use diskpour::error::{Error, Kind};
use diskpour::progress::{Progress, Stop};
use diskpour::report::{self, Pen};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::end;

/// How long a run may take to end after a signal before it is ended.
const PATIENCE: Duration = Duration::from_millis(800);

/// How long the last steps may take then; a target that hangs must not keep the process.
const LAST_STEPS: Duration = Duration::from_millis(150);

/// Tells people why a run ended.
pub(super) fn telling(output: OutputStyle) -> impl FnOnce(&Error) + Send + 'static {
    move |error| report::failure(error, output)
}

/// Counters, and a wish to end that SIGINT and SIGTERM set. When a signal ends the process, `tell` says so.
pub(super) fn watched(
    pen: &Pen,
    tell: impl FnOnce(&Error) + Send + 'static,
) -> Result<(Arc<Progress>, Arc<Stop>), Error> {
    let (progress, stop) = (Arc::new(Progress::default()), Arc::new(Stop::default()));
    let failed = |error| Error::new(Kind::Other, format!("cannot wait for signals: {error}"));
    let signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let (run, wish, pen) = (Arc::clone(&progress), Arc::clone(&stop), pen.clone());
    let last_steps = move |error: &Error| {
        run.undo.run();
        pen.clear();
        tell(error);
    };
    let watch = move || obey_signals(signals, &wish, last_steps);
    thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(failed)?;
    Ok((progress, stop))
}

/// Asks for the end at the first signal; takes it at the second, or when patience ends.
fn obey_signals(mut signals: Signals, stop: &Stop, last_steps: impl FnOnce(&Error) + Send + 'static) {
    let Some(signal) = signals.forever().next() else { return };
    let (kind, words) = match signal {
        SIGINT => (Kind::Interrupted, "stopped by SIGINT"),
        _ => (Kind::Terminated, "stopped by SIGTERM"),
    };
    stop.ask(kind);
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE && signals.pending().next().is_none() {
        thread::sleep(Duration::from_millis(20));
    }
    let (done, wait) = channel();
    let steps = move || {
        last_steps(&Error::new(kind, words));
        // Nobody waits any more when patience ended first.
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(steps).is_ok() {
        let _ = wait.recv_timeout(LAST_STEPS);
    }
    end(kind.verdict().exit_code)
}
