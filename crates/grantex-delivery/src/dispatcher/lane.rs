//! One endpoint's lane.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use grantex_core::error::StoreError;
use grantex_core::id::WebhookId;
use grantex_core::store::Store;
use grantex_core::webhook::health::Breaker;
use grantex_core::webhook::send::SendError;
use grantex_core::webhook::work::Attempt;
use grantex_core::webhook::{Delivery, Webhook};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Shared, stopped};

/// Deliveries that are fetched at once.
const FETCH: u32 = 128;
/// How often a claim is renewed: a third of its life, so that one renewal may fail.
const RENEW: Duration = Duration::from_secs(10);
/// How long a lane stays when nothing is left: the next event finds it with its claim.
const LINGER: Duration = Duration::from_secs(5);
/// How often, and after how long each time, it is tried to take down what came of requests.
const RECORD_TRIES: u32 = 20;
const RECORD_AGAIN: Duration = Duration::from_millis(500);

type Sending = Pin<Box<dyn Future<Output = Attempt> + Send>>;

pub(super) struct Lane<S: Store> {
    shared: Arc<Shared<S>>,
    id: WebhookId,
    /// Rung when there may be more.
    more: Arc<Notify>,
    /// Fetched, and not yet sent.
    queue: VecDeque<Delivery>,
    /// Sent, and not yet taken down.
    under_way: Vec<Delivery>,
    sending: FuturesUnordered<Sending>,
    webhook: Option<Webhook>,
    /// How many requests may be under way.
    width: usize,
    /// Whether the store may hold more than was fetched.
    is_stale: bool,
    /// Whether no more is to be sent: what is under way ends.
    is_ending: bool,
}

enum Next {
    Ended(Box<Attempt>),
    More,
    Renew,
    Idle,
    Stop,
}

impl<S: Store> Lane<S> {
    pub fn new(shared: Arc<Shared<S>>, id: WebhookId, more: Arc<Notify>) -> Self {
        Self {
            shared,
            id,
            more,
            queue: VecDeque::new(),
            under_way: Vec::new(),
            sending: FuturesUnordered::new(),
            webhook: None,
            width: 0,
            is_stale: true,
            is_ending: false,
        }
    }

    /// Works until nothing is left to be sent.
    pub async fn run(mut self) -> Result<(), StoreError> {
        if !claim(&self.shared, &self.id).await? {
            return Ok(());
        }
        let outcome = self.work().await;
        // Whatever went wrong, what the receiver was sent is taken down.
        while let Some(attempt) = self.sending.next().await {
            let attempts = vec![attempt];
            self.record(attempts).await?;
        }
        let Shared {
            grantex, ctx, owner, ..
        } = &*self.shared;
        let released = grantex.release_webhook(ctx, &self.id, owner).await;
        outcome.and(released)
    }

    async fn work(&mut self) -> Result<(), StoreError> {
        let mut renew_at = Instant::now() + RENEW;
        let mut idle_at = Instant::now() + LINGER;
        let mut stopping = self.shared.stopping.clone();
        loop {
            self.fill().await?;
            if self.is_ending && self.sending.is_empty() {
                return Ok(());
            }
            let is_idle = self.sending.is_empty() && self.queue.is_empty();
            if !is_idle {
                idle_at = Instant::now() + LINGER;
            }
            let next = tokio::select! {
                biased;
                Some(attempt) = self.sending.next(), if !self.sending.is_empty() => Next::Ended(Box::new(attempt)),
                () = stopped(&mut stopping), if !self.is_ending => Next::Stop,
                () = sleep_until(renew_at) => Next::Renew,
                () = self.more.notified() => Next::More,
                () = sleep_until(idle_at), if is_idle => Next::Idle,
            };
            match next {
                Next::Ended(attempt) => {
                    let mut attempts = vec![*attempt];
                    while let Some(Some(attempt)) = self.sending.next().now_or_never() {
                        attempts.push(attempt);
                    }
                    self.record(attempts).await?;
                    self.is_stale = true;
                }
                Next::More => self.is_stale = true,
                Next::Renew => {
                    // Somebody else has it, or it is paused, disabled or deleted.
                    self.is_ending |= !claim(&self.shared, &self.id).await?;
                    renew_at = Instant::now() + RENEW;
                }
                Next::Idle => return Ok(()),
                Next::Stop => self.end(),
            }
        }
    }

