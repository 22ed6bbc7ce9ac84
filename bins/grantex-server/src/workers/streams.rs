//! Looking after event streams.

use actix_web::rt;
use actix_web::web::Data;
use grantex_http::App;
use grantex_store::AnyStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Reads for open streams, pings them, and ends those that must end, until the server stops.
pub fn start(app: Data<App<AnyStore>>, stopping: &watch::Receiver<bool>) -> JoinHandle<()> {
    let mut stopping = stopping.clone();
    rt::spawn(async move {
        tokio::select! {
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
            () = app.run_streams() => {}
        }
    })
}
