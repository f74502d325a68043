//! A real server for one test: a child that says when it is ready, and ends with the test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;

use super::child;

/// Far more than any server needs to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server. Its log is printed when the test fails.
pub(crate) struct Service {
    program: String,
    pub(crate) child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts `command` and waits until `ready` makes something of a line of its standard error.
    ///
    /// The error is what the server said before it ended or the time was up.
    pub(crate) fn start<T: Send + 'static>(
        command: &mut Command,
        ready: impl Fn(&str) -> Option<T> + Send + 'static,
    ) -> Result<(Self, T), String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; see tests/run"));
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, receiver) = channel();
        let (pipe, copy) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = thread::spawn(move || follow(pipe, &copy, ready, sender));
        let service = Self { program, child, log, reader: Some(reader) };
        match receiver.recv_timeout(PATIENCE) {
            Ok(found) => Ok((service, found)),
            Err(why) => Err(format!("{command:?} is not ready: {why}\n{}", service.log())),
        }
    }

    /// What the server said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends `signal` and waits for the end; what was said up to it.
    pub(crate) fn end(mut self, signal: Signal) -> String {
        child::signal(&self.child, signal);
        self.wait();
        self.log()
    }

    /// Waits until the server ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed.
        self.child.kill().ok();
        self.wait();
        if thread::panicking() {
            eprintln!("log of {}:\n{}", self.program, self.log());
        }
    }
}

/// Keeps every line, and tells of the first that `ready` knows. The end of the log ends the waiting.
fn follow<T>(pipe: impl Read, log: &Mutex<String>, ready: impl Fn(&str) -> Option<T>, sender: Sender<T>) {
    let mut sender = Some(sender);
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
        if let Some(found) = sender.as_ref().and_then(|_| ready(&line))
            && let Some(sender) = sender.take()
        {
            sender.send(found).ok();
        }
    }
}

#[test]
fn a_service_that_ends_before_it_is_ready_tells_what_it_said() {
    let mut command = Command::new("bash");
    command.args(["-c", "echo first >&2; echo second >&2"]);
    let error = Service::start(&mut command, |_| None::<()>).map(|_| ()).unwrap_err();
    assert!(error.contains("first\nsecond"), "{error}");
    let mut command = Command::new("bash");
    command.args(["-c", "trap 'echo over >&2; exit' TERM; echo port 7 >&2; while :; do :; done"]);
    let (service, port) =
        Service::start(&mut command, |line| line.strip_prefix("port ")?.parse().ok()).unwrap();
    let port: u16 = port;
    assert_eq!(port, 7);
    assert!(service.end(Signal::TERM).ends_with("over\n"));
}
