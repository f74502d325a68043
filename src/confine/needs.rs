//! Which places a run needs, and what for: a pure function of its configuration.
//!
//! Refuses to know: what lies at the places, and how the system keeps a process away from others.

use std::path::{Path, PathBuf};

use crate::config::{
    Clients, Command, Config, ContentType, ImportConfig, ImporterPod, NodePull, Security, ServeConfig, Worker,
};
use crate::import::pod::{DATA, DEVICE, HEADERS, PROXY_CERTS, SCRATCH};
use crate::report::termination;
use crate::source::{self, NetworkOptions, Whereabouts};

/// What finds the address of a host, and who says that it is the right host. Libraries are what the
/// system's resolver loads.
const SYSTEM: [&str; 17] = [
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// Who knows the addresses of hosts; the file is written anew when the network changes.
const RESOLVER: &str = "/etc/resolv.conf";

/// What the process finds of itself.
const ITSELF: &str = "/proc/self";

/// What may be done at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The file is read, or the directory and all below it.
    Read,
    /// The same, and what links in the directory lead to.
    Links,
    /// The file is read, and what takes its place in the directory where it really lies.
    Renewed,
    /// The file is written, and not read.
    Tell,
    /// Files are made, written and removed in the directory.
    Files,
    /// The same, with directories and links.
    Tree,
    /// A disk is poured: the device is written, or the file and what lies beside it.
    Target,
}

/// A place and what may be done there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A file or a directory, which need not be there.
    pub path: PathBuf,
    /// What for.
    pub right: Right,
}

/// All that a run needs of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The places.
    pub places: Vec<Place>,
    /// Whether it connects to others over TCP.
    pub connects: bool,
    /// Whether it waits for others over TCP.
    pub listens: bool,
}

/// What the run of `config` needs.
#[must_use]
pub fn needs(config: &Config) -> Needs {
    let mut needs = Needs::default();
    needs.may(Right::Read, ITSELF);
    match &config.command {
        Command::Import(import) => needs.import(import, config),
        Command::Inspect(inspect) => needs.source(&inspect.source, &inspect.network, config),
        Command::UploadServer(serve) => needs.serve(serve),
        Command::Worker(worker) => needs.worker(worker, config),
        Command::Job(_) | Command::Matrix(_) | Command::Completions(_) | Command::Man(_) => {}
    }
    needs
}

impl Needs {
    fn may(&mut self, right: Right, path: impl AsRef<Path>) {
        self.places.push(Place { path: path.as_ref().to_owned(), right });
    }

    fn all<P: AsRef<Path>>(&mut self, right: Right, paths: impl IntoIterator<Item = P>) {
        paths.into_iter().for_each(|path| self.may(right, path));
    }

    fn import(&mut self, import: &ImportConfig, config: &Config) {
        self.source(&import.source, &import.network, config);
        let right = if import.content_type == ContentType::Archive { Right::Tree } else { Right::Target };
        self.may(right, &import.target);
        self.all(Right::Files, &import.scratch_dir);
    }

    fn source(&mut self, source: &str, network: &NetworkOptions, config: &Config) {
        match source::whereabouts(source) {
            Whereabouts::Given => {}
            Whereabouts::Local(path) => self.may(Right::Read, path),
            Whereabouts::Remote => self.network(network, config),
        }
    }

    fn network(&mut self, network: &NetworkOptions, config: &Config) {
        self.connects = true;
        self.may(Right::Renewed, RESOLVER);
        self.all(Right::Read, SYSTEM);
        self.all(Right::Links, &config.system_certificates);
        self.all(Right::Read, &network.password_file);
        self.all(Right::Read, &network.header_files);
        self.all(Right::Read, &network.registry.auth_file);
        self.all(Right::Links, &network.ca_certs);
        self.all(Right::Links, &network.proxy_ca_certs);
    }

    fn serve(&mut self, serve: &ServeConfig) {
        self.listens = true;
        if let Security::Tls(tls) = &serve.security {
            self.all(Right::Read, [&tls.cert, &tls.key]);
            if let Clients::Signed { ca, .. } = &tls.clients {
                self.may(Right::Read, ca);
            }
        }
        self.may(Right::Target, &serve.import.target);
        self.all(Right::Files, &serve.import.scratch_dir);
        if let Some(pod) = &serve.pod {
            self.may(Right::Tree, &pod.directory);
            self.may(Right::Tree, SCRATCH);
        }
    }

    fn worker(&mut self, worker: &Worker, config: &Config) {
        self.may(Right::Tell, termination::PATH);
        match worker {
            Worker::Importer(Ok(pod)) => self.importer(pod, config),
            Worker::UploadServer(Ok(serve)) => self.serve(serve),
            Worker::CloneSource(Ok(clone)) => {
                self.listens = true;
                self.network(&NetworkOptions::default(), config);
                self.may(Right::Read, &clone.mount_point);
            }
            Worker::SizeDetection(Ok(size)) => self.may(Right::Read, &size.path),
            Worker::ImageServer(Ok(server)) => {
                self.listens = true;
                self.may(Right::Read, &server.dir);
                self.beside([&server.ready, &server.done]);
            }
            Worker::Importer(Err(_))
            | Worker::UploadServer(Err(_))
            | Worker::CloneSource(Err(_))
            | Worker::SizeDetection(Err(_))
            | Worker::ImageServer(Err(_)) => {}
        }
    }

    fn importer(&mut self, pod: &ImporterPod, config: &Config) {
        // The counter of its progress.
        self.listens = true;
        self.source(&pod.import.source, &pod.import.network, config);
        self.all(Right::Links, [PROXY_CERTS, HEADERS]);
        self.all(Right::Tree, [DATA, SCRATCH]);
        self.may(Right::Target, DEVICE);
        if let Some(NodePull { ready, done }) = &pod.node_pull {
            self.beside([ready].into_iter().chain(done));
        }
    }

    /// Files that are made and removed at `paths`, which are not there yet.
    fn beside<'a>(&mut self, paths: impl IntoIterator<Item = &'a PathBuf>) {
        for dir in paths.into_iter().filter_map(|path| path.parent()) {
            self.may(Right::Files, dir);
        }
    }
}

#[cfg(test)]
mod tests;
