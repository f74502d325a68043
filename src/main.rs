//! Parse, run, write the result, exit: the one place that ends the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use std::{io, panic};

use diskpour::config::{
    self, ClonePod, ClonePodError, Command, Config, ImportConfig, ImporterPod, InspectConfig, OutputStyle,
    Parsed, PodError, ServeConfig, UploadPodError, Worker,
};
use diskpour::error::{Error, Kind};
use diskpour::inspect::Inspection;
use diskpour::progress::{Progress, Stop};
use diskpour::report::termination::{self, Ended};
use diskpour::report::{self, Pen, Percent, Reporter};
use diskpour::serve::{Ending, Metrics};
use diskpour::{clone, import, inspect, matrix, serve, sys};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The counter of importer pods that the controller asks for.
const IMPORT_METRIC: &str = "kubevirt_cdi_import_progress_total";

/// The same of clone sources.
const CLONE_METRIC: &str = "kubevirt_cdi_clone_progress_total";

/// What the user reads after a panic, whose own words went to the log.
const DEFECT: &str = "a defect of diskpour ended the run; please report the line above";

/// How long a run may take to end after a signal before it is ended.
const PATIENCE: Duration = Duration::from_millis(800);

/// How long the last steps may take then; a target that hangs must not keep the process.
const LAST_STEPS: Duration = Duration::from_millis(150);

/// The exit code of a worker that failed.
const FAILED: u8 = 1;

/// The exit code of what CDI takes for fatal.
const FATAL: u8 = 255;

fn main() {
    panic::set_hook(Box::new(report::panicked));
    sys::signal::ignore_file_size_limit();
    let code = match config::parse(std::env::args_os()) {
        Ok(Parsed::Run(config)) => run(*config),
        Ok(Parsed::Say(text)) => code_of(told(report::say(text.as_bytes())), OutputStyle::Text),
        Err(error) => {
            report::refusal(&error);
            Kind::Usage.verdict().exit_code
        }
    };
    end(code)
}

/// Does what `config` says; the exit code.
fn run(config: Config) -> u8 {
    let pen = Pen::default();
    report::start_log(config.log_level, config.colour, &pen);
    if let Command::Worker(worker) = config.command {
        return work(worker, &pen);
    }
    let output = config.command.output();
    // Threads and files of the run are gone when this returns, whichever way it ended.
    let done = catch_unwind(AssertUnwindSafe(|| obey(config.command, &pen)));
    code_of(done.unwrap_or_else(|_| Err(Error::new(Kind::Other, DEFECT))), output)
}

/// Does what a pod is for, and leaves its termination message; the exit code.
fn work(worker: Worker, pen: &Pen) -> u8 {
    let done = catch_unwind(AssertUnwindSafe(|| match worker {
        Worker::Importer(pod) => importer(pod, pen),
        Worker::UploadServer(pod) => upload_pod(pod, pen),
        Worker::CloneSource(pod) => clone_pod(pod, pen),
    }));
    let failed = |text: &str| Ended { exit_code: 1, message: Some(termination::plain(text)) };
    let ended = match done {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => failed(&error.to_string()),
        Err(_) => failed(DEFECT),
    };
    if let Some(message) = ended.message {
        termination::last_words(&message);
    }
    ended.exit_code
}

fn importer(pod: Result<Box<ImporterPod>, PodError>, pen: &Pen) -> Result<Ended, Error> {
    let pod = match pod {
        Ok(pod) => pod,
        Err(error) => {
            report::failure(&Error::new(Kind::Usage, error.clone()), OutputStyle::Text);
            // CDI's importer ends without a message there, and the log stands in for it.
            let silent = error == PodError::Preallocation;
            return Ok(Ended {
                exit_code: 1,
                message: (!silent).then(|| termination::plain(&error.to_string())),
            });
        }
    };
    let (progress, stop) =
        watched(pen, |error| termination::last_words(&termination::plain(&error.to_string())))?;
    let (counted, percent) = (Arc::clone(&progress), Percent::default());
    let metrics = Metrics::start(IMPORT_METRIC, &pod.owner_uid, Arc::new(move || percent.of(&counted)));
    let reporter = Reporter::start(&progress, pod.import.progress, pen);
    let ended = import::pod::run(&pod, &progress, &stop);
    reporter.finish();
    drop(metrics);
    Ok(ended)
}

fn upload_pod(pod: Result<Box<ServeConfig>, UploadPodError>, pen: &Pen) -> Result<Ended, Error> {
    let code = if matches!(pod, Err(UploadPodError::Deadline)) { FATAL } else { FAILED };
    let done = pod.map_err(|error| Error::new(Kind::Usage, error)).and_then(|config| {
        let (progress, stop) = watched(pen, telling(OutputStyle::Text))?;
        let ended = serve::run(&config, pen, &progress, &stop).map_err(|error| cause_of(error, &stop))?;
        Ok(ended.termination().to_json())
    });
    Ok(ended(done, code))
}

