//! A developer's policies, indexed so that a question looks only at those that may match it.
//!
//! Policies are kept in order of rank, the refusals first. An index leads from agent and principal (each named or not) to the
//! policies without scopes, those with a scope literally, and those with a prefix; each list is in order of rank, so that it is
//! left as soon as nothing better can come.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::pattern::ScopePattern;
use super::{Effect, Policy, PolicyDecision, PolicyQuestion};

/// Positions of policies in order of rank.
type Ranks = Vec<u32>;

/// A developer's policies, ready to decide. Immutable; made anew when one of them changes.
#[derive(Debug, Default)]
pub struct PolicySet {
    /// In order of rank, refusals first.
    policies: Vec<Policy>,
    buckets: HashMap<String, Bucket>,
    weight: u64,
}

/// The policies that name one agent or none and one principal or none.
#[derive(Debug)]
struct Bucket {
    deny: Lists,
    allow: Lists,
}

impl Default for Bucket {
    fn default() -> Self {
        let lists = |effect| Lists {
            effect,
            unscoped: Ranks::new(),
            exact: HashMap::new(),
            under: HashMap::new(),
        };
        Self {
            deny: lists(Effect::Deny),
            allow: lists(Effect::Allow),
        }
    }
}

#[derive(Debug)]
struct Lists {
    effect: Effect,
    /// Without scopes, or with `*` among them.
    unscoped: Ranks,
    exact: HashMap<String, Ranks>,
    /// By what stands in front of the star.
    under: HashMap<String, Ranks>,
}

impl PolicySet {
    /// Indexes policies.
    pub fn new(mut policies: Vec<Policy>) -> Self {
        policies.sort_by(|a, b| {
            let key = |policy: &Policy| (policy.rule.effect == Effect::Allow, Reverse(policy.rule.priority));
            key(a).cmp(&key(b)).then_with(|| a.rank().cmp(&b.rank()))
        });
        let mut set = Self::default();
        for (rank, policy) in (0_u32..).zip(&policies) {
            set.weight += policy.weight();
            let bucket = set.buckets.entry(key(
                policy.rule.agent_id.as_ref().map(|id| id.as_str()),
                policy.rule.principal_id.as_deref(),
            ));
            bucket.or_default().insert(rank, policy);
        }
        set.policies = policies;
        set
    }

    /// The policies, in order of rank, refusals first.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Roughly how many bytes of memory it takes.
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// The policy that decides, if one does.
    pub fn decisive(&self, question: &PolicyQuestion<'_>) -> Option<&Policy> {
        let (agent, principal) = (Some(question.agent_id.as_str()), Some(question.principal_id));
        let places = [(agent, principal), (agent, None), (None, principal), (None, None)];
        let buckets = places.map(|(agent, principal)| self.buckets.get(&key(agent, principal)));
        let buckets = || buckets.iter().flatten();
        let denial = self.best(buckets().map(|bucket| &bucket.deny), question);
        denial.or_else(|| self.best(buckets().map(|bucket| &bucket.allow), question))
    }

    /// What the policies decide.
    pub fn decide(&self, question: &PolicyQuestion<'_>) -> PolicyDecision {
        self.decisive(question)
            .map_or(PolicyDecision::Undecided, Policy::decision)
    }

    /// The matching policy of the best rank.
    fn best<'a>(&self, lists: impl Iterator<Item = &'a Lists>, question: &PolicyQuestion<'_>) -> Option<&Policy> {
        let mut best: Option<(u32, &Policy)> = None;
        let mut seen = Seen::of(self.policies.len());
        for lists in lists {
            for ranks in lists.candidates(question) {
                for &rank in ranks {
                    if best.is_some_and(|(found, _)| found <= rank) {
                        break;
                    }
                    if !seen.is_first(rank) {
                        continue;
                    }
                    let policy = usize::try_from(rank).ok().and_then(|rank| self.policies.get(rank));
                    if let Some(policy) = policy.filter(|policy| policy.rule.matches(question)) {
                        best = Some((rank, policy));
                        break;
                    }
                }
            }
        }
        best.map(|(_, policy)| policy)
    }
}

/// Where the policies of this agent and principal are. An agent's id holds no bar, so that no two places are the same.
fn key(agent: Option<&str>, principal: Option<&str>) -> String {
    let (agent, is_named) = (agent.unwrap_or_default(), if principal.is_some() { '=' } else { '-' });
    format!("{agent}|{is_named}{}", principal.unwrap_or_default())
}

impl Bucket {
    fn insert(&mut self, rank: u32, policy: &Policy) {
        let lists = match policy.rule.effect {
            Effect::Allow => &mut self.allow,
            Effect::Deny => &mut self.deny,
        };
        let Some(scopes) = &policy.rule.scopes else {
            return lists.unscoped.push(rank);
        };
        for pattern in scopes.as_slice() {
            let ranks = match pattern {
                ScopePattern::Any => &mut lists.unscoped,
                ScopePattern::Under(prefix) => entry(&mut lists.under, prefix),
                ScopePattern::Exactly(scope) => entry(&mut lists.exact, scope),
            };
            if ranks.last() != Some(&rank) {
                ranks.push(rank);
            }
        }
    }
}

fn entry<'a>(lists: &'a mut HashMap<String, Ranks>, text: &str) -> &'a mut Ranks {
    lists.entry(text.to_owned()).or_default()
}

impl Lists {
    /// The lists that hold every policy here that may match. `allow` policies must list all scopes, so those that list the
    /// first are enough; a `deny` policy need not list that one.
    fn candidates<'a>(&'a self, question: &'a PolicyQuestion<'_>) -> impl Iterator<Item = &'a Ranks> {
        let asked = question.scopes.as_slice();
        let decisive = match self.effect {
            Effect::Allow => asked.get(..1).unwrap_or_default(),
            Effect::Deny => asked,
        };
        let of_scope = |scope: &'a String| {
            let families = scope
                .match_indices(':')
                .filter_map(|(colon, _)| scope.get(..=colon))
                .filter_map(|prefix| self.under.get(prefix));
            self.exact.get(scope).into_iter().chain(families)
        };
        std::iter::once(&self.unscoped).chain(decisive.iter().flat_map(of_scope))
    }
}

/// Which policies were looked at: one may be on several lists.
struct Seen(Vec<u64>);

impl Seen {
    fn of(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    /// Whether this is the first look at a policy.
    fn is_first(&mut self, rank: u32) -> bool {
        let word = usize::try_from(rank / 64).ok().and_then(|index| self.0.get_mut(index));
        let bit = 1 << (rank % 64);
        word.is_none_or(|word| {
            let is_first = *word & bit == 0;
            *word |= bit;
            is_first
        })
    }
}
