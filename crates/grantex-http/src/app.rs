//! What all routes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use grantex_core::Grantex;
use grantex_core::id::Random;
use grantex_core::store::{BoxFuture, Store};
use grantex_core::trace::{Recording, SpanId, TraceContext, TraceId, Tracer};
use slog::Logger;

use crate::boundary::Cors;
use crate::limit::{Gcra, Limiter};
use crate::observe::{HttpObserver, Unmeasured};
use crate::openapi::Document;
use crate::ready::{Check, Readiness, ReadinessReport};
use crate::settings::HttpSettings;
use crate::streams::Streams;

/// The routes' common possessions: the service, and how it is to be served.
pub struct App<S: Store> {
    pub(crate) grantex: Grantex<S>,
    pub(crate) settings: HttpSettings,
    pub(crate) logger: Logger,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) limiter: Arc<dyn Limiter>,
    pub(crate) observer: Arc<dyn HttpObserver>,
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    pub(crate) readiness: Arc<dyn Readiness>,
    pub(crate) cors: Cors,
    pub(crate) base_path: String,
    pub(crate) openapi: Document,
    pub(crate) streams: Streams,
    is_draining: AtomicBool,
}

impl<S: Store> App<S> {
    /// Serves `grantex`; request ids are made from `random`.
    pub fn new(grantex: Grantex<S>, settings: HttpSettings, logger: Logger, random: impl Random) -> Self {
        let limiter = Arc::new(Gcra::new(&settings.rate_limits, grantex.clock()));
        let readiness = Arc::new(StoreAndKeys(grantex.clone()));
        let base_url = grantex.settings().public_base_url.clone();
        let base_path = url::Url::parse(&base_url)
            .map(|url| url.path().trim_end_matches('/').to_owned())
            .unwrap_or_default();
        Self {
            cors: Cors::new(&settings.cors_allowed_origins, &base_url, settings.is_production),
            grantex,
            settings,
            logger,
            random: Arc::new(random),
            limiter,
            observer: Arc::new(Unmeasured),
            tracer: None,
            readiness,
            base_path,
            openapi: Document::default(),
            streams: Streams::default(),
            is_draining: AtomicBool::new(false),
        }
    }

    /// Measures requests with `observer`.
    #[must_use]
    pub fn observer(mut self, observer: impl HttpObserver) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Gives `tracer` the spans of requests.
    #[must_use]
    pub fn tracer(mut self, tracer: impl Tracer) -> Self {
        self.tracer = Some(Arc::new(tracer));
        self
    }

    /// Answers `/ready` with `readiness` instead of a look at the store and the keys.
    #[must_use]
    pub fn readiness(mut self, readiness: impl Readiness) -> Self {
        self.readiness = Arc::new(readiness);
        self
    }

    /// Counts requests with `limiter` instead of one in this process's memory.
    #[must_use]
    pub fn limiter(mut self, limiter: impl Limiter) -> Self {
        self.limiter = Arc::new(limiter);
        self
    }

    /// Keeps the open event streams in `streams`, which signals of new events reach.
    #[must_use]
    pub fn streams(mut self, streams: Streams) -> Self {
        self.streams = streams;
        self
    }

    /// What is to be recorded of a request whose caller is here in a trace. Without a tracer a request is part of its caller's
    /// trace, if there is one, and no span of it is kept.
    pub(crate) fn recording(&self, caller: Option<TraceContext>) -> Recording {
        let clock = self.grantex.clock();
        let Some(tracer) = &self.tracer else {
            return Recording::new(clock, caller);
        };
        let trace_id = caller.map_or_else(|| TraceId::random(&*self.random), |caller| caller.trace_id);
        let place = TraceContext {
            trace_id,
            span_id: SpanId::random(&*self.random),
            is_sampled: caller.map_or_else(|| tracer.samples(trace_id), |caller| caller.is_sampled),
        };
        match place.is_sampled {
            true => Recording::with_spans(clock, place),
            false => Recording::new(clock, Some(place)),
        }
    }

    /// The service.
    pub fn grantex(&self) -> &Grantex<S> {
        &self.grantex
    }

    /// Turns `/ready` to 503, so that no new traffic comes, and ends the event streams, so that their clients go on elsewhere;
    /// everything else goes on.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.close_streams();
    }

    /// Whether [`App::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// A link to this server.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.grantex.settings().public_base_url)
    }
}

/// Looks at the store and the keys; a store that answers is taken to have its schema.
struct StoreAndKeys<S: Store>(Grantex<S>);

impl<S: Store> Readiness for StoreAndKeys<S> {
    fn check(&self) -> BoxFuture<'_, ReadinessReport> {
        Box::pin(async move {
            let store = Check::from_bool(self.0.store().ping().await.is_ok());
            let keys = Check::from_bool(!self.0.keys().public_keys().is_empty());
            ReadinessReport {
                store,
                migrations: Check::Ok,
                keys,
            }
        })
    }
}
