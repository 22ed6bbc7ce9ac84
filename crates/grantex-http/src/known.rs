//! Callers whom the application around the routes knows by means of its own.

use grantex_core::id::DeveloperId;

/// Says which developer calls. In a request's extensions it takes the place of the API key: no key is looked for, and the routes serve the
/// caller as that developer, whose limits and plan apply.
///
/// Only code in this process can put it there, so whoever mounts the routes decides whom to believe: a session, a client certificate, a
/// gateway. What the application does not recognise it lets pass without one, or refuses itself.
///
/// - The developer is read for each request; one that does not exist is answered 401.
/// - `POST /v1/keys/rotate` needs the old key and is answered 401.
/// - Routes that take sessions of principals, or keys of operators, are not concerned.
///
/// ```
/// use actix_web::HttpMessage as _;
/// use actix_web::dev::ServiceRequest;
/// use grantex_core::id::DeveloperId;
/// use grantex_http::KnownDeveloper;
///
/// /// In a middleware around the routes, once the caller was recognised.
/// fn recognised(request: &ServiceRequest, developer: DeveloperId) {
///     request.extensions_mut().insert(KnownDeveloper::new(developer));
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDeveloper(DeveloperId);

impl KnownDeveloper {
    /// The developer who calls.
    pub const fn new(id: DeveloperId) -> Self {
        Self(id)
    }

    /// The developer's id.
    pub const fn id(&self) -> &DeveloperId {
        &self.0
    }
}
