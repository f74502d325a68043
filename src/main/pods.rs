//! What containers in a pod of CDI do, and how they end: an exit code and a termination message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use diskpour::config::{
    ClonePod, ClonePodError, ImageServer, ImporterPod, OutputStyle, PodError, ServeConfig, SizeDetection,
    SmallError, UploadPodError, Worker,
};
use diskpour::error::{Error, Kind};
use diskpour::inspect::size;
use diskpour::report::termination::{self, Ended};
use diskpour::report::{self, Pen, Percent, Reporter};
use diskpour::serve::{Metrics, container};
use diskpour::{clone, import, serve};

use super::signals::{telling, watched};
use super::{DEFECT, cause_of, code_of};

/// The counter of importer pods that the controller asks for.
const IMPORT_METRIC: &str = "kubevirt_cdi_import_progress_total";

/// The same of clone sources.
const CLONE_METRIC: &str = "kubevirt_cdi_clone_progress_total";

/// The exit code of a worker that failed.
const FAILED: u8 = 1;

/// The exit code of what CDI takes for fatal.
const FATAL: u8 = 255;

/// Does what a pod is for, and leaves its termination message; the exit code.
pub(super) fn work(worker: Worker, pen: &Pen) -> u8 {
    let silent = |exit_code| Ok(Ended { exit_code, message: None });
    let done = catch_unwind(AssertUnwindSafe(|| match worker {
        Worker::Importer(pod) => importer(pod, pen),
        Worker::UploadServer(pod) => upload_pod(pod, pen),
        Worker::CloneSource(pod) => clone_pod(pod, pen),
        Worker::SizeDetection(wanted) => silent(size_detection(wanted)),
        Worker::ImageServer(config) => silent(image_server(config, pen)),
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
        let (_, stop) = watched(pen, telling(OutputStyle::Text))?;
        container::run(&config, &stop)
    });
    let Err(error) = served else { return 0 };
    report::failure(&error, OutputStyle::Text);
    match error.kind() {
        Kind::Interrupted | Kind::Terminated => error.kind().verdict().exit_code,
        _ => 1,
    }
}
