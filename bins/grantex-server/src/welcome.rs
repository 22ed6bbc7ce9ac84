//! Accounts that exist from the start: the ones an operator seeds, and a sandbox account on somebody's own machine, whose
//! key is shown once together with a flow to try.

use std::fmt::Write as _;

use grantex_core::Grantex;
use grantex_core::context::Context;
use grantex_core::developer::{Mode, Signup};
use grantex_core::secret::Secret;
use grantex_core::store::Store;

use crate::config::{Config, Environment};
use crate::error::Failure;

/// Makes the seeded accounts that do not exist yet, and on a first start in development a sandbox account. Returns what is to
/// be shown of the latter.
pub async fn accounts<S: Store>(
    config: &Config,
    grantex: &Grantex<S>,
    ctx: &Context,
) -> Result<Option<String>, Failure> {
    let is_first = grantex
        .has_no_developer()
        .await
        .map_err(Failure::of("looking for accounts"))?;
    for (key, mode) in [
        (&config.flows.seed_api_key, Mode::Live),
        (&config.flows.seed_sandbox_key, Mode::Sandbox),
    ] {
        if let Some(key) = key {
            seed(grantex, ctx, key, mode).await?;
        }
    }
    let is_seeded = config.flows.seed_api_key.is_some() || config.flows.seed_sandbox_key.is_some();
    if !is_first || is_seeded || config.http.environment != Environment::Development {
        return Ok(None);
    }
    let account = Signup {
        name: "Sandbox".to_owned(),
        email: None,
        mode: Mode::Sandbox,
    };
    let signed_up = grantex
        .signup(ctx, account)
        .await
        .map_err(Failure::of("making the sandbox account"))?;
    Ok(Some(text(&config.http.public_base_url, &signed_up.api_key)))
}

async fn seed<S: Store>(grantex: &Grantex<S>, ctx: &Context, key: &Secret<String>, mode: Mode) -> Result<(), Failure> {
    if grantex
        .authenticate(key.expose())
        .await
        .map_err(Failure::of("looking for a seeded account"))?
        .is_some()
    {
        return Ok(());
    }
    let account = Signup {
        name: format!("Seeded {} account", mode.as_str()),
        email: None,
        mode,
    };
    grantex
        .signup_with_key(ctx, account, key.clone())
        .await
        .map_err(Failure::of("making a seeded account"))?;
    Ok(())
}

/// Works as printed in any POSIX shell with curl: no jq, no line longer than a terminal likes.
fn text(base_url: &str, api_key: &Secret<String>) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        r#"
  This is the first start, so here is a sandbox account. Its API key is shown only this once:

    {key}

  Try it: paste this into another terminal.

export GRANTEX={base_url} KEY={key}
post() {{ curl -sS "$GRANTEX$1" -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -d "$2"; }}
field() {{ sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'; }}
# Register an agent
AGENT=$(post /v1/agents '{{"name":"My agent","scopes":["calendar:read"]}}' | field agentId)
# Ask for consent; in the sandbox it is given at once, as a code
CODE=$(post /v1/authorize '{{"agentId":"'"$AGENT"'","principalId":"user-1","scopes":["calendar:read"]}}' | field code)
# Exchange the code for a grant and its token
ISSUED=$(post /v1/token '{{"code":"'"$CODE"'","agentId":"'"$AGENT"'"}}')
TOKEN=$(echo "$ISSUED" | field grantToken) GRANT=$(echo "$ISSUED" | field grantId)
# Verify the token, revoke the grant, verify again
post /v1/tokens/verify '{{"token":"'"$TOKEN"'"}}'; echo
curl -sS -X DELETE "$GRANTEX/v1/grants/$GRANT" -H "Authorization: Bearer $KEY"
post /v1/tokens/verify '{{"token":"'"$TOKEN"'"}}'; echo

"#,
        key = api_key.expose(),
    );
    text
}
