//! The static files, embedded, each with a version that changes with its content.

/// A file served under `/static/`.
#[derive(Debug)]
pub struct Asset {
    name: &'static str,
    content_type: &'static str,
    body: &'static str,
    version: [u8; 16],
}

/// The stylesheet of every page.
pub static STYLESHEET: Asset = Asset::new(
    "grantex.css",
    "text/css; charset=utf-8",
    include_str!("../../static/grantex.css"),
);
/// The script of the permissions page.
pub static PERMISSIONS_SCRIPT: Asset = Asset::new(
    "permissions.js",
    "text/javascript; charset=utf-8",
    include_str!("../../static/permissions.js"),
);
/// The logo, also the page's icon.
pub static LOGO: Asset = Asset::new("logo.svg", "image/svg+xml", include_str!("../../static/logo.svg"));

/// The file of that name.
pub fn asset(name: &str) -> Option<&'static Asset> {
    [&STYLESHEET, &PERMISSIONS_SCRIPT, &LOGO]
        .into_iter()
        .find(|asset| asset.name == name)
}

impl Asset {
    const fn new(name: &'static str, content_type: &'static str, body: &'static str) -> Self {
        Self {
            name,
            content_type,
            body,
            version: hex(fnv1a(body.as_bytes())),
        }
    }

    /// Its name below `/static/`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The value of `Content-Type`.
    pub const fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Its content.
    pub const fn body(&self) -> &'static str {
        self.body
    }

    /// What tells this content from any other of the same name.
    pub fn version(&self) -> &str {
        std::str::from_utf8(&self.version).unwrap_or_default()
    }

    /// The value of `ETag`, quotes included.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version())
    }

    /// The address pages use: new content has a new address, so browsers may keep what they have.
    pub fn url(&self) -> String {
        format!("/static/{}?v={}", self.name, self.version())
    }

    /// The value of `Cache-Control` for a request with this `v` parameter.
    pub fn cache_control(&self, requested_version: Option<&str>) -> &'static str {
        if requested_version == Some(self.version()) {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        }
    }
}

/// FNV-1a, because it can run in a constant; nothing secret or hostile is hashed here.
#[expect(
    clippy::indexing_slicing,
    reason = "iterators do not work in constants; the loop stays below the length"
)]
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}

#[expect(
    clippy::indexing_slicing,
    reason = "iterators do not work in constants; a nibble is below 16"
)]
const fn hex(value: u64) -> [u8; 16] {
    let digits = b"0123456789abcdef";
    let mut text = [0; 16];
    let mut index = 0;
    while index < text.len() {
        text[index] = digits[((value >> (60 - 4 * index)) & 15) as usize];
        index += 1;
    }
    text
}
