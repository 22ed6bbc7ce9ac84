//! Small sets of what was seen lately. Each has a fixed most; the longest unseen makes place for the new.

use super::codec::{Malformed, Reader, Writer};
use super::signal::Network;

/// Scopes that are remembered of one agent.
const SCOPES: usize = 64;
/// Principals that are remembered without asking the store.
const PRINCIPALS: usize = 32;
/// Sessions that are remembered.
const SESSIONS: usize = 64;
/// Tokens whose networks are remembered.
const TOKENS: usize = 16;
/// Networks that are remembered of one token.
const NETWORKS: usize = 4;

/// How much a scope allows, judged by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Looks.
    Read = 1,
    /// Changes something, sends something, or pays.
    Write = 2,
    /// Rules over others' access, or over everything.
    Admin = 3,
}

impl Reach {
    /// The reach of a scope: that of its strongest part.
    pub fn of(scope: &str) -> Self {
        let lower = scope.to_ascii_lowercase();
        let mut reach = Self::Read;
        for part in lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '*') {
            reach = reach.max(match part {
                "admin" | "manage" | "owner" | "root" | "superuser" | "sudo" | "grant" | "impersonate" | "all"
                | "*" => Self::Admin,
                "write" | "create" | "update" | "edit" | "delete" | "remove" | "send" | "post" | "publish"
                | "execute" | "run" | "pay" | "initiate" | "transfer" | "book" | "purchase" | "approve" | "sign" => {
                    Self::Write
                }
                _ => Self::Read,
            });
        }
        reach
    }

    const fn of_number(number: u32) -> Self {
        match number {
            3.. => Self::Admin,
            2 => Self::Write,
            _ => Self::Read,
        }
    }
}

/// Scopes that an agent was granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownScopes {
    /// Fingerprint and last day.
    items: Vec<(u64, u32)>,
    /// The furthest reach among them.
    reach: Option<Reach>,
    /// One was forgotten for want of place, so an unknown one may be an old one.
    pub has_forgotten: bool,
}

impl KnownScopes {
    /// The furthest reach so far.
    pub const fn reach(&self) -> Option<Reach> {
        self.reach
    }

    /// Whether the scope was granted before. Nothing is learnt.
    pub fn knows(&self, fingerprint: u64) -> bool {
        self.items.iter().any(|(known, _)| *known == fingerprint)
    }

    /// Learns a scope.
    pub fn learn(&mut self, fingerprint: u64, reach: Reach, day: u32) {
        self.reach = self.reach.max(Some(reach));
        if let Some((_, last)) = self.items.iter_mut().find(|(known, _)| *known == fingerprint) {
            *last = day.max(*last);
            return;
        }
        if self.items.len() == SCOPES {
            self.has_forgotten = true;
            remove_least(&mut self.items, |(_, day)| *day);
        }
        self.items.push((fingerprint, day));
    }

    /// Writes it.
    pub fn write(&self, out: &mut Writer) {
        out.number(self.items.len() as u64);
        for (fingerprint, day) in &self.items {
            out.wide(*fingerprint);
            out.number(u64::from(*day));
        }
        out.number(self.reach.map_or(0, |reach| reach as u64));
        out.number(u64::from(self.has_forgotten));
    }

    /// Reads what [`KnownScopes::write`] wrote.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let items = (0..from.length(SCOPES)?).map(|_| Ok((from.wide()?, from.narrow()?)));
        Ok(Self {
            items: items.collect::<Result<_, Malformed>>()?,
            reach: match from.narrow()? {
                0 => None,
                number => Some(Reach::of_number(number)),
            },
            has_forgotten: from.narrow()? != 0,
        })
    }
}

/// Principals that an agent acted for lately. Who is not among them may still be known to the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecentPrincipals(Vec<u64>);

impl RecentPrincipals {
    /// Notes a principal; `false` when it was not among the recent ones.
    pub fn note(&mut self, fingerprint: u64) -> bool {
        let place = self.0.iter().position(|known| *known == fingerprint);
        if let Some(place) = place {
            self.0.remove(place);
        } else if self.0.len() == PRINCIPALS {
            self.0.remove(0);
        }
        self.0.push(fingerprint);
        place.is_some()
    }

