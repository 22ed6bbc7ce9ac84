//! The pages people see: consent, what became of it, and their permissions.
//!
//! Pure rendering: a view goes in, HTML comes out. Which page is shown when, with which headers, is the routes' business.
//! The pages hold no inline script or style, so they work under `default-src 'none'; style-src 'self'; img-src 'self'`;
//! the permissions page also needs `script-src 'self'; connect-src 'self'`. Two things the routes must respect:
//!
//! - Browsers apply `form-action` to the redirect that follows a form post too, so the consent page's policy has to allow
//!   the place the person returns to.
//! - With `Referrer-Policy: no-referrer` browsers send `Origin: null` with our own form posts; use `same-origin`.
//!
//! Elements that tests and scripts may rely on: `#approve`, `#deny`, `#scopes li`, `#done`, `#problem`, and on the
//! permissions page `#grants .grant`, `button.revoke`, `button.confirm-revoke`, `button.keep`, `#activity li`, `#status`,
//! `#expired`, `#missing`, `#failed`.

pub mod assets;
mod consent;
mod message;
mod permissions;
#[cfg(test)]
mod tests;

pub use consent::{ConsentView, ScopeLine};
pub use message::{Message, MessageView};
pub use permissions::PermissionsView;