fn clone_pod(pod: Result<Box<ClonePod>, ClonePodError>, pen: &Pen) -> Result<Ended, Error> {
    let done = pod.map_err(|error| Error::new(Kind::Usage, error)).and_then(|config| {
        let (progress, stop) = watched(pen, telling(OutputStyle::Text))?;
        let (counted, percent) = (Arc::clone(&progress), Percent::default());
        let metrics = Metrics::start(CLONE_METRIC, &config.owner_uid, Arc::new(move || percent.of(&counted)));
        let said = clone::run(&config, pen, &progress, &stop).map_err(|error| cause_of(error, &stop));
        drop(metrics);
        said
    });
    Ok(ended(done, FATAL))
}

/// How a pod of clones and uploads ends: a failure, with `code` or a signal's, leaves no message, and the
/// end of its log stands in for it.
fn ended(done: Result<String, Error>, code: u8) -> Ended {
    match done {
        Ok(message) => Ended { exit_code: 0, message: Some(message) },
        Err(error) => match code_of(Err(error), OutputStyle::Text) {
            signal @ 128.. => Ended { exit_code: signal, message: None },
            _ => Ended { exit_code: code, message: None },
        },
    }
}

fn obey(command: Command, pen: &Pen) -> Result<(), Error> {
    match command {
        Command::Import(config) => import(&config, pen),
        Command::Inspect(config) => inspect(&config, pen),
        Command::UploadServer(config) => upload_server(&config, pen),
        Command::Matrix(OutputStyle::Text) => told(report::say(matrix::to_text().as_bytes())),
        Command::Matrix(OutputStyle::Json) => told(report::say((matrix::to_json() + "\n").as_bytes())),
        Command::Completions(shell) => told(report::say(&config::completions(shell))),
        // Pods have an end of their own.
        Command::Worker(_) => Ok(()),
        Command::Man(page) => told(config::man(page).and_then(|roff| report::say(&roff))),
    }
}

fn import(config: &ImportConfig, pen: &Pen) -> Result<(), Error> {
    let (progress, stop) = watched(pen, telling(config.output))?;
    let reporter = Reporter::start(&progress, config.progress, pen);
    let outcome = import::run(config, &progress, &stop);
    reporter.finish();
    let outcome = outcome.map_err(|error| cause_of(error, &stop))?;
    report::warnings(&outcome.warnings, config.output);
    told(report::result(&outcome, ToString::to_string, config.output))
}

fn inspect(config: &InspectConfig, pen: &Pen) -> Result<(), Error> {
    let (progress, stop) = watched(pen, telling(config.output))?;
    let found = inspect::run(config, &progress, &stop).map_err(|error| cause_of(error, &stop))?;
    told(report::result(&found, Inspection::to_text, config.output))
}

fn upload_server(config: &ServeConfig, pen: &Pen) -> Result<(), Error> {
    let output = config.import.output;
    let (progress, stop) = watched(pen, telling(output))?;
    let ended = serve::run(config, pen, &progress, &stop).map_err(|error| cause_of(error, &stop))?;
    // Only a pod has a deadline.
    let Ending::Delivered(delivery) = ended else { return Ok(()) };
    let outcome = delivery.outcome;
    report::warnings(&outcome.warnings, output);
    told(report::result(&outcome, ToString::to_string, output))
}

/// Why a run really failed: Ctrl-C ends the other end of a pipe too, which then looks like a short image.
fn cause_of(error: Error, stop: &Stop) -> Error {
    match stop.check() {
        Err(wish) if matches!(wish.kind(), Kind::Interrupted | Kind::Terminated) => wish,
        _ => error,
    }
}

/// That standard output took what was said.
fn told(said: io::Result<()>) -> Result<(), Error> {
    said.map_err(|error| Error::new(Kind::Other, format!("cannot write to standard output: {error}")))
}

/// The exit code of a run that is `done`; its error is printed.
fn code_of(done: Result<(), Error>, output: OutputStyle) -> u8 {
    let Err(error) = done else { return 0 };
    report::failure(&error, output);
    error.kind().verdict().exit_code
}

/// Tells people why a run ended.
fn telling(output: OutputStyle) -> impl FnOnce(&Error) + Send + 'static {
    move |error| report::failure(error, output)
}

/// Counters, and a wish to end that SIGINT and SIGTERM set. When a signal ends the process, `tell` says so.
fn watched(
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

#[expect(clippy::disallowed_methods, reason = "the one place that ends the process")]
fn end(code: u8) -> ! {
    std::process::exit(code.into())
}
