//! Parse, run, write the result, exit: the one place that ends the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use std::{io, panic};

use diskpour::config::{
    self, Command, Config, ImageServer, ImportConfig, InspectConfig, JobConfig, OutputStyle, Parsed,
    ServeConfig, SizeDetection, SmallError, Worker,
};
use diskpour::error::{Error, Kind};
use diskpour::inspect::{Inspection, size};
use diskpour::progress::{Progress, Stop};
use diskpour::report::{self, Pen, Reporter};
use diskpour::serve::container;
use diskpour::{import, inspect, job, matrix, serve, sys};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long a run may take to end after a signal before it is ended.
const PATIENCE: Duration = Duration::from_millis(800);

/// How long the last steps may take then; a target that hangs must not keep the process.
const LAST_STEPS: Duration = Duration::from_millis(150);

fn main() {
    panic::set_hook(Box::new(report::panicked));
    sys::signal::ignore_file_size_limit();
    let code = match config::parse(std::env::args_os()) {
        Ok(Parsed::Run(config)) => run(*config),
        Ok(Parsed::Say(text)) => code_of(told(report::say(text.as_bytes())).map(|()| 0), OutputStyle::Text),
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
    let output = config.command.output();
    // Threads and files of the run are gone when this returns, whichever way it ended.
    let done = catch_unwind(AssertUnwindSafe(|| obey(config.command, &pen)));
    let defect =
        || Error::new(Kind::Other, "a defect of diskpour ended the run; please report the line above");
    code_of(done.unwrap_or_else(|_| Err(defect())), output)
}

/// Does what a command is for; the exit code where it ended as it should.
fn obey(command: Command, pen: &Pen) -> Result<u8, Error> {
    let done = match command {
        Command::Import(config) => import(&config, pen),
        Command::Inspect(config) => inspect(&config, pen),
        Command::UploadServer(config) => upload_server(&config, pen),
        Command::Job(config) => print_job(&config),
        Command::Matrix(OutputStyle::Text) => told(report::say(matrix::to_text().as_bytes())),
        Command::Matrix(OutputStyle::Json) => told(report::say((matrix::to_json() + "\n").as_bytes())),
        Command::Completions(shell) => told(report::say(&config::completions(shell))),
        Command::Worker(worker) => return Ok(work(worker, pen)),
        Command::Man(page) => told(config::man(page).and_then(|roff| report::say(&roff))),
    };
    done.map(|()| 0)
}

/// Does what a pod of CDI is for; the exit code, which its controller knows.
fn work(worker: Worker, pen: &Pen) -> u8 {
    match worker {
        Worker::Importer(_) => code_of(Err(Error::new(Kind::Other, "not yet")), OutputStyle::Text),
        Worker::SizeDetection(wanted) => size_detection(wanted),
        Worker::ImageServer(config) => image_server(config, pen),
    }
}

fn size_detection(wanted: Result<SizeDetection, SmallError>) -> u8 {
    match size::tell(wanted) {
        Ok(size) => {
            tracing::info!("the disk has {size} bytes");
            0
        }
        Err(error) => {
            let code = error.exit_code();
            report::failure(&Error::new(Kind::Other, error), OutputStyle::Text);
            code
        }
    }
}

fn image_server(config: Result<ImageServer, SmallError>, pen: &Pen) -> u8 {
    let served = config.map_err(|error| Error::new(Kind::Usage, error)).and_then(|config| {
        let (_, stop) = watched(OutputStyle::Text, pen)?;
        container::run(&config, &stop)
    });
    let Err(error) = served else { return 0 };
    report::failure(&error, OutputStyle::Text);
    match error.kind() {
        Kind::Interrupted | Kind::Terminated => error.kind().verdict().exit_code,
        _ => 1,
    }
}

fn import(config: &ImportConfig, pen: &Pen) -> Result<(), Error> {
    let (progress, stop) = watched(config.output, pen)?;
    let reporter = Reporter::start(&progress, config.progress, pen);
    let outcome = import::run(config, &progress, &stop);
    reporter.finish();
    let outcome = outcome.map_err(|error| cause_of(error, &stop))?;
    report::warnings(&outcome.warnings, config.output);
    told(report::result(&outcome, ToString::to_string, config.output))
}

fn inspect(config: &InspectConfig, pen: &Pen) -> Result<(), Error> {
    let (progress, stop) = watched(config.output, pen)?;
    let found = inspect::run(config, &progress, &stop).map_err(|error| cause_of(error, &stop))?;
    told(report::result(&found, Inspection::to_text, config.output))
}

fn upload_server(config: &ServeConfig, pen: &Pen) -> Result<(), Error> {
    let output = config.import.output;
    let (progress, stop) = watched(output, pen)?;
    let outcome = serve::run(config, pen, &progress, &stop).map_err(|error| cause_of(error, &stop))?;
    report::warnings(&outcome.warnings, output);
    told(report::result(&outcome, ToString::to_string, output))
}

fn print_job(config: &JobConfig) -> Result<(), Error> {
    let yaml = job::to_yaml(config)?;
    report::warnings(&job::warnings(config), OutputStyle::Text);
    told(report::say(yaml.as_bytes()))
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
fn code_of(done: Result<u8, Error>, output: OutputStyle) -> u8 {
    done.unwrap_or_else(|error| {
        report::failure(&error, output);
        error.kind().verdict().exit_code
    })
}

/// Counters, and a wish to end that SIGINT and SIGTERM set.
fn watched(output: OutputStyle, pen: &Pen) -> Result<(Arc<Progress>, Arc<Stop>), Error> {
    let (progress, stop) = (Arc::new(Progress::default()), Arc::new(Stop::default()));
    let failed = |error| Error::new(Kind::Other, format!("cannot wait for signals: {error}"));
    let signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let (run, wish, pen) = (Arc::clone(&progress), Arc::clone(&stop), pen.clone());
    let last_steps = move |error: &Error| {
        run.undo.run();
        pen.clear();
        report::failure(error, output);
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
