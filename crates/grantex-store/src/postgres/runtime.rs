use std::future::Future;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::OpenError;

/// The runtime on which connections are driven and units of work run, apart from the threads that serve requests: a busy
/// request thread would otherwise hold up every transaction whose socket it owns.
#[derive(Clone)]
pub(crate) struct Driver(Arc<Owned>);

struct Owned(Option<Runtime>);

impl Drop for Owned {
    fn drop(&mut self) {
        // A runtime may not be dropped where blocking is not allowed, and the last handle may go anywhere.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Driver {
    pub fn start(threads: usize) -> Result<Self, OpenError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("grantex-postgres")
            .enable_all()
            .build()
            .map_err(OpenError::Thread)?;
        Ok(Self(Arc::new(Owned(Some(runtime)))))
    }

    pub fn handle(&self) -> Option<Handle> {
        self.0.0.as_ref().map(|runtime| runtime.handle().clone())
    }

    /// Runs a future to its end, whoever goes away meanwhile.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0.0 {
            drop(runtime.spawn(future));
        }
    }
}
