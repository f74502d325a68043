//! Running the built program as a user does.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;

use super::child;

/// What a run left behind.
pub(crate) struct Outcome {
    /// The exit code; minus the signal's number when a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The most resident memory, in bytes.
    pub(crate) peak: u64,
    /// The processors' time that it took.
    pub(crate) cpu: Duration,
}

impl Outcome {
    /// The result object of a run with `--output json`.
    pub(crate) fn result(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}\n{}", self.stdout, self.stderr))
    }

    /// A number of the result object.
    pub(crate) fn number(&self, field: &str) -> u64 {
        let result = self.result();
        result[field].as_u64().unwrap_or_else(|| panic!("{field} in {result}"))
    }

    /// Asserts the exit code, with the run's words when it is another.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "exit code; stdout {:?}, stderr {:?}", self.stdout, self.stderr);
        self
    }

    /// Asserts that the message on standard error has `words`, whatever their case.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Self {
        let found = self.stderr.to_lowercase().contains(&words.to_lowercase());
        assert!(found, "no {words:?} in {:?}", self.stderr);
        self
    }
}

/// What the program finds on its standard input.
enum Feed {
    Nothing,
    /// A pipe that brings these bytes.
    Bytes(Vec<u8>),
    /// A pipe that brings a file's bytes.
    File(PathBuf),
    /// A pipe that brings these bytes and then stays open and silent.
    Silence(Vec<u8>),
    /// A pipe that brings these bytes with a pause after every 256 KiB.
    Slow(Vec<u8>, Duration),
}

/// One run of the program.
pub(crate) struct Run {
    command: Command,
    feed: Feed,
    limit: Duration,
    /// Seconds of the processors' time, after which the system kills it.
    cpu: Option<u64>,
}

/// A run that has begun.
pub(crate) struct Running {
    pub(crate) child: Child,
    feeder: JoinHandle<Option<std::process::ChildStdin>>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    limit: Duration,
}

/// `diskpour` without arguments, in an environment that names neither settings nor proxies.
pub(crate) fn diskpour() -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diskpour"));
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        if upper.starts_with("DISKPOUR_") || upper.ends_with("_PROXY") || upper == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    Run { command, feed: Feed::Nothing, limit: Duration::from_secs(60), cpu: None }
}

/// `diskpour import SOURCE TARGET` with a result in JSON and no progress.
pub(crate) fn import(source: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> Run {
    let run = diskpour().arg("import").arg(source).arg(target);
    run.args(["--output", "json", "--progress", "none"])
}

/// As [`import`], with the bytes of `file` coming through a pipe.
pub(crate) fn import_piped(file: &Path, target: impl AsRef<OsStr>) -> Run {
    import("-", target).fed_from(file)
}

impl Run {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn fed(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.feed = Feed::Bytes(bytes.into());
        self
    }

    pub(crate) fn fed_from(mut self, file: &Path) -> Self {
        self.feed = Feed::File(file.to_owned());
        self
    }

    /// The pipe brings `bytes` and neither more nor an end.
    pub(crate) fn fed_and_held(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.feed = Feed::Silence(bytes.into());
        self
    }

    /// The pipe brings `bytes`, with `pause` after every 256 KiB.
    pub(crate) fn fed_slowly(mut self, bytes: impl Into<Vec<u8>>, pause: Duration) -> Self {
        self.feed = Feed::Slow(bytes.into(), pause);
        self
    }

    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// In the directory `dir`, with `seconds` of the processors' time at most.
    pub(crate) fn caged(mut self, dir: &Path, seconds: u64) -> Self {
        self.command.current_dir(dir);
        self.cpu = Some(seconds);
        self
    }

    pub(crate) fn start(mut self) -> Running {
        let stdin = if matches!(self.feed, Feed::Nothing) { Stdio::null() } else { Stdio::piped() };
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        if let Some(seconds) = self.cpu {
            let limit = Rlimit { current: Some(seconds), maximum: Some(seconds) };
            prlimit(Some(Pid::from_child(&child)), Resource::Cpu, limit).unwrap();
        }
        let pipe = child.stdin.take();
        let feed = self.feed;
        let feeder = thread::spawn(move || pipe.and_then(|pipe| pour(feed, pipe)));
        let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
        Running { child, feeder, stdout, stderr, limit: self.limit }
    }

    pub(crate) fn run(self) -> Outcome {
        self.start().finish()
    }
}

impl Running {
    /// As [`Running::finish`] for a run that the test killed; the number of the signal.
    pub(crate) fn finish_killed(self) -> i32 {
        let ended = child::wait(&self.child, self.limit);
        drop(self.feeder.join().unwrap());
        ended.status.signal().unwrap()
    }

    /// Kills the run; whether it had ended well before.
    pub(crate) fn kill(self) -> bool {
        child::signal(&self.child, Signal::KILL);
        let ended = child::wait(&self.child, self.limit);
        drop(self.feeder.join().unwrap());
        ended.status.success()
    }

    pub(crate) fn finish(self) -> Outcome {
        let ended = child::wait(&self.child, self.limit);
        drop(self.feeder.join().unwrap());
        let (stdout, stderr) = (self.stdout.join().unwrap(), self.stderr.join().unwrap());
        assert!(!ended.overdue, "still running after {:?}: {stderr}", self.limit);
        let code = ended.status.code().or(ended.status.signal().map(|number| -number)).unwrap();
        // A crash is a failed test whatever was expected.
        assert!(code >= 0 && code != 101 && code != 134, "crashed, {code}: {stderr}");
        Outcome { code, stdout, stderr, peak: ended.peak, cpu: ended.cpu }
    }
}

/// The pipe itself when it must stay open. A reader that went away is no error of the test.
fn pour(feed: Feed, mut pipe: std::process::ChildStdin) -> Option<std::process::ChildStdin> {
    match feed {
        Feed::Nothing => {}
        Feed::Bytes(bytes) => drop(pipe.write_all(&bytes)),
        Feed::File(path) => drop(io::copy(&mut File::open(path).unwrap(), &mut pipe)),
        Feed::Silence(bytes) => {
            drop(pipe.write_all(&bytes));
            return Some(pipe);
        }
        Feed::Slow(bytes, pause) => drop(super::write_slowly(&mut pipe, &bytes, pause)),
    }
    None
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
