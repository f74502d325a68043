//! Shows the progress of a run, in a thread of its own that ends with it.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::bar::Bar;
use super::lines;
use super::meter::{Meter, Snapshot, Speed};
use super::pen::Pen;
use crate::config::ProgressStyle;
use crate::progress::{Phase, Progress};

/// How often the counters are looked at: often enough for a bar that moves.
const TICK: Duration = Duration::from_millis(200);

/// Between two lines for people; a log of an hour stays readable.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Between two lines for programs.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// Progress is shown as long as this lives.
#[derive(Debug)]
pub struct Reporter {
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    /// Shows `progress` in `style` through `pen`, until the reporter is dropped.
    #[must_use]
    pub fn start(progress: &Arc<Progress>, style: ProgressStyle, pen: &Pen) -> Self {
        if style == ProgressStyle::None {
            return Self { end: None, thread: None };
        }
        let (end, ended) = channel();
        let (progress, pen) = (Arc::clone(progress), pen.clone());
        let show = move || match style {
            ProgressStyle::Bar => draw(&progress, &ended, &Bar::new(&pen)),
            ProgressStyle::Plain => write_lines(&progress, &ended, PLAIN_EVERY, lines::plain, pen),
            ProgressStyle::Json => write_lines(&progress, &ended, JSON_EVERY, lines::json, pen),
            ProgressStyle::None => {}
        };
        // An import without progress is better than none.
        let thread = thread::Builder::new().name("report".to_owned()).spawn(show).ok();
        Self { end: Some(end), thread }
    }

    /// Ends the showing; the last state was shown when this returns.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // A defect in the showing must not end the run.
            let _ = thread.join();
        }
    }
}

/// Whether the reporter ended, after at most one tick.
fn ends(ended: &Receiver<()>) -> bool {
    !matches!(ended.recv_timeout(TICK), Err(RecvTimeoutError::Timeout))
}

fn draw(progress: &Progress, ended: &Receiver<()>, bar: &Bar) {
    let (started, mut meter) = (Instant::now(), Meter::default());
    while !ends(ended) {
        let snapshot = Snapshot::take(progress);
        bar.draw(&snapshot, meter.read(started.elapsed(), &snapshot));
    }
}

/// A line at each change of the phase, and `every` so often in between.
fn write_lines(
    progress: &Progress,
    ended: &Receiver<()>,
    every: Duration,
    line: fn(&Snapshot, Speed) -> String,
    mut out: impl Write,
) {
    let (started, mut meter) = (Instant::now(), Meter::default());
    let mut last: Option<(Phase, Instant)> = None;
    let mut end = false;
    loop {
        let snapshot = Snapshot::take(progress);
        let speed = meter.read(started.elapsed(), &snapshot);
        let due = last.is_none_or(|(phase, then)| phase != snapshot.phase || then.elapsed() >= every);
        if due {
            // Nobody reads any more; the run goes on.
            let _ = writeln!(out, "{}", line(&snapshot, speed));
            last = Some((snapshot.phase, Instant::now()));
        }
        if end {
            return;
        }
        end = ends(ended);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(Into::into).collect()
        }
    }

    #[test]
    fn each_phase_has_its_line_and_the_last_state_is_shown() {
        let (progress, paper) = (Progress::default(), Paper::default());
        let (end, ended) = channel();
        thread::scope(|scope| {
            let out = paper.clone();
            let progress = &progress;
            scope.spawn(move || write_lines(progress, &ended, PLAIN_EVERY, lines::plain, out));
            while paper.lines().is_empty() {
                thread::yield_now();
            }
            progress.fetched.store(4096, Relaxed);
            progress.enter(Phase::Pouring);
            while paper.lines().len() < 2 {
                thread::yield_now();
            }
            progress.enter(Phase::Done);
            drop(end);
        });
        let lines = paper.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0], "opening");
        assert!(lines[1].starts_with("pouring: 4.0 KiB fetched, 0 B written"), "{lines:?}");
        assert!(lines[2].starts_with("done: "), "{lines:?}");
    }

    #[test]
    fn a_reporter_ends_its_thread() {
        let progress = Arc::new(Progress::default());
        for style in [ProgressStyle::None, ProgressStyle::Bar] {
            Reporter::start(&progress, style, &Pen::default()).finish();
        }
        assert_eq!(Arc::strong_count(&progress), 1);
    }
}
