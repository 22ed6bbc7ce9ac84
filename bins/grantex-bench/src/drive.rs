//! Drives clients: each sends its next request as soon as the last one is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::clock;
use crate::connection::{Connection, Target, TransportError};
use crate::error::BenchError;
use crate::tally::Tally;
use crate::work::Work;

/// A client that fails this often without a success in between gives up.
const PATIENCE: u32 = 20;

/// One client: a connection and what it sends over it.
pub struct Client {
    connection: Connection,
    pub work: Work,
    /// How many requests it may send; only for [`Amount::Counted`].
    pub budget: u64,
}

impl Client {
    pub fn new(target: &Target, work: Work) -> Self {
        Self {
            connection: Connection::new(target.clone()),
            work,
            budget: 0,
        }
    }
}

/// When the clients stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// All together after this long, or as soon as one has nothing left to send.
    Timed(Duration),
    /// Each after its own budget.
    Counted,
}

/// What a drive came to.
pub struct Driven {
    pub tally: Tally,
    /// From the first request to the end of the last.
    pub elapsed: Duration,
}

/// Opens every connection, so that no handshake falls into the drive.
pub async fn connect(clients: &mut [Client]) -> Result<(), TransportError> {
    for client in clients {
        client.connection.reopen().await?;
    }
    Ok(())
}

/// Runs all clients at once and gives them back in their order.
pub async fn drive(clients: Vec<Client>, amount: Amount) -> Result<(Vec<Client>, Driven), BenchError> {
    let started = clock::now();
    let over = Arc::new(AtomicBool::new(false));
    let start = |client| tokio::spawn(drive_one(client, amount, started, Arc::clone(&over)));
    let running: Vec<_> = clients.into_iter().map(start).collect();
    let mut given_back = Vec::with_capacity(running.len());
    let mut tally = Tally::new();
    let mut ended = started;
    for handle in running {
        let (client, counted, finished) = handle.await.map_err(BenchError::Client)?;
        tally.merge(&counted);
        ended = ended.max(finished);
        given_back.push(client);
    }
    Ok((
        given_back,
        Driven {
            tally,
            elapsed: ended - started,
        },
    ))
}

async fn drive_one(
    mut client: Client,
    amount: Amount,
    started: Instant,
    over: Arc<AtomicBool>,
) -> (Client, Tally, Instant) {
    let mut tally = Tally::new();
    let mut failed_in_a_row = 0;
    let mut sent = 0;
    let mut now = started;
    loop {
        let stop = match amount {
            Amount::Timed(length) => now - started >= length || over.load(Ordering::Relaxed),
            Amount::Counted => sent >= client.budget,
        };
        if stop || failed_in_a_row >= PATIENCE {
            break;
        }
        let Some(call) = client.work.next() else { break };
        let sent_at = clock::now();
        let answered = client.connection.send(call).await;
        now = clock::now();
        sent += 1;
        let succeeded = match answered {
            Ok(answer) => {
                let verdict = client.work.accept(&answer);
                tally.answered(now - sent_at, &answer, verdict);
                verdict.is_ok()
            }
            Err(error) => {
                tally.unanswered(now - sent_at, &error);
                false
            }
        };
        failed_in_a_row = if succeeded { 0 } else { failed_in_a_row + 1 };
    }
    // With fewer clients the rest of a timed drive would measure something else.
    over.store(true, Ordering::Relaxed);
    (client, tally, now)
}
