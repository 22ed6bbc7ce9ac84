//! A copy of what is revoked, kept current in the background.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use grantex_core::clock::{Clock, SystemClock};
use grantex_core::secret::Secret;
use grantex_core::token::crypto::SystemEntropy;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::revocation::entries::{Entries, State};
use crate::revocation::follow;
use crate::revocation::refusals::Refusals;
use crate::secure::SetupError;
use crate::verify::{Opened, VerifyError};
use crate::wire::{Reach, Service, reach_settings};

/// What was never fresh.
pub(super) const NEVER: u64 = u64::MAX;

/// How changes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Transport {
    /// Over one long answer (server-sent events).
    #[default]
    Stream,
    /// By questions that the service holds back until there is something to tell.
    Poll,
}

/// How the feed is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FeedState {
    /// The first snapshot is being fetched.
    Starting,
    /// It is followed.
    Live,
    /// The service cannot be reached or answers nonsense. What is known counts until it is stale.
    Network,
    /// The service has no feed (404).
    Disabled,
    /// The service cannot vouch for its feed (503).
    NotReady,
    /// The API key is not accepted (401, 403).
    Unauthorized,
    /// More is revoked than may be kept.
    TooMany,
}

/// Settings of a [`RevocationFeed`].
#[derive(Clone)]
pub struct FeedBuilder {
    reach: Reach,
    pub(super) settings: FeedSettings,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct FeedSettings {
    pub(super) stale_after: Duration,
    pub(super) transport: Transport,
    pub(super) max_entries: usize,
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
    is_open_on_failure: bool,
    are_refusals_reported: bool,
}

/// Follows `GET /v1/revocations`: every revocation and suspension of the developer whose API key it has.
///
/// Fails closed: as long as it cannot say what is revoked, every token is refused with [`VerifyError::RevocationUnknown`]. It can
/// say so from the first snapshot on, and for [`FeedBuilder::stale_after`] after each sign of life. Clones share one connection,
/// which ends with the last of them.
///
/// ```no_run
/// # async fn example(key: grantex_client::Secret<String>) -> Result<(), Box<dyn std::error::Error>> {
/// use grantex_client::{RevocationFeed, Verifier};
///
/// let feed = RevocationFeed::builder("https://auth.example.com", key).start()?;
/// let verifier = Verifier::builder("https://auth.example.com").revocation(feed).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RevocationFeed(Arc<Running>);

struct Running {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the task writes and verifications read.
pub(super) struct Shared {
    pub(super) service: Service,
    pub(super) settings: FeedSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: SystemEntropy,
    entries: RwLock<Entries>,
    /// By the monotonic clock, in milliseconds.
    fresh_at: AtomicU64,
    state: watch::Sender<FeedState>,
    refusals: Option<Refusals>,
}

impl RevocationFeed {
    /// Begins a feed of the service at this address.
    pub fn builder(address: impl Into<String>, api_key: Secret<String>) -> FeedBuilder {
        FeedBuilder {
            reach: Reach {
                address: address.into(),
                api_key: Some(api_key),
                is_insecure_allowed: false,
                ca_file: None,
                deadline: Duration::from_secs(10),
            },
            settings: FeedSettings {
                stale_after: Duration::from_secs(5),
                transport: Transport::Stream,
                max_entries: 500_000,
                first_pause: Duration::from_millis(500),
                longest_pause: Duration::from_secs(30),
                is_open_on_failure: false,
                are_refusals_reported: true,
            },
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// How it is doing.
    pub fn state(&self) -> FeedState {
        *self.0.shared.state.borrow()
    }

    /// Whether it can say what is revoked.
    pub fn is_current(&self) -> bool {
        self.0.shared.is_current()
    }

    /// How many revocations and suspensions are known.
    pub fn len(&self) -> usize {
        self.0.shared.read(Entries::len)
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until its state is this one: for programs that want to be ready before they listen, and for tests.
    pub async fn reached(&self, state: FeedState) {
        let mut states = self.0.shared.state.subscribe();
        // It ends with the feed, which lives as long as `self`.
        let _ = states.wait_for(|current| *current == state).await;
    }

    pub(crate) async fn check(&self, opened: &Opened) -> Result<(), VerifyError> {
        let shared = &self.0.shared;
        if *shared.state.borrow() == FeedState::Starting {
            let mut states = shared.state.subscribe();
            let begun = states.wait_for(|state| *state != FeedState::Starting);
            // Whatever came of it is looked at below.
            let _ = timeout(shared.settings.stale_after, begun).await;
        }
        // Before the question what is known: a revocation counts, however old the news.
        let is_current = shared.is_current();
        let claims = &opened.claims;
        let parent = claims.members().get("parentGrnt").and_then(serde_json::Value::as_str);
        let grants = std::iter::once(claims.grant_id.as_str()).chain(parent);
        let blocks = opened.biscuit.iter().flat_map(|(chain, _)| chain.revocation_ids());
        let tokens = std::iter::once(claims.token_id.as_str()).chain(blocks);
        let now = shared.clock.now();
        match shared.read(|entries| entries.find(grants, tokens, now)) {
            Some(hit) => {
                if let Some(refusals) = shared.refusals.as_ref().filter(|_| hit.is_first) {
                    refusals.tell(hit.seq, shared.clock.monotonic());
                }
                Err(match hit.state {
                    State::Revoked => VerifyError::Revoked,
                    State::Suspended => VerifyError::Suspended,
                })
            }
            None if is_current || shared.settings.is_open_on_failure => Ok(()),
            None => Err(VerifyError::RevocationUnknown),
        }
    }
}

impl Shared {
    fn is_current(&self) -> bool {
        let fresh_at = self.fresh_at.load(Ordering::Acquire);
        let age = Duration::from_millis(millis(self.clock.monotonic()).saturating_sub(fresh_at));
        fresh_at != NEVER && age < self.settings.stale_after
    }

    fn read<T>(&self, look: impl FnOnce(&Entries) -> T) -> T {
        look(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        change(&mut self.entries.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known was true at this time of the monotonic clock.
    pub(super) fn renew(&self, at: Duration) {
        self.fresh_at.store(millis(at), Ordering::Release);
    }

    /// Enters a state. In some of them what was known counts no more.
    pub(super) fn enter(&self, state: FeedState) {
        match state {
            FeedState::Starting | FeedState::Live | FeedState::Network => {}
            FeedState::Disabled | FeedState::NotReady | FeedState::Unauthorized | FeedState::TooMany => {
                self.fresh_at.store(NEVER, Ordering::Release);
            }
        }
        self.state.send_replace(state);
    }
}

fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(NEVER - 1)
}

impl FeedBuilder {
    /// How long what is known counts after a sign of life from the service, which sends one each second. 5 seconds by default; a revocation
    /// is seen at the latest after so long, or everything is refused.
    #[must_use]
    pub const fn stale_after(mut self, bound: Duration) -> Self {
        self.settings.stale_after = bound;
        self
    }

    /// How changes come.
    #[must_use]
    pub const fn transport(mut self, transport: Transport) -> Self {
        self.settings.transport = transport;
        self
    }

    /// The most revocations that are kept, about 150 bytes each; 500,000 by default. With more, everything is refused.
    #[must_use]
    pub const fn max_entries(mut self, count: usize) -> Self {
        self.settings.max_entries = count;
        self
    }

    /// The first and the longest pause before another attempt, half a second and 30 seconds by default. Each is shortened by chance, by up
    /// to a half.
    #[must_use]
    pub const fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.first_pause = first;
        self.settings.longest_pause = longest;
        self
    }

    /// Accepts tokens when nobody can say whether they are revoked; those that are known to be are refused still. Whoever can cut the
    /// connection to the service can then use a revoked token until it ends.
    #[must_use]
    pub const fn fail_open(mut self) -> Self {
        self.settings.is_open_on_failure = true;
        self
    }

    /// Does not tell the service which revocations stopped somebody.
    #[must_use]
    pub const fn without_reports(mut self) -> Self {
        self.settings.are_refusals_reported = false;
        self
    }

    reach_settings! {
        /// How long a page of a snapshot may take; 10 seconds by default.
        deadline,
        /// Allows plain `http` to other machines: whoever is between can then read the API key, and hide revocations.
        allow_insecure_http
    }

    /// Another clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Starts to follow, in a task of the current Tokio runtime.
    ///
    /// # Errors
    /// When the address or the key cannot be, TLS cannot be set up, or there is no runtime.
    pub fn start(self) -> Result<RevocationFeed, SetupError> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| SetupError::Setting("a feed must be started within a Tokio runtime"))?;
        if self.settings.stale_after.is_zero() {
            return Err(SetupError::Setting("what is known must count for some time"));
        }
        let service = Service::new(&self.reach)?;
        let refusals = self
            .settings
            .are_refusals_reported
            .then(|| Refusals::start(&runtime, service.clone(), Arc::clone(&self.clock)));
        let shared = Arc::new(Shared {
            service,
            entries: RwLock::new(Entries::new(self.settings.max_entries)),
            settings: self.settings,
            clock: self.clock,
            random: SystemEntropy::default(),
            fresh_at: AtomicU64::new(NEVER),
            state: watch::Sender::new(FeedState::Starting),
            refusals,
        });
        let task = runtime.spawn(follow::follow(Arc::clone(&shared))).abort_handle();
        Ok(RevocationFeed(Arc::new(Running { shared, task })))
    }
}
