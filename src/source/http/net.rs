//! The runtime that an opened source owns: two threads, gone with the last reader.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use super::error::HttpError;

/// A runtime that blocking threads use.
pub(super) struct Net(Option<Runtime>);

impl Net {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`HttpError::Setup`] when the system gives none.
    pub(super) fn new() -> Result<Self, HttpError> {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("http").enable_all().build();
        runtime.map(|runtime| Self(Some(runtime))).map_err(|cause| HttpError::Setup(cause.into()))
    }

    /// Runs `future` while the calling thread waits.
    ///
    /// # Errors
    /// Whatever the future ends with.
    pub(super) fn wait<T>(&self, future: impl Future<Output = Result<T, HttpError>>) -> Result<T, HttpError> {
        match &self.0 {
            Some(runtime) => runtime.block_on(future),
            None => Err(HttpError::Setup("the runtime has ended".into())),
        }
    }

    /// Runs `future` beside the calling thread, at most as long as this runtime lives.
    pub(super) fn start(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(future);
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // The ordinary drop would wait for a name that is just being resolved.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
