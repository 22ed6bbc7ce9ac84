//! What may be used only while everybody concerned may act: codes, refresh tokens, and grants that are handed on.

use super::support::{FAR, Tenant};
use crate::agent::{Agent, AgentStatus};
use crate::authorize::{AuthRequest, AuthRequestState};
use crate::grant::{Grant, RevokedBy};
use crate::id::{AgentId, GrantId};
use crate::secret::SecretHash;
use crate::store::Store;
use crate::testing::fixtures::Fixtures;
use crate::token::Token;

/// A grant that was handed on twice, each time to another agent.
struct Line {
    tenant: Tenant,
    agents: [Agent; 3],
    grants: [Grant; 3],
}

impl Line {
    async fn create<S: Store>(store: &S, fixtures: &Fixtures) -> Self {
        let tenant = Tenant::create(store, fixtures).await;
        let agents = [(); 3].map(|()| fixtures.agent(&tenant.developer));
        for agent in &agents {
            commit!(store, [agent], |tx| tx.insert_agent(&agent).await?);
        }
        let root = fixtures.grant(&agents[0]);
        let middle = fixtures.child(&root, &agents[1]);
        let leaf = fixtures.child(&middle, &agents[2]);
        tenant.insert_grants(store, &[&root, &middle, &leaf]).await;
        let grants = [root, middle, leaf];
        Self { tenant, agents, grants }
    }
}

async fn set_status<S: Store>(store: &S, agent: &Agent, status: AgentStatus) {
    let changed = Agent {
        status,
        ..agent.clone()
    };
    assert!(commit!(store, [changed], |tx| tx.update_agent(&changed).await?));
}

async fn hide<S: Store>(store: &S, fixtures: &Fixtures, agent: &Agent) {
    let now = fixtures.now();
    assert!(commit!(store, [agent], |tx| tx
        .hide_agent(&agent.developer_id, &agent.id, now)
        .await?));
}

async fn revoke<S: Store>(store: &S, fixtures: &Fixtures, grant: &Grant) {
    let now = fixtures.now();
    commit!(store, [grant], |tx| tx
        .revoke_tree(&grant.developer_id, &grant.id, RevokedBy::Developer, now)
        .await?);
}

/// An approved request with the hash of its code.
async fn approved<S: Store>(store: &S, fixtures: &Fixtures, agent: &Agent) -> (AuthRequest, SecretHash) {
    let code_hash = fixtures.hash();
    let status = AuthRequestState::Approved {
        code_hash: code_hash.clone(),
        code_expires_at: FAR,
    };
    let request = AuthRequest {
        status,
        ..fixtures.auth_request(agent)
    };
    commit!(store, [request], |tx| tx.insert_auth_request(&request).await?);
    (request, code_hash)
}

/// Whether a request's code can be used.
async fn is_consumed<S: Store>(store: &S, fixtures: &Fixtures, approved: &(AuthRequest, SecretHash)) -> bool {
    let (now, grant) = (fixtures.now(), fixtures.id::<GrantId>());
    commit!(store, [approved, grant], |tx| tx
        .consume_auth_request(&approved.0.id, &approved.1, now, &grant)
        .await?)
}

/// Whether a token's refresh token can be used.
async fn is_refreshed<S: Store>(store: &S, fixtures: &Fixtures, token: &Token) -> bool {
    let (id, used) = (&token.id, fixtures.refresh_use(token));
    let is_used = commit!(store, [id, used], |tx| tx.use_refresh_token(&id, &used).await?);
    let found = query!(store, [id], |tx| tx.token(&id).await?).unwrap();
    assert_eq!(found.token.refresh_use, is_used.then_some(used), "refused means unused");
    is_used
}

