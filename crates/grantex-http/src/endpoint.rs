//! What one route is: method, path, who may call it, and what its description says.

use crate::limit::Bucket;
use crate::openapi::SchemaOf;

/// The methods of routes. `GET` also answers `HEAD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Patch,
    Delete,
    /// What no route answers.
    Other,
}

impl Verb {
    /// The methods under which a route is reached.
    pub(crate) const fn allowed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other => "",
        }
    }
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Public,
    /// A developer, by `Authorization: Bearer` and API key.
    Key,
    /// A developer, by bearer key or by HTTP Basic with the key as password (RFC 6749 §2.3.1).
    Client,
    /// A principal, by session token.
    Session,
    /// The operator, by admin key.
    Admin,
    /// Whoever scrapes metrics.
    Metrics,
}

/// What counts against an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressLimit {
    /// The common limit.
    Common,
    /// The common limit and one of the route's own.
    Own(Bucket),
    /// Nothing: only the developer is counted, in a bucket of the route's own.
    Developer(Bucket),
    /// Nothing at all.
    Exempt,
}

/// The flow whose attempts are counted even when they never reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Exchange,
    Refresh,
    Authorize,
}

/// A parameter of a query string.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub name: &'static str,
    pub about: &'static str,
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    pub method: Verb,
    /// The template: the label of metrics and log lines.
    pub path: &'static str,
    pub access: Access,
    pub limit: AddressLimit,
    pub counted: Option<Counted>,
    pub about: &'static str,
    pub query: &'static [Parameter],
    pub takes: Option<SchemaOf>,
    pub takes_form: bool,
    /// Whether refusals also carry their names in OAuth.
    pub is_oauth: bool,
    /// Whether people look at the answer, so that refusals are pages too.
    pub is_page: bool,
    pub status: u16,
    pub gives: Gives,
    /// The refusals beyond those that every route of its kind has.
    pub refusals: &'static [u16],
}

/// What a route answers with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gives {
    /// Nothing but a status.
    Nothing,
    /// JSON of this shape.
    Json(SchemaOf),
    /// Something that is not JSON.
    Other(&'static str),
}

impl Endpoint {
    const fn new(method: Verb, path: &'static str, access: Access, about: &'static str) -> Self {
        Self {
            method,
            path,
            access,
            limit: AddressLimit::Common,
            counted: None,
            about,
            query: &[],
            takes: None,
            takes_form: false,
            is_oauth: false,
            is_page: false,
            status: 200,
            gives: Gives::Nothing,
            refusals: &[],
        }
    }

    /// What answers where no route is.
    pub(crate) const fn nowhere(path: &'static str) -> Self {
        Self::new(Verb::Other, path, Access::Public, "No such route")
    }

    pub(crate) const fn get(path: &'static str, access: Access, about: &'static str) -> Self {
        Self::new(Verb::Get, path, access, about)
    }

    pub(crate) const fn post(path: &'static str, access: Access, about: &'static str) -> Self {
        Self::new(Verb::Post, path, access, about)
    }

    pub(crate) const fn patch(path: &'static str, access: Access, about: &'static str) -> Self {
        Self::new(Verb::Patch, path, access, about)
    }

    pub(crate) const fn delete(path: &'static str, access: Access, about: &'static str) -> Self {
        Self {
            status: 204,
            ..Self::new(Verb::Delete, path, access, about)
        }
    }

    pub(crate) const fn limited_by(self, limit: AddressLimit) -> Self {
        Self { limit, ..self }
    }

    pub(crate) const fn counted_as(self, counted: Counted) -> Self {
        Self {
            counted: Some(counted),
            ..self
        }
    }

    pub(crate) const fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    pub(crate) const fn takes(self, schema: SchemaOf) -> Self {
        Self {
            takes: Some(schema),
            ..self
        }
    }

    pub(crate) const fn takes_form(self) -> Self {
        Self {
            takes_form: true,
            ..self
        }
    }

    pub(crate) const fn speaks_oauth(self) -> Self {
        Self { is_oauth: true, ..self }
    }

    pub(crate) const fn shown_to_people(self) -> Self {
        Self { is_page: true, ..self }
    }

    pub(crate) const fn gives(self, status: u16, schema: SchemaOf) -> Self {
        Self {
            status,
            gives: Gives::Json(schema),
            ..self
        }
    }

    pub(crate) const fn gives_other(self, status: u16, content_type: &'static str) -> Self {
        Self {
            status,
            gives: Gives::Other(content_type),
            ..self
        }
    }

    pub(crate) const fn gives_nothing(self, status: u16) -> Self {
        Self {
            status,
            gives: Gives::Nothing,
            ..self
        }
    }

    pub(crate) const fn refuses(self, refusals: &'static [u16]) -> Self {
        Self { refusals, ..self }
    }
}
