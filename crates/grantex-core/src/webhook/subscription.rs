//! Who wants to be told of what: kept with the developer's head, so that every unit of work knows it without another read.

use std::fmt;
use std::sync::Arc;

use crate::event::filter::EventFilter;
use crate::id::WebhookId;

/// One endpoint's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The endpoint.
    pub webhook_id: WebhookId,
    /// Which events it wants.
    pub events: EventFilter,
}

/// The endpoints of a developer for which deliveries are made: those that are neither disabled nor deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscriptions(Arc<Vec<Subscription>>);

impl Subscriptions {
    /// Endpoints that want an event of this type.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a WebhookId> {
        self.0
            .iter()
            .filter(move |subscription| subscription.events.admits(kind))
            .map(|subscription| &subscription.webhook_id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With this endpoint's wish, instead of an older one.
    #[must_use]
    pub fn with(&self, webhook_id: &WebhookId, events: &EventFilter) -> Self {
        let mut all = self.others(webhook_id);
        all.push(Subscription {
            webhook_id: webhook_id.clone(),
            events: events.clone(),
        });
        Self(Arc::new(all))
    }

    /// Without this endpoint.
    #[must_use]
    pub fn without(&self, webhook_id: &WebhookId) -> Self {
        Self(Arc::new(self.others(webhook_id)))
    }

    fn others(&self, webhook_id: &WebhookId) -> Vec<Subscription> {
        let others = self.0.iter().filter(|known| known.webhook_id != *webhook_id);
        others.cloned().collect()
    }

    /// Reads the stored form; `None` when it is none.
    pub fn from_stored(text: &str) -> Option<Self> {
        let read = |item: &str| {
            let (id, patterns) = item.split_once(':')?;
            Some(Subscription {
                webhook_id: WebhookId::parse(id)?,
                events: EventFilter::from_stored(patterns),
            })
        };
        let items = text.split(' ').filter(|item| !item.is_empty());
        items
            .map(read)
            .collect::<Option<Vec<_>>>()
            .map(|all| Self(Arc::new(all)))
    }
}

impl fmt::Display for Subscriptions {
    /// The stored form: `<id>:<pattern>,<pattern> …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, subscription) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}:{}", subscription.webhook_id, subscription.events)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(last: char) -> WebhookId {
        WebhookId::parse(&format!("wh_01ARZ3NDEKTSV4RRFFQ69G5FA{last}")).unwrap()
    }

    fn filter(texts: &[&str]) -> EventFilter {
        EventFilter::parse(texts.iter().copied()).unwrap()
    }

    #[test]
    fn each_event_finds_those_who_want_it() {
        let (a, b, c) = (webhook('A'), webhook('B'), webhook('C'));
        let all = Subscriptions::default()
            .with(&a, &filter(&["grant.*", "token.issued"]))
            .with(&b, &filter(&["*"]))
            .with(&c, &filter(&["token.revoked"]));
        assert_eq!(all.of("grant.revoked").collect::<Vec<_>>(), [&a, &b]);
        assert_eq!(all.of("token.revoked").collect::<Vec<_>>(), [&b, &c]);
        let fewer = all.without(&b).with(&c, &filter(&["grant.revoked"]));
        assert_eq!(fewer.of("grant.revoked").collect::<Vec<_>>(), [&a, &c]);
        assert_eq!(fewer.of("token.revoked").count(), 0);
    }

    #[test]
    fn the_stored_form_is_read_back() {
        let all = Subscriptions::default()
            .with(&webhook('A'), &filter(&["grant.*", "token.issued"]))
            .with(&webhook('B'), &filter(&["*"]));
        assert_eq!(Subscriptions::from_stored(&all.to_string()), Some(all));
        assert_eq!(Subscriptions::from_stored(""), Some(Subscriptions::default()));
        for text in ["x", "wh_x:*", "wh_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            assert_eq!(Subscriptions::from_stored(text), None, "{text}");
        }
    }
}
