//! The dispatcher: sends what is due, endpoint by endpoint.
//!
//! Each endpoint with work has a lane, a task of its own, so that one that is slow or dead holds up no other. A lane claims its
//! endpoint, sends a few deliveries at once, takes down what came of them, and ends when nothing is left. Lanes begin when a
//! commit says so ([`Bell`]) and, because such hints may be missed, when a look into the store finds work.

mod bell;
mod lane;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grantex_core::Grantex;
use grantex_core::context::Context;
use grantex_core::error::{StoreError, chain};
use grantex_core::id::WebhookId;
use grantex_core::store::Store;
use grantex_core::webhook::send::Sender;
use slog::{Logger, o, warn};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use bell::Bell;
use lane::Lane;

/// How often at most a failing store is complained about.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// How much is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DispatchSettings {
    /// Requests under way to one endpoint.
    pub per_endpoint: usize,
    /// Requests under way in all.
    pub in_all: usize,
    /// Endpoints that have a lane at the same time; the others wait for the next look.
    pub lanes: usize,
    /// How often the store is looked into.
    pub poll: Duration,
}

impl Default for DispatchSettings {
    fn default() -> Self {
        Self {
            per_endpoint: 16,
            in_all: 256,
            lanes: 1_024,
            poll: Duration::from_secs(1),
        }
    }
}

/// Sends webhook deliveries until it is told to stop.
pub struct Dispatcher<S: Store> {
    shared: Arc<Shared<S>>,
    bell: Bell,
}

/// What lanes share.
struct Shared<S: Store> {
    grantex: Grantex<S>,
    sender: Arc<dyn Sender>,
    /// Who claims endpoints.
    owner: String,
    settings: DispatchSettings,
    /// The right to have a request under way.
    slots: Semaphore,
    ctx: Context,
    stopping: watch::Receiver<bool>,
}

impl<S: Store> Dispatcher<S> {
    /// A dispatcher that is woken by `bell`, which must be the service's signal as well, and ends when `stopping` says so or its
    /// sender is gone.
    ///
    /// `owner` claims endpoints. Servers that share a store must differ in it; a server that has its store for itself should use
    /// the same one each time, and so take up at once what it left when it died.
    pub fn new(
        grantex: Grantex<S>,
        sender: Arc<dyn Sender>,
        settings: DispatchSettings,
        logger: &Logger,
        owner: String,
        bell: Bell,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let ctx = grantex.context(logger.new(o!("requestId" => "webhooks")), "webhooks".to_owned());
        let shared = Shared {
            slots: Semaphore::new(settings.in_all.max(1)),
            grantex,
            sender,
            owner,
            settings,
            ctx,
            stopping,
        };
        Self {
            shared: Arc::new(shared),
            bell,
        }
    }

    /// Runs until it is told to stop; then no request is begun any more, and those under way end and are taken down.
    pub async fn run(self) {
        let Self { shared, bell } = self;
        let mut lanes = Lanes {
            shared: Arc::clone(&shared),
            running: HashMap::new(),
            tasks: JoinSet::new(),
            complaints: Complaints::default(),
        };
        let mut stopping = shared.stopping.clone();
        let mut looks = interval(shared.settings.poll);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => break,
                Some(ended) = lanes.tasks.join_next(), if !lanes.tasks.is_empty() => lanes.ended(ended.ok()),
                woken = bell.rung() => woken.into_iter().for_each(|webhook| lanes.begin(webhook)),
                _ = looks.tick() => lanes.look().await,
            }
        }
        while let Some(ended) = lanes.tasks.join_next().await {
            lanes.ended(ended.ok());
        }
    }
}

/// How a lane ended.
type Ended = (WebhookId, Result<(), StoreError>);

struct Lanes<S: Store> {
    shared: Arc<Shared<S>>,
    /// Lanes by endpoint, and what tells them that there is more.
    running: HashMap<WebhookId, Arc<Notify>>,
    tasks: JoinSet<Ended>,
    complaints: Complaints,
}

impl<S: Store> Lanes<S> {
    /// Begins a lane, or tells the one that is there.
    fn begin(&mut self, webhook: WebhookId) {
        if let Some(more) = self.running.get(&webhook) {
            more.notify_one();
            return;
        }
        if self.running.len() >= self.shared.settings.lanes {
            return;
        }
        let more = Arc::new(Notify::new());
        let lane = Lane::new(Arc::clone(&self.shared), webhook.clone(), Arc::clone(&more));
        self.running.insert(webhook.clone(), more);
        self.tasks.spawn(async move { (webhook, lane.run().await) });
    }

    fn ended(&mut self, ended: Option<Ended>) {
        match ended {
            Some((webhook, outcome)) => {
                let rung = self.running.remove(&webhook);
                if let Err(error) = outcome {
                    self.complaints.add(self.shared.ctx.logger(), &error);
                    return;
                }
                // It was told that there is more when it had already decided to end.
                if rung.is_some_and(|more| was_rung(&more)) && !*self.shared.stopping.borrow() {
                    self.begin(webhook);
                }
            }
            // A lane that panicked cannot say whose it was: the next looks find out.
            None => {
                let tasks = self.tasks.len();
                if tasks < self.running.len() {
                    self.running.clear();
                    self.tasks.abort_all();
                }
            }
        }
    }

    async fn look(&mut self) {
        let limit = u32::try_from(self.shared.settings.lanes).unwrap_or(u32::MAX);
        match self.shared.grantex.webhooks_with_work(&self.shared.owner, limit).await {
            Ok(webhooks) => webhooks.into_iter().for_each(|webhook| self.begin(webhook)),
            Err(error) => self.complaints.add(self.shared.ctx.logger(), &error),
        }
    }
}

/// Waits until there is an order to stop, or nobody left who could give it.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

/// Whether a permit was left behind.
fn was_rung(more: &Notify) -> bool {
    let mut waiting = std::pin::pin!(more.notified());
    waiting.as_mut().enable()
}

/// A failing store fails for every lane; one line in a while is enough.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    fn add(&mut self, logger: &Logger, error: &StoreError) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < COMPLAIN_EVERY) {
            self.unsaid += 1;
            return;
        }
        warn!(logger, "webhook.dispatch_failed"; "unsaid" => self.unsaid, "error" => chain(error));
        self.last = Some(now);
        self.unsaid = 0;
    }
}
