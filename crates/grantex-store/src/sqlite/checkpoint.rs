//! Copies what is committed from the write-ahead log into the database file, beside the writer: a sixth of the writer's time,
//! and stalls of several milliseconds, that nobody then waits for.
//!
//! A writer that never rests never finds everything copied, so the log would grow without end. Hence the writer itself copies
//! what is left once the log has [`LOG_PAGES`] pages; that is little, and the log then begins anew.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use diesel::sql_types::Integer;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

/// Pages in the write-ahead log (64 MiB) at which the writer copies what is left.
pub(super) const LOG_PAGES: u32 = 16_000;
/// Between two rounds: pages that are written again and again are copied once a round.
const PAUSE: Duration = Duration::from_millis(60);
/// From so many pages on the writer will soon copy what is left, which should be little.
const NEARLY_FULL: u32 = LOG_PAGES / 16 * 13;
/// Between two rounds then.
const SHORT_PAUSE: Duration = Duration::from_millis(10);

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

/// What a round tells.
#[derive(QueryableByName)]
struct Round {
    /// Pages in the log, copied or not; -1 when that is not known.
    #[diesel(sql_type = Integer)]
    log: i32,
}

fn copy(mut conn: SqliteConnection, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        // Passive: copies what no reader still needs from the log, and holds nobody up. What fails is tried again, by the next
        // round or by the writer, whose errors are told.
        let round = sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result::<Round>(&mut conn);
        let pages = round.map_or(0, |round| u32::try_from(round.log).unwrap_or(0));
        thread::sleep(if pages < NEARLY_FULL { PAUSE } else { SHORT_PAUSE });
    }
}
