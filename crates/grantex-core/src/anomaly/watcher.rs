//! An activity as signals come in: who folds, and when the rules look.

use super::Finding;
use super::activity::{Activity, minute_of};
use super::book::RuleBook;
use super::rules;
use super::signal::Signal;
use crate::clock::Timestamp;

/// How a signal is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The agent is known.
    Known,
    /// The agent is known, and this is its first grant of this principal.
    FirstOfPrincipal,
    /// Nobody registered the agent that is named.
    Stranger,
}

/// A finding and the time at which it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The time of the last signal that the rules saw.
    pub at: Timestamp,
    /// What they found.
    pub finding: Finding,
}

/// Folds signals into one activity, in the order of time.
///
/// Rules look at an activity at the end of each minute that had signals, and when it is finished, so that whether something is found hardly
/// depends on how signals fall into passes. The numbers are those of the first look that found it.
#[derive(Debug)]
pub struct Watcher {
    activity: Activity,
    agent: String,
    at: Option<Timestamp>,
}

impl Watcher {
    /// Goes on with an activity, of `agent` or of the developer as a whole ([`DEVELOPER`](super::activity::DEVELOPER)).
    pub const fn new(activity: Activity, agent: String) -> Self {
        Self {
            activity,
            agent,
            at: None,
        }
    }

    /// Takes a signal in, after a look at the minute before, if this one begins a new minute.
    pub fn take(&mut self, signal: &Signal, standing: Standing, book: &RuleBook) -> Vec<Found> {
        let found = match self.at {
            Some(at) if minute_of(signal.at) > minute_of(at) => self.look(at, book),
            _ => Vec::new(),
        };
        self.at = self.at.max(Some(signal.at));
        match standing {
            Standing::Stranger => self.activity.fold_unknown(signal),
            Standing::Known => self.activity.fold(signal, false, &book.custom),
            Standing::FirstOfPrincipal => self.activity.fold(signal, true, &book.custom),
        }
        found
    }

    /// A last look.
    pub fn finish(mut self, book: &RuleBook) -> (Activity, Vec<Found>) {
        let found = self.at.map_or_else(Vec::new, |at| self.look(at, book));
        self.activity.custom.keep_only(&book.custom);
        (self.activity, found)
    }

    fn look(&mut self, at: Timestamp, book: &RuleBook) -> Vec<Found> {
        let findings = rules::evaluate(&mut self.activity, book, &self.agent, at);
        self.activity.settle();
        findings.into_iter().map(|finding| Found { at, finding }).collect()
    }
}