    /// Whether a principal is among the recent ones.
    pub fn knows(&self, fingerprint: u64) -> bool {
        self.0.contains(&fingerprint)
    }

    /// Writes it.
    pub fn write(&self, out: &mut Writer) {
        out.number(self.0.len() as u64);
        for fingerprint in &self.0 {
            out.wide(*fingerprint);
        }
    }

    /// Reads what [`RecentPrincipals::write`] wrote.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let items = (0..from.length(PRINCIPALS)?).map(|_| from.wide());
        items.collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Session {
    principal: u32,
    grant: u32,
    minute: u32,
}

/// Grants that were used lately, by principal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sessions(Vec<Session>);

impl Sessions {
    /// Notes that a grant is in use; tells how many grants of the same principal were used in the `length` minutes up to this one.
    pub fn note(&mut self, principal: u32, grant: u32, minute: u32, length: u32) -> u32 {
        self.0.retain(|session| session.minute.saturating_add(length) > minute);
        let same = self
            .0
            .iter_mut()
            .find(|session| session.principal == principal && session.grant == grant);
        match same {
            Some(session) => session.minute = minute.max(session.minute),
            None => {
                if self.0.len() == SESSIONS {
                    remove_least(&mut self.0, |session| session.minute);
                }
                self.0.push(Session {
                    principal,
                    grant,
                    minute,
                });
            }
        }
        self.0.iter().filter(|session| session.principal == principal).count() as u32
    }

    /// Writes it.
    pub fn write(&self, out: &mut Writer) {
        out.number(self.0.len() as u64);
        for session in &self.0 {
            out.half(session.principal);
            out.half(session.grant);
            out.number(u64::from(session.minute));
        }
    }

    /// Reads what [`Sessions::write`] wrote.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let items = (0..from.length(SESSIONS)?).map(|_| {
            Ok(Session {
                principal: from.half()?,
                grant: from.half()?,
                minute: from.narrow()?,
            })
        });
        items.collect::<Result<_, Malformed>>().map(Self)
    }
}

/// Where a token was seen, in the order in which it was seen there first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenToken {
    token: u64,
    minute: u32,
    /// Network and when the token was last seen there.
    networks: Vec<(Network, u32)>,
    /// Where it was seen last.
    last: Network,
    /// It went from one network to another and back: two holders take turns.
    has_returned: bool,
}

/// What is known of a token that several networks used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The networks within the window, in the order of first use.
    pub networks: Vec<Network>,
    /// Whether it went back and forth.
    pub has_returned: bool,
}

/// Tokens and the networks that verifiers reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenTokens(Vec<SeenToken>);

impl SeenTokens {
    /// Notes that a token was used from a network; tells where it was used in the `length` minutes up to this one.
    pub fn note(&mut self, token: u64, network: Network, minute: u32, length: u32) -> Places {
        let is_recent = |at: u32| at.saturating_add(length) > minute;
        self.0.retain(|seen| is_recent(seen.minute));
        let place = self.0.iter().position(|seen| seen.token == token);
        let mut seen = match place {
            Some(place) => self.0.remove(place),
            None => SeenToken {
                token,
                minute,
                networks: Vec::new(),
                last: network,
                has_returned: false,
            },
        };
        seen.networks.retain(|(_, at)| is_recent(*at));
        if seen.networks.len() < 2 {
            seen.has_returned = false;
        }
        if let Some((_, at)) = seen.networks.iter_mut().find(|(known, _)| *known == network) {
            *at = minute.max(*at);
            seen.has_returned |= seen.last != network;
        } else if seen.networks.len() < NETWORKS {
            seen.networks.push((network, minute));
        }
        seen.last = network;
        seen.minute = minute.max(seen.minute);
        let places = Places {
            networks: seen.networks.iter().map(|(network, _)| *network).collect(),
            has_returned: seen.has_returned,
        };
        if self.0.len() == TOKENS {
            self.0.remove(0);
        }
        self.0.push(seen);
        places
    }

