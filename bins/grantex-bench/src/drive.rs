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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::account::Account;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";

    /// A server that answers every `nth` request of a connection with garbage and the others well.
    fn serve(nth: usize) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    for count in 1.. {
                        // A request of these tests is one small segment.
                        if !matches!(stream.read(&mut request), Ok(length) if length > 0) {
                            return;
                        }
                        let answer = if count % nth == 0 { "garbage\r\n\r\n" } else { ANSWER };
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                });
            }
        });
        target
    }

    fn clients(target: &Target, budgets: &[u64]) -> Vec<Client> {
        let account = Account::new("key".to_owned(), String::new(), String::new(), 0).unwrap();
        let account = Arc::new(account);
        let client = |budget: &u64| Client {
            budget: *budget,
            ..Client::new(target, Work::health(&account, "t"))
        };
        budgets.iter().map(client).collect()
    }

    #[tokio::test]
    async fn every_client_sends_its_budget_and_no_more() {
        let mut clients = clients(&serve(usize::MAX), &[20, 7, 0]);
        connect(&mut clients).await.unwrap();
        let (clients, driven) = drive(clients, Amount::Counted).await.unwrap();
        assert_eq!(clients.len(), 3);
        assert_eq!((driven.tally.successes(), driven.tally.failure_count()), (27, 0));
        assert_eq!(driven.tally.requests(), 27);
    }

    #[tokio::test]
    async fn a_lost_connection_is_a_failure_and_the_client_goes_on_with_a_new_one() {
        let (_, driven) = drive(clients(&serve(5), &[10]), Amount::Counted).await.unwrap();
        assert_eq!((driven.tally.successes(), driven.tally.failure_count()), (8, 2));
        assert_eq!(driven.tally.failures().keys().collect::<Vec<_>>(), ["connection lost"]);
    }

    #[tokio::test]
    async fn a_client_without_a_server_gives_up() {
        // Taken, so that nobody else gets it, and never listening.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let target = Target::parse(&format!("http://{}", socket.local_addr().unwrap())).unwrap();
        let (_, driven) = drive(clients(&target, &[1_000]), Amount::Counted).await.unwrap();
        assert_eq!(driven.tally.failures().get("connect"), Some(&u64::from(PATIENCE)));
        assert_eq!(driven.tally.successes(), 0);
    }
}
