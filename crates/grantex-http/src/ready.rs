//! Whether the server can do its work: the port behind `GET /ready`.

use grantex_core::store::BoxFuture;

/// One thing that readiness depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It is as it should be.
    Ok,
    /// It is not.
    Failed,
}

impl Check {
    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "error",
        }
    }

    /// `Ok` when `is_ok`.
    pub const fn from_bool(is_ok: bool) -> Self {
        if is_ok { Self::Ok } else { Self::Failed }
    }
}

/// What `GET /ready` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadinessReport {
    /// The store answers.
    pub store: Check,
    /// The schema is the one this program was built for.
    pub migrations: Check,
    /// There is a key to sign with.
    pub keys: Check,
}

impl ReadinessReport {
    /// Each check under its name.
    pub const fn checks(&self) -> [(&'static str, Check); 3] {
        [
            ("store", self.store),
            ("migrations", self.migrations),
            ("keys", self.keys),
        ]
    }
}

/// Looks whether the server can do its work.
pub trait Readiness: Send + Sync + 'static {
    /// Looks now. Called under a deadline; when that passes, the store counts as failed.
    fn check(&self) -> BoxFuture<'_, ReadinessReport>;
}
