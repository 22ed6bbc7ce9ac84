//! Telling other servers on the same database that there are new events and revocations, and hearing it from them: `NOTIFY` and `LISTEN` on
//! one connection of its own.
//!
//! All of this is a hint that makes things quick. Whoever listens looks at the database from time to time as well, so a lost
//! notification, or a pooler between server and database that passes none on, costs a moment and no event.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grantex_core::error::chain;
use grantex_core::id::DeveloperId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

use super::connection::Target;
use super::runtime::Driver;
use crate::options::{ConnectionErrorHook, Options};

/// The least time between two notifications of one server: `NOTIFY` makes the database commit one transaction after another.
const PACE: Duration = Duration::from_millis(50);
/// Names in one notification at most, of developers with a position: PostgreSQL allows 8,000 bytes, and one has up to 51.
const MAX_NAMED: usize = 150;
/// How often a silent connection is asked whether it is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to wait before a lost connection is opened again, at first and at most.
const RETRY: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];
/// The text that stands for every developer.
const ANYBODY: &str = "*";

const LISTEN: &str = "LISTEN grantex_events";
const NOTIFY: &str = "SELECT pg_notify('grantex_events', $1)";

/// What another server told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These developers have new events or entries in their revocation feeds, up to these positions.
    News {
        /// Events.
        events: Vec<(DeveloperId, i64)>,
        /// Entries of the revocation feed.
        revocations: Vec<(DeveloperId, i64)>,
    },
    /// Any developer may have some: too many had for one message, or the connection was away.
    AnyNews,
}

/// Called for everything heard, on a thread of the store. Must not block.
pub type HeardHook = Arc<dyn Fn(Heard) + Send + Sync>;

/// A connection to the other servers of the same database. Ends when it is dropped.
pub struct Herald(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    has_changed: Notify,
    is_closed: AtomicBool,
}

/// What a position is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Events,
    Revocations,
}

impl Kind {
    /// What stands between a developer and a position. Servers that know only the first kind pass over the second.
    const fn separator(self) -> char {
        match self {
            Self::Events => ':',
            Self::Revocations => '!',
        }
    }
}

#[derive(Default)]
struct Waiting {
    named: BTreeMap<(DeveloperId, Kind), i64>,
    are_too_many: bool,
}

impl Herald {
    pub(super) fn start(target: Target, driver: &Driver, options: &Options, on_heard: HeardHook) -> Self {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            has_changed: Notify::new(),
            is_closed: AtomicBool::new(false),
        });
        let line = Line {
            shared: Arc::clone(&shared),
            target,
            on_heard,
            on_error: Arc::clone(&options.on_connection_error),
            patience: options.statement_timeout,
        };
        driver.spawn(line.keep_open());
        Self(shared)
    }

    /// Tells the other servers how far this developer's events go now: at once, or together with others a moment later.
    pub fn announce(&self, developer: &DeveloperId, newest: i64) {
        self.0.waiting().add(developer, Kind::Events, newest);
        self.0.has_changed.notify_one();
    }

    /// Tells the other servers how far this developer's revocation feed goes now, in the same way.
    pub fn announce_revocations(&self, developer: &DeveloperId, newest: i64) {
        self.0.waiting().add(developer, Kind::Revocations, newest);
        self.0.has_changed.notify_one();
    }
}

impl Waiting {
    fn add(&mut self, developer: &DeveloperId, kind: Kind, newest: i64) {
        if self.are_too_many {
            return;
        }
        let place = (developer.clone(), kind);
        if let Some(known) = self.named.get_mut(&place) {
            *known = newest.max(*known);
        } else if self.named.len() < MAX_NAMED {
            self.named.insert(place, newest);
        } else {
            self.named.clear();
            self.are_too_many = true;
        }
    }

    /// The text of a notification; `None` when there is nothing to tell.
    fn into_text(self) -> Option<String> {
        if self.are_too_many {
            return Some(ANYBODY.to_owned());
        }
        let named = self
            .named
            .iter()
            .map(|((developer, kind), newest)| format!("{developer}{}{newest}", kind.separator()));
        Some(named.collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
    }
}

/// What a notification says. Whoever may connect to the database may send any text at all.
fn read(text: &str) -> Option<Heard> {
    if text == ANYBODY {
        return Some(Heard::AnyNews);
    }
    let named = |kind: Kind| -> Vec<(DeveloperId, i64)> {
        text.split(' ')
            .filter_map(|part| {
                let (developer, newest) = part.split_once(kind.separator())?;
                Some((DeveloperId::parse(developer)?, newest.parse().ok()?))
            })
            .collect()
    };
    let (events, revocations) = (named(Kind::Events), named(Kind::Revocations));
    (!events.is_empty() || !revocations.is_empty()).then_some(Heard::News { events, revocations })
}

impl Drop for Herald {
    fn drop(&mut self) {
        AtomicBool::store(&self.0.is_closed, true, Ordering::Release);
        self.0.has_changed.notify_one();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        AtomicBool::load(&self.is_closed, Ordering::Acquire)
    }
}

/// The connection, again and again.
struct Line {
    shared: Arc<Shared>,
    target: Target,
    on_heard: HeardHook,
    on_error: ConnectionErrorHook,
    patience: Duration,
}

type Lost = Box<dyn Error + Send + Sync>;

impl Line {
    async fn keep_open(self) {
        let [first, longest] = RETRY;
        let mut pause = first;
        while !self.shared.is_closed() {
            let opened = self.open().await;
            let was_open = opened.is_ok();
            let ended = match opened {
                Ok((client, listening)) => self.talk(&client, listening).await,
                Err(lost) => Err(lost),
            };
            let Err(lost) = ended else { return };
            (self.on_error)("postgres", &format!("listening for events ended: {}", chain(&*lost)));
            pause = if was_open { first } else { (pause * 2).min(longest) };
            // Ends early when nobody wants to listen any more.
            let _ = timeout(pause, self.closed()).await;
        }
    }