pub async fn a_refresh_token_is_used_only_while_its_grant_is_in_force<S: Store>(store: S) {
    let fixtures = Fixtures::new(140);
    let line = Line::create(&store, &fixtures).await;
    let [root, middle, leaf] = line.grants.each_ref().map(|grant| fixtures.token(grant));
    line.tenant.insert_tokens(&store, &[&root, &middle, &leaf]).await;

    for agent in &line.agents {
        set_status(&store, agent, AgentStatus::Suspended).await;
        assert!(!is_refreshed(&store, &fixtures, &leaf).await, "an agent is suspended");
        set_status(&store, agent, AgentStatus::Active).await;
    }
    // An agent further down concerns nobody above.
    set_status(&store, &line.agents[2], AgentStatus::Suspended).await;
    assert!(is_refreshed(&store, &fixtures, &middle).await);
    set_status(&store, &line.agents[2], AgentStatus::Active).await;
    assert!(is_refreshed(&store, &fixtures, &leaf).await);

    revoke(&store, &fixtures, &line.grants[1]).await;
    assert!(is_refreshed(&store, &fixtures, &root).await);
    // A grant that was committed below a revoked one: stored as active, and worth nothing.
    let late = fixtures.child(&line.grants[1], &line.tenant.agent);
    let later = fixtures.child(&late, &line.tenant.agent);
    line.tenant.insert_grants(&store, &[&late, &later]).await;
    for grant in [&line.grants[1], &line.grants[2], &late, &later] {
        let token = fixtures.token(grant);
        line.tenant.insert_tokens(&store, &[&token]).await;
        assert!(!is_refreshed(&store, &fixtures, &token).await, "a grant is revoked");
    }
}

pub async fn no_refresh_token_is_used_below_a_deleted_agent<S: Store>(store: S) {
    let fixtures = Fixtures::new(141);
    for gone in 0..3 {
        let line = Line::create(&store, &fixtures).await;
        let tokens = line.grants.each_ref().map(|grant| fixtures.token(grant));
        line.tenant.insert_tokens(&store, &tokens.each_ref()).await;
        hide(&store, &fixtures, &line.agents[gone]).await;
        let mut refreshed = [true; 3];
        for (answer, token) in refreshed.iter_mut().zip(&tokens) {
            *answer = is_refreshed(&store, &fixtures, token).await;
        }
        assert_eq!(refreshed, [gone > 0, gone > 1, false]);
    }
}

pub async fn a_code_is_consumed_only_while_its_agent_is_active<S: Store>(store: S) {
    let fixtures = Fixtures::new(142);
    let tenant = Tenant::create(&store, &fixtures).await;
    let agent = &tenant.agent;
    let (first, second) = (
        approved(&store, &fixtures, agent).await,
        approved(&store, &fixtures, agent).await,
    );
    set_status(&store, agent, AgentStatus::Suspended).await;
    assert!(!is_consumed(&store, &fixtures, &first).await);
    let id = &first.0.id;
    let found = query!(store, [id], |tx| tx.auth_request(&id).await?);
    assert_eq!(found.as_ref(), Some(&first.0), "a refusal leaves the code");
    set_status(&store, agent, AgentStatus::Active).await;
    assert!(is_consumed(&store, &fixtures, &first).await);

    hide(&store, &fixtures, agent).await;
    assert!(!is_consumed(&store, &fixtures, &second).await);
}

pub async fn a_grant_is_handed_on_only_while_all_concerned_may_act<S: Store>(store: S) {
    async fn is_touched<S: Store>(store: &S, fixtures: &Fixtures, grant: &Grant, heir: &AgentId) -> bool {
        let now = fixtures.now();
        commit!(store, [grant, heir], |tx| tx
            .touch_active_grant(&grant.id, &heir, now)
            .await?)
    }
    let fixtures = Fixtures::new(143);
    let line = Line::create(&store, &fixtures).await;
    let (leaf, heir) = (&line.grants[2], &line.tenant.agent);
    assert!(is_touched(&store, &fixtures, leaf, &heir.id).await);
    for agent in line.agents.iter().chain([heir]) {
        set_status(&store, agent, AgentStatus::Suspended).await;
        assert!(!is_touched(&store, &fixtures, leaf, &heir.id).await);
        set_status(&store, agent, AgentStatus::Active).await;
    }
    assert!(is_touched(&store, &fixtures, leaf, &heir.id).await);
    assert!(
        !is_touched(&store, &fixtures, leaf, &fixtures.id()).await,
        "an unknown agent"
    );

    let gone = fixtures.agent(&line.tenant.developer);
    commit!(store, [gone], |tx| tx.insert_agent(&gone).await?);
    hide(&store, &fixtures, &gone).await;
    assert!(!is_touched(&store, &fixtures, leaf, &gone.id).await);

    revoke(&store, &fixtures, &line.grants[1]).await;
    assert!(is_touched(&store, &fixtures, &line.grants[0], &heir.id).await);
    let late = fixtures.child(&line.grants[1], heir);
    line.tenant.insert_grants(&store, &[&late]).await;
    assert!(
        !is_touched(&store, &fixtures, &late, &heir.id).await,
        "a grant above is revoked"
    );
    hide(&store, &fixtures, &line.agents[0]).await;
    assert!(!is_touched(&store, &fixtures, &line.grants[0], &heir.id).await);
}
