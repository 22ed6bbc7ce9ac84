//! Everything of a developer that decides: policies and the bundle in force, read together and kept in memory.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cache::Miss;
use super::engine::{BundleDecision, CompiledBundle, PolicyEngine};
use super::set::PolicySet;
use super::{Bundle, BundleFormat, Effect, Policy, PolicyDecision, PolicyQuestion, PolicyRef, Ruling};
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grantex::Grantex;
use crate::id::DeveloperId;
use crate::store::{Reads, Store};

/// How often policies are read anew when they change while they are read.
const READS: u32 = 4;
/// How often one waits for others who read before reading by oneself.
const WAITS: u32 = 3;

/// What decides for a developer.
pub(crate) struct InForce {
    pub set: PolicySet,
    pub bundle: Option<ActiveBundle>,
}

/// The bundle in force.
pub(crate) struct ActiveBundle {
    pub bundle: Bundle,
    /// `None` when it cannot be read: it was checked when it came, so that is a fault here, and nothing is allowed by fault.
    pub compiled: Option<Arc<dyn CompiledBundle>>,
}

impl InForce {
    /// Policies without a bundle.
    #[cfg(test)]
    pub fn of(policies: Vec<Policy>) -> Self {
        Self {
            set: PolicySet::new(policies),
            bundle: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.bundle.is_none()
    }

    /// Roughly how many bytes of memory it takes.
    pub fn weight(&self) -> u64 {
        let compiled = self.bundle.as_ref().and_then(|active| active.compiled.as_ref());
        1_024 + self.set.weight() + compiled.map_or(0, |compiled| compiled.weight())
    }

    /// What policies and bundle decide together: any refusal wins, a policy's before the bundle's.
    pub fn decide(&self, question: &PolicyQuestion<'_>) -> PolicyDecision {
        let by_policy = self.set.decide(question);
        if matches!(by_policy, PolicyDecision::Deny(_)) {
            return by_policy;
        }
        let by_bundle = self.bundle.as_ref().map(|active| active.decide(question));
        match (by_policy, by_bundle) {
            (by_policy, None | Some(PolicyDecision::Undecided)) => by_policy,
            (PolicyDecision::Undecided, Some(by_bundle)) => by_bundle,
            (_, Some(PolicyDecision::Deny(ruling))) => PolicyDecision::Deny(ruling),
            (by_policy, Some(PolicyDecision::Allow(_))) => by_policy,
        }
    }
}

impl ActiveBundle {
    /// What its rules say; refuses when it cannot be evaluated.
    pub fn evaluate(&self, question: &PolicyQuestion<'_>) -> BundleDecision {
        match &self.compiled {
            Some(compiled) => compiled.decide(question),
            None => BundleDecision {
                effect: Some(Effect::Deny),
                rules: Vec::new(),
                failures: vec!["the bundle cannot be evaluated".to_owned()],
            },
        }
    }

    pub fn decide(&self, question: &PolicyQuestion<'_>) -> PolicyDecision {
        let decision = self.evaluate(question);
        let ruling = || Ruling {
            by: PolicyRef::Bundle {
                bundle: self.bundle.id.clone(),
                rule: decision.rules.first().cloned(),
            },
            reason: match (decision.rules.first(), decision.failures.first()) {
                (Some(rule), _) => format!("rule {rule} of bundle {}", self.bundle.version),
                (None, Some(failure)) => failure.clone(),
                (None, None) => format!("bundle {}", self.bundle.version),
            },
        };
        match decision.effect {
            None => PolicyDecision::Undecided,
            Some(Effect::Allow) => PolicyDecision::Allow(ruling()),
            Some(Effect::Deny) => PolicyDecision::Deny(ruling()),
        }
    }
}

/// What was read of a developer's policies.
struct Read {
    version: i64,
    policies: Vec<Policy>,
    bundle: Option<(Bundle, Option<String>)>,
}

async fn read(tx: &mut dyn Reads, developer: &DeveloperId) -> Result<Read, StoreError> {
    let mut version = tx.policy_version(developer).await?;
    let mut reads = 0;
    loop {
        let policies = tx.all_policies(developer).await?;
        let bundle = match tx.active_policy_bundle(developer, BundleFormat::Cedar).await? {
            Some(bundle) => {
                let content = tx.policy_bundle_content(developer, &bundle.id).await?;
                Some((bundle, content))
            }
            None => None,
        };
        // Each statement sees its own state of the store: only an unchanged version says that they belong together.
        let after = tx.policy_version(developer).await?;
        reads += 1;
        if after == version || reads == READS {
            return Ok(Read {
                version,
                policies,
                bundle,
            });
        }
        version = after;
    }
}

impl<S: Store> Grantex<S> {
    /// What decides for a developer, at least as new as the developer was read. From memory when it is there.
    pub(crate) async fn in_force(&self, developer: &Developer) -> Result<Arc<InForce>, StoreError> {
        let cache = &self.parts.policies;
        let find = || cache.get(&developer.id, developer.policy_version);
        for _ in 0..WAITS {
            if let Some(found) = find() {
                return Ok(found);
            }
            match cache.miss(&developer.id) {
                Miss::Read(_turn) => {
                    // Somebody may have read them between the look and the turn.
                    return match find() {
                        Some(found) => Ok(found),
                        None => self.read_in_force(&developer.id).await,
                    };
                }
                Miss::Wait(wait) => wait.await,
            }
        }
        // A store that fails must not be asked by one after the other for long.
        match find() {
            Some(found) => Ok(found),
            None => self.read_in_force(&developer.id).await,
        }
    }

    async fn read_in_force(&self, developer: &DeveloperId) -> Result<Arc<InForce>, StoreError> {
        let id = developer.clone();
        let found = self
            .store
            .read(move |tx| Box::pin(async move { read(tx, &id).await }))
            .await?;
        let engine = &*self.parts.policy_engine;
        let bundle = found.bundle.map(|(bundle, content)| ActiveBundle {
            bundle,
            compiled: content.and_then(|content| compile(engine, &content)),
        });
        let policies = Arc::new(InForce {
            set: PolicySet::new(found.policies),
            bundle,
        });
        self.parts.policies.keep(developer, found.version, &policies);
        Ok(policies)
    }
}

fn compile(engine: &dyn PolicyEngine, content: &str) -> Option<Arc<dyn CompiledBundle>> {
    let text = String::from_utf8(STANDARD.decode(content).ok()?).ok()?;
    engine.compile(&text).ok()
}
