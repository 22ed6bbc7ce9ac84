//! Bundles: policies as code, stored as they came.

use crate::clock::Timestamp;
use crate::id::{BundleId, DeveloperId};

/// The most that the files of a bundle may hold, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 256 * 1024;

/// What a bundle is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BundleFormat {
    /// Cedar policies: checked when they come, and evaluated here.
    Cedar,
    /// Rego modules: recorded, and evaluated elsewhere.
    Rego,
}

impl BundleFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Cedar, Self::Rego];

    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cedar => "cedar",
            Self::Rego => "rego",
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }

    /// Whether this server decides by bundles of this format.
    pub const fn is_evaluated(self) -> bool {
        match self {
            Self::Cedar => true,
            Self::Rego => false,
        }
    }
}

/// A bundle, without what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Identifier.
    pub id: BundleId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// What it is written in.
    pub format: BundleFormat,
    /// What its author calls this state of it.
    pub version: String,
    /// SHA-256 of what it holds, in lower-case hex.
    pub sha256: String,
    /// How many files it was made of, as its author says.
    pub file_count: u32,
    /// Whether it is the one in force among those of its format.
    pub is_active: bool,
    /// When it came.
    pub created_at: Timestamp,
}