    async fn closed(&self) {
        while !self.shared.is_closed() {
            self.shared.has_changed.notified().await;
        }
    }

    async fn open(&self) -> Result<(Client, JoinHandle<Lost>), Lost> {
        // Its own notifications come back to a connection that listens; nobody needs to be told what they know.
        let own = Arc::new(AtomicI32::new(0));
        let config = self.target.config();
        let (client, listening) = match self.target.tls() {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                (client, self.listen(connection, Arc::clone(&own)))
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                (client, self.listen(connection, Arc::clone(&own)))
            }
        };
        let pid = timeout(self.patience, client.query_one("SELECT pg_backend_pid()", &[])).await??;
        AtomicI32::store(&own, pid.try_get(0)?, Ordering::Relaxed);
        timeout(self.patience, client.batch_execute(LISTEN)).await??;
        // Whatever was told before this moment was not heard.
        (self.on_heard)(Heard::AnyNews);
        Ok((client, listening))
    }

    /// Drives a connection to its end and hands on what it brings.
    fn listen<S, T>(&self, mut connection: Connection<S, T>, own: Arc<AtomicI32>) -> JoinHandle<Lost>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let on_heard = Arc::clone(&self.on_heard);
        tokio::spawn(async move {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(news))) => {
                        let is_own = news.process_id() == AtomicI32::load(&own, Ordering::Relaxed);
                        if let Some(heard) = read(news.payload()).filter(|_| !is_own) {
                            on_heard(heard);
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.into(),
                    None => return "the connection was closed".into(),
                }
            }
        })
    }

    /// Tells what there is to tell. `Ok` when nobody wants to any more.
    async fn talk(&self, client: &Client, mut listening: JoinHandle<Lost>) -> Result<(), Lost> {
        let notify = timeout(self.patience, client.prepare(NOTIFY)).await??;
        loop {
            tokio::select! {
                ended = &mut listening => return Err(ended.unwrap_or_else(Into::into)),
                () = self.shared.has_changed.notified() => {}
                () = sleep(HEARTBEAT) => timeout(self.patience, client.batch_execute("SELECT 1")).await??,
            }
            if self.shared.is_closed() {
                return Ok(());
            }
            let waiting = std::mem::take(&mut *self.shared.waiting());
            if let Some(text) = waiting.into_text() {
                timeout(self.patience, client.execute(&notify, &[&text])).await??;
                sleep(PACE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use grantex_core::testing::fixtures::Fixtures;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let fixtures = Fixtures::new(1);
        let (one, two) = (fixtures.id::<DeveloperId>(), fixtures.id::<DeveloperId>());
        let mut waiting = Waiting::default();
        for (developer, newest) in [(&one, 1), (&two, i64::MAX), (&one, 3), (&one, 2)] {
            waiting.add(developer, Kind::Events, newest);
        }
        waiting.add(&two, Kind::Revocations, 9);
        let Some(Heard::News {
            mut events,
            revocations,
        }) = read(&waiting.into_text().unwrap())
        else {
            panic!("it names developers");
        };
        events.sort_by_key(|(_, newest)| *newest);
        assert_eq!(events, [(one, 3), (two.clone(), i64::MAX)]);
        assert_eq!(revocations, [(two, 9)]);
        assert_eq!(Waiting::default().into_text(), None);
    }

    #[test]
    fn what_names_too_many_names_nobody() {
        let fixtures = Fixtures::new(2);
        let mut waiting = Waiting::default();
        for _ in 0..MAX_NAMED {
            waiting.add(&fixtures.id(), Kind::Events, i64::MAX);
        }
        let mut more = Waiting {
            named: waiting.named.clone(),
            are_too_many: false,
        };
        assert!(waiting.into_text().unwrap().len() < 8_000);
        more.add(&fixtures.id(), Kind::Events, 1);
        more.add(&fixtures.id(), Kind::Revocations, 1);
        assert_eq!(read(&more.into_text().unwrap()), Some(Heard::AnyNews));
    }

    #[test]
    fn nonsense_is_not_heard() {
        let developer = Fixtures::new(3).id::<DeveloperId>();
        for text in [
            "",
            " ",
            "*x",
            "dev_1:1",
            ":",
            "\u{1f980}",
            &format!("{developer}"),
            &format!("{developer}:x"),
            &format!("{developer}!:1"),
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