    /// Begins requests as far as there are any to begin.
    async fn fill(&mut self) -> Result<(), StoreError> {
        if *self.shared.stopping.borrow() {
            self.end();
        }
        if self.is_ending {
            return Ok(());
        }
        let has_room = self.webhook.is_none() || self.sending.len() < self.width;
        if self.queue.is_empty() && self.is_stale && has_room {
            self.fetch().await?;
        }
        while self.sending.len() < self.width
            && let Some(webhook) = &self.webhook
            && let Some(delivery) = self.queue.pop_front()
        {
            self.under_way.push(delivery.clone());
            self.sending
                .push(Box::pin(send(Arc::clone(&self.shared), webhook.clone(), delivery)));
        }
        Ok(())
    }

    async fn fetch(&mut self) -> Result<(), StoreError> {
        let Shared {
            grantex, ctx, settings, ..
        } = &*self.shared;
        let work = grantex.webhook_work(ctx, &self.id, &self.under_way, FETCH).await?;
        self.is_stale = false;
        let Some(work) = work else {
            self.end();
            return Ok(());
        };
        self.width = match work.breaker {
            Breaker::Closed => settings.per_endpoint.max(1),
            Breaker::Probing => 1,
            // Woken too early; the look that finds it probing begins another lane.
            Breaker::Open => {
                self.end();
                return Ok(());
            }
        };
        self.webhook = Some(work.webhook);
        self.queue = work.deliveries.into();
        if self.width == 1 {
            // What the probe tells decides about the others.
            self.queue.truncate(1);
        }
        Ok(())
    }

    fn end(&mut self) {
        self.is_ending = true;
        self.queue.clear();
    }

    /// Takes down what came of requests. The receiver has them, so it is tried again and again; in the end they are sent once more.
    async fn record(&mut self, attempts: Vec<Attempt>) -> Result<(), StoreError> {
        let Shared { grantex, ctx, .. } = &*self.shared;
        let is_meant = |delivery: &Delivery| attempts.iter().any(|attempt| attempt.delivery.id == delivery.id);
        self.under_way.retain(|delivery| !is_meant(delivery));
        let has_failed = attempts.iter().any(|attempt| !is_success(attempt));
        let mut tries = 0;
        loop {
            tries += 1;
            match grantex.record_attempts(ctx, &self.id, attempts.clone()).await {
                Ok(()) => break,
                Err(error) if tries >= RECORD_TRIES => return Err(error),
                Err(_) => sleep(RECORD_AGAIN).await,
            }
        }
        if has_failed {
            // The breaker may be open now, and others may have to wait for what failed.
            self.queue.clear();
            self.is_stale = true;
        }
        Ok(())
    }
}

/// Claims the endpoint, or renews the claim.
async fn claim<S: Store>(shared: &Shared<S>, id: &WebhookId) -> Result<bool, StoreError> {
    shared.grantex.claim_webhook(&shared.ctx, id, &shared.owner).await
}

fn is_success(attempt: &Attempt) -> bool {
    attempt.outcome.is_ok_and(|received| received.is_success())
}

async fn send<S: Store>(shared: Arc<Shared<S>>, webhook: Webhook, delivery: Delivery) -> Attempt {
    // The semaphore is never closed.
    let _slot = shared.slots.acquire().await;
    let clock = shared.grantex.clock();
    let began = clock.monotonic();
    let outcome = match shared.grantex.message(&webhook, &delivery) {
        Some(message) => shared.sender.deliver(&message).await,
        None => Err(SendError::Unsigned),
    };
    Attempt {
        delivery,
        url: webhook.url,
        channel: webhook.channel.map(|channel| channel.kind),
        outcome,
        ended_at: clock.now(),
        took: clock.monotonic().saturating_sub(began),
    }
}
