//! The upload server under test, and its clients: curl, and bare sockets for what curl never sends.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::service::Service;
use super::{child, wait_for};

/// A running `diskpour upload-server`.
pub(crate) struct Receiver {
    service: Service,
    origin: String,
}

impl Receiver {
    /// Without TLS, on a free port of loopback.
    pub(crate) fn plain(target: &Path, options: &[&str]) -> Self {
        Self::start(target, &[&["--insecure-plain-http"], options].concat())
    }

    /// On a free port of loopback, with `options`.
    pub(crate) fn start(target: &Path, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskpour"));
        // No setting of the machine under the tests shall be one of the server under test.
        command.env_clear().arg("upload-server").arg(target).args(options);
        command.args(["--listen", "127.0.0.1:0", "--output", "json", "--progress", "none"]);
        command.stdout(Stdio::piped());
        let listening = |line: &str| Some(line.strip_prefix("diskpour: listening on ")?.to_owned());
        let (service, origin) = Service::start(&mut command, listening).unwrap();
        Self { service, origin }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.origin.split_once("://").unwrap().1.parse().unwrap()
    }

    /// What the server said so far.
    pub(crate) fn log(&self) -> String {
        self.service.log()
    }

    /// The most resident memory so far, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        child::peak(self.service.child.id().try_into().unwrap())
    }

    /// What the kernel says of the server in the file `name`.
    pub(crate) fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.service.child.id())).unwrap()
    }

    /// The descriptors that are open, where the kernel tells us: a process that leaves no core is root's.
    pub(crate) fn descriptors(&self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.service.child.id())).ok()?.count())
    }

    /// POSTs `file` to the plain upload path.
    pub(crate) fn post(&self, file: &Path) -> Answer {
        curl([
            "-X".as_ref(),
            "POST".as_ref(),
            "-T".as_ref(),
            file.as_os_str(),
            self.url("/v1beta1/upload").as_ref(),
        ])
    }

    /// The result of a server that ends by itself, as it must after an upload.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Value {
        let (code, text) = self.wait();
        assert_eq!(code, Some(0), "{}", self.log());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
    }

    /// The exit code and the log after `signal`.
    pub(crate) fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        child::signal(&self.service.child, signal);
        let (code, _) = self.wait();
        (code, self.log())
    }

    fn wait(&mut self) -> (Option<i32>, String) {
        let service = std::cell::RefCell::new(&mut self.service);
        assert!(wait_for(|| service.borrow_mut().child.try_wait().unwrap().is_some()), "it does not end");
        let mut text = String::new();
        self.service.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        (self.service.wait().code(), text)
    }
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 where there was no answer.
    pub(crate) status: u16,
    pub(crate) body: String,
    /// curl's exit code.
    pub(crate) code: i32,
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Self {
        assert!(self.body.contains(words), "no {words:?} in {self:?}");
        self
    }
}

/// `curl` that knows nothing of the machine's settings.
pub(crate) fn curl_command() -> Command {
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "--noproxy", "*", "--max-time", "60", "-w", "\n%{http_code}"]);
    command
}

/// What `curl` gets with `args`.
pub(crate) fn curl<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Answer {
    let output = curl_command().args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_default();
    Answer {
        status: status.parse().unwrap_or(0),
        body: body.to_owned(),
        code: output.status.code().unwrap_or(-1),
    }
}

/// A bare connection.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) fn open(receiver: &Receiver) -> Self {
        let wire = TcpStream::connect(receiver.address()).unwrap();
        wire.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(wire)
    }

    /// Sends the head of a POST with `headers`, one a line.
    pub(crate) fn post(receiver: &Receiver, path: &str, headers: &str) -> Self {
        let mut wire = Self::open(receiver);
        wire.send(format!("POST {path} HTTP/1.1\r\nHost: here\r\n{}\r\n", headers.replace('\n', "\r\n")));
        wire
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Ends what we send, but not what we receive.
    pub(crate) fn end(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// What the server sends next, up to `len` bytes.
    pub(crate) fn next(&mut self, len: usize) -> String {
        let mut bytes = vec![0; len];
        let count = self.0.read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    /// All that the server sends until it closes the connection.
    pub(crate) fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        // A reset after the answer is as good an end.
        self.0.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
