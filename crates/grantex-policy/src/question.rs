//! A question in Cedar's terms: what the schema promises to policies.

use cedar_policy::{Context, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression};
use grantex_core::policy::PolicyQuestion;
use grantex_core::policy::schedule::Local;

/// The names of the schema, read once.
pub struct Names {
    agent: EntityTypeName,
    action: EntityTypeName,
    grant: EntityUid,
}

impl Names {
    /// `None` when this version of Cedar does not take the names.
    pub fn new() -> Option<Self> {
        Some(Self {
            agent: "Grantex::Agent".parse().ok()?,
            action: "Grantex::Action".parse().ok()?,
            grant: uid("Grantex::Grant".parse().ok()?, "pending"),
        })
    }

    /// The request; `None` when Cedar refuses it, for example for a year of five digits.
    pub fn request(&self, question: &PolicyQuestion<'_>) -> Option<Request> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let scopes = question.scopes.as_slice().iter().map(|scope| text(scope));
        let mut context = vec![
            ("principalId", text(question.principal_id)),
            ("scopes", RestrictedExpression::new_set(scopes)),
            ("developerId", text(question.developer_id.as_str())),
            ("time", RestrictedExpression::new_datetime(question.at.to_string())),
            ("dayOfWeek", text(Local::utc(question.at).day.as_str())),
        ];
        if let Some(audience) = question.audience {
            context.push(("audience", text(audience)));
        }
        let context = context.into_iter().map(|(name, value)| (name.to_owned(), value));
        Request::new(
            uid(self.agent.clone(), question.agent_id.as_str()),
            uid(self.action.clone(), question.action.as_str()),
            self.grant.clone(),
            Context::from_pairs(context).ok()?,
            None,
        )
        .ok()
    }
}

fn uid(kind: EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind, EntityId::new(id))
}
