//! The page on which a person sees and revokes what agents may do; its script fetches the content.

use askama::Template;

use super::assets;

/// The permissions page before its script has run; the same for everyone.
#[derive(Debug, Template)]
#[template(path = "permissions.html")]
pub struct PermissionsView<'a> {
    /// Where the routes are mounted: empty, or a path without its last slash.
    pub base_path: &'a str,
}

impl PermissionsView<'_> {
    /// The whole page.
    ///
    /// # Errors
    /// Only when the template itself fails, which no content of the view can cause.
    pub fn page(&self) -> Result<String, askama::Error> {
        self.render()
    }
}
