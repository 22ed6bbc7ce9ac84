//! Copies what is committed from the write-ahead log into the database file, beside the writer: a sixth of the writer's time,
//! and stalls of several milliseconds, that nobody then waits for.
//!
//! A writer that never rests never finds everything copied, so the log would grow without end. Hence the writer itself copies
//! what is left once the log has [`LOG_PAGES`] pages; that is little, and the log then begins anew.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;

/// Pages in the write-ahead log (32 MiB) at which the writer copies what is left.
pub(super) const LOG_PAGES: u32 = 8_000;
/// Between two rounds: pages that are written again and again are copied once a round.
const PAUSE: Duration = Duration::from_millis(30);

/// Tells the thread that there is something to copy.
pub(super) struct Checkpoints(SyncSender<()>);

impl Checkpoints {
    /// Starts the thread. It ends when this is dropped.
    pub fn start(conn: SqliteConnection) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        thread::Builder::new()
            .name("grantex-copier".to_owned())
            .spawn(move || copy(conn, &woken))?;
        Ok(Self(wake))
    }

    /// There is something to copy. Never blocks.
    pub fn wake(&self) {
        let _ = self.0.try_send(());
    }
}

fn copy(mut conn: SqliteConnection, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        // Passive: copies what no reader still needs from the log, and holds nobody up. What fails is tried again, by the next
        // round or by the writer, whose errors are told.
        let _ = conn.batch_execute("PRAGMA wal_checkpoint(PASSIVE)");
        thread::sleep(PAUSE);
    }
}