    /// Writes it.
    pub fn write(&self, out: &mut Writer) {
        out.number(self.0.len() as u64);
        for seen in &self.0 {
            out.wide(seen.token);
            out.number(u64::from(seen.minute));
            out.wide(seen.last.to_bits());
            out.number(u64::from(seen.has_returned));
            out.number(seen.networks.len() as u64);
            for (network, minute) in &seen.networks {
                out.wide(network.to_bits());
                out.number(u64::from(*minute));
            }
        }
    }

    /// Reads what [`SeenTokens::write`] wrote.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut all = Vec::new();
        for _ in 0..from.length(TOKENS)? {
            let (token, minute) = (from.wide()?, from.narrow()?);
            let last = Network::from_bits(from.wide()?);
            let has_returned = from.narrow()? != 0;
            let networks = (0..from.length(NETWORKS)?).map(|_| Ok((Network::from_bits(from.wide()?), from.narrow()?)));
            all.push(SeenToken {
                token,
                minute,
                networks: networks.collect::<Result<_, Malformed>>()?,
                last,
                has_returned,
            });
        }
        Ok(Self(all))
    }
}

fn remove_least<T>(items: &mut Vec<T>, key: impl Fn(&T) -> u32) {
    let least = items.iter().enumerate().min_by_key(|(_, item)| key(item));
    if let Some(place) = least.map(|(place, _)| place) {
        items.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_of_a_scope_is_that_of_its_strongest_part() {
        for (scope, reach) in [
            ("calendar:read", Reach::Read),
            ("mail.send", Reach::Write),
            ("payments:initiate:max_500", Reach::Write),
            ("files:ADMIN", Reach::Admin),
            ("files:*", Reach::Admin),
            ("administration-guide:read", Reach::Read),
        ] {
            assert_eq!(Reach::of(scope), reach, "{scope}");
        }
    }

    #[test]
    fn sets_stay_small_and_forget_the_longest_unseen() {
        let mut scopes = KnownScopes::default();
        for number in 0..64 {
            scopes.learn(number, Reach::Read, number as u32);
        }
        assert!(!scopes.has_forgotten);
        scopes.learn(0, Reach::Read, 100);
        scopes.learn(64, Reach::Read, 101);
        assert!(scopes.has_forgotten && scopes.knows(0) && !scopes.knows(1));

        let mut principals = RecentPrincipals::default();
        assert!((0..100).all(|number| !principals.note(number)));
        assert!(principals.note(99) && !principals.note(0));

        let mut sessions = Sessions::default();
        let counts: Vec<u32> = (0..100).map(|grant| sessions.note(1, grant, 1, 60)).collect();
        assert_eq!(counts.last(), Some(&64));
    }

    #[test]
    fn sessions_are_counted_by_principal_and_end_with_the_window() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.note(1, 10, 100, 60), 1);
        assert_eq!(sessions.note(1, 11, 100, 60), 2);
        assert_eq!(sessions.note(2, 12, 100, 60), 1);
        assert_eq!(sessions.note(1, 11, 130, 60), 2);
        assert_eq!(
            sessions.note(1, 11, 160, 60),
            1,
            "the first was last used 60 minutes ago"
        );
    }

    #[test]
    fn a_token_that_goes_back_and_forth_is_told_from_one_that_moved() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        let (home, phone) = (network("198.51.100.1"), network("203.0.113.1"));
        let mut tokens = SeenTokens::default();
        assert_eq!(tokens.note(1, home, 10, 10).networks, [home]);
        let moved = tokens.note(1, phone, 11, 10);
        assert_eq!((moved.networks.len(), moved.has_returned), (2, false));
        assert!(tokens.note(1, home, 12, 10).has_returned);
        let later = tokens.note(1, home, 21, 10);
        assert_eq!(
            (later.networks, later.has_returned),
            (vec![home], false),
            "the window has passed"
        );
    }
}
