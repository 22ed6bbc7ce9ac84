//! Policies: who decides, and what is kept in memory.

use std::path::PathBuf;
use std::time::Duration;

use grantex_core::policy::BackendKind;
use url::Url;

use super::{Env, Variable};

const BACKEND: Variable = Variable::new(
    "POLICY_BACKEND",
    "builtin",
    "Who decides: `builtin` (developers' own policies and Cedar bundles), `opa` or `cedar` (a server that is asked instead, see \
     [policies](policies.md)).",
);
const OPA_URL: Variable = Variable::new(
    "OPA_URL",
    "",
    "Base URL of Open Policy Agent; needed with `POLICY_BACKEND=opa`. Plain http and private hosts are allowed.",
);
const OPA_FALLBACK: Variable = Variable::new(
    "OPA_FALLBACK_TO_BUILTIN",
    "false",
    "`true`: developers' own policies decide when Open Policy Agent does not answer. Otherwise everything is refused then.",
);
const CEDAR_URL: Variable = Variable::new(
    "CEDAR_URL",
    "",
    "Base URL of a Cedar agent; needed with `POLICY_BACKEND=cedar`.",
);
const CEDAR_FALLBACK: Variable = Variable::new(
    "CEDAR_FALLBACK_TO_BUILTIN",
    "false",
    "`true`: developers' own policies decide when the Cedar agent does not answer. Otherwise everything is refused then.",
);
const DEADLINE: Variable = Variable::new(
    "POLICY_DEADLINE",
    "5s",
    "How long a policy backend may take, 1s to 30s; never more than four fifths of `REQUEST_DEADLINE`, so that there is time to say \
     what came of it.",
);
const CA_FILE: Variable = Variable::new(
    "POLICY_CA_FILE",
    "",
    "PEM file with certificates that a policy backend's may come from, beside those that the machine trusts.",
);
const CACHE_MIB: Variable = Variable::new(
    "POLICY_CACHE_MIB",
    "64",
    "Roughly how much memory developers' policies may take, in MiB, 1 to 4096; those that nobody asked for longest are read again.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[
    &BACKEND,
    &OPA_URL,
    &OPA_FALLBACK,
    &CEDAR_URL,
    &CEDAR_FALLBACK,
    &DEADLINE,
    &CA_FILE,
    &CACHE_MIB,
];

/// The section.
#[derive(Debug)]
pub struct Policies {
    /// Whom to ask instead of developers' own policies.
    pub backend: Option<Backend>,
    /// How long it may take.
    pub deadline: Duration,
    /// Certificates that its own may come from.
    pub ca_file: Option<PathBuf>,
    /// How much memory policies may take, in bytes.
    pub cache_bytes: u64,
}

/// A policy backend.
#[derive(Debug)]
pub struct Backend {
    /// What it speaks.
    pub kind: BackendKind,
    /// Where it is.
    pub url: Url,
    /// Whether developers' own policies decide when it does not answer.
    pub falls_back: bool,
}

pub(super) fn read(env: &mut Env, request_deadline: Duration) -> Policies {
    let kind = env.parsed(&BACKEND, None, |text| match text {
        "builtin" => Ok(None),
        "opa" => Ok(Some(BackendKind::Opa)),
        "cedar" => Ok(Some(BackendKind::Cedar)),
        _ => Err("must be builtin, opa or cedar".to_owned()),
    });
    let opa = (url(env, &OPA_URL), env.flag(&OPA_FALLBACK, false));
    let cedar = (url(env, &CEDAR_URL), env.flag(&CEDAR_FALLBACK, false));
    let deadline = env.duration(&DEADLINE, Duration::from_secs(5));
    if !(Duration::from_secs(1)..=Duration::from_secs(30)).contains(&deadline) {
        env.problem(DEADLINE.name, "must be a span from 1s to 30s");
    }
    Policies {
        backend: kind.and_then(|kind| match kind {
            BackendKind::Cedar => backend(env, kind, &CEDAR_URL, cedar),
            BackendKind::Opa | BackendKind::Bundle => backend(env, kind, &OPA_URL, opa),
        }),
        deadline: deadline.min(request_deadline * 4 / 5),
        ca_file: env.text(&CA_FILE).map(PathBuf::from),
        cache_bytes: u64::from(env.number(&CACHE_MIB, 64, 1..=4_096)) << 20,
    }
}

fn backend(
    env: &mut Env,
    kind: BackendKind,
    variable: &'static Variable,
    (url, falls_back): (Option<Url>, bool),
) -> Option<Backend> {
    let Some(url) = url else {
        env.problem(
            variable.name,
            format!("must be set with POLICY_BACKEND={}", kind.as_str()),
        );
        return None;
    };
    Some(Backend { kind, url, falls_back })
}

/// An http(s) URL; one that is wrong counts as absent beside the problem.
fn url(env: &mut Env, variable: &'static Variable) -> Option<Url> {
    // The value may hold a password, so a problem does not repeat it.
    let text = env.text(variable)?;
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        env.problem(
            variable.name,
            "must be an http or https URL without credentials, query and fragment",
        );
    }
    url
}
