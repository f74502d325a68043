//! Parse, run, write the result, exit: the one place that ends the process.

#[path = "main/pods.rs"]
mod pods;
#[path = "main/signals.rs"]
mod signals;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{io, panic};

use diskpour::config::{
    self, Command, Config, ImportConfig, InspectConfig, JobConfig, OutputStyle, Parsed, ServeConfig,
};
use diskpour::confine::confine;
use diskpour::error::{Error, Kind};
use diskpour::inspect::Inspection;
use diskpour::progress::Stop;
use diskpour::report::{self, Pen, Reporter};
use diskpour::serve::Ending;
use diskpour::{import, inspect, job, matrix, serve, sys};
use signals::{telling, watched};

/// What the user reads after a panic, whose own words went to the log.
const DEFECT: &str = "a defect of diskpour ended the run; please report the line above";

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
    // Before the first thread, as what a thread has it keeps.
    confine(&config);
    if let Command::Worker(worker) = config.command {
        return pods::work(worker, &pen);
    }
    let output = config.command.output();
    // Threads and files of the run are gone when this returns, whichever way it ended.
    let done = catch_unwind(AssertUnwindSafe(|| obey(config.command, &pen)));
    code_of(done.unwrap_or_else(|_| Err(Error::new(Kind::Other, DEFECT))), output)
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
        // Pods have an end of their own.
        Command::Worker(_) => Ok(()),
        Command::Man(page) => told(config::man(page).and_then(|roff| report::say(&roff))),
    };
    done.map(|()| 0)
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

#[expect(clippy::disallowed_methods, reason = "the one place that ends the process")]
fn end(code: u8) -> ! {
    std::process::exit(code.into())
}
