"""The published client, unmodified, through the whole core flow on both databases."""

import secrets
import time

import httpx
import jwt
import pytest
from grantex import (
    CreatePrincipalSessionParams, ExchangeTokenParams, Grantex, GrantexApiError, GrantexAuthError, GrantexTokenError,
    ListAuditParams, ListGrantsParams, RefreshTokenParams, VerifyGrantTokenOptions, generate_pkce, verify_grant_token,
)

from harness.chain import check_chain
from harness.developer import LEDGER, READ, WRITE


def options(server, **extra):
    return VerifyGrantTokenOptions(jwks_uri=f"{server.url}/.well-known/jwks.json", **extra)


def enforce(developer, token, tool="read_entries", **extra):
    return developer.grantex.enforce(token, "ledger", tool, **extra)


def expect_denied(result, code, sub_reason):
    assert not result.allowed, "enforce allowed a call that must be denied"
    assert (result.reason_code, result.sub_reason) == (code, sub_reason), f"denied, but because: {result.reason}"


def test_sandbox_request_carries_its_code_and_exchanges_it(sandbox):
    agent = sandbox.agent()
    assert agent.developer_id == sandbox.id and agent.status == "active" and agent.did == f"did:grantex:{agent.id}"
    request, code = sandbox.code(agent, "user-1")
    assert request.sandbox is True
    assert request.request_id.startswith("areq_") and request.consent_url.endswith(f"/consent?req={request.request_id}")
    tokens = sandbox.grantex.tokens.exchange(ExchangeTokenParams(code=code, agent_id=agent.id))
    assert tokens.scopes == (READ, WRITE)
    assert tokens.grant_id.startswith("grnt_") and tokens.refresh_token.startswith("ref_")
    with pytest.raises(GrantexApiError) as again:
        sandbox.grantex.tokens.exchange(ExchangeTokenParams(code=code, agent_id=agent.id))
    assert again.value.status_code == 400 and again.value.code == "BAD_REQUEST"
    assert again.value.request_id, "an error must carry its request id"


def test_live_request_needs_consent(live):
    agent = live.agent()
    pkce = generate_pkce()
    request = live.open_request(
        agent, "user-2", redirect_uri="https://app.example/callback", state="state-1",
        code_challenge=pkce.code_challenge, code_challenge_method=pkce.code_challenge_method,
    )
    assert request.code is None and request.status in ("pending", "")
    answer = live.approve(request.request_id)
    assert answer["redirectUri"] == "https://app.example/callback" and answer["state"] == "state-1"
    with pytest.raises(GrantexApiError) as without_verifier:
        live.grantex.tokens.exchange(ExchangeTokenParams(code=answer["code"], agent_id=agent.id))
    assert without_verifier.value.status_code == 400
    tokens = live.grantex.tokens.exchange(
        ExchangeTokenParams(code=answer["code"], agent_id=agent.id, code_verifier=pkce.code_verifier)
    )
    assert live.grantex.grants.get(tokens.grant_id).status == "active"
    second = httpx.post(f"{live.server.url}/v1/consent/{request.request_id}/approve")
    assert second.status_code == 410, f"a consent request is decided once; the second time: {second.status_code}"


def test_denied_consent_yields_nothing(live):
    request = live.open_request(live.agent(), "user-3")
    assert httpx.post(f"{live.server.url}/v1/consent/{request.request_id}/deny").status_code == 200
    assert httpx.post(f"{live.server.url}/v1/consent/{request.request_id}/approve").status_code == 410


@pytest.mark.parametrize("legacy_claims", [True, False])
@pytest.mark.parametrize("bounded_jwks_fetch", [True, False])
def test_token_verifies_offline(sandbox, legacy_claims, bounded_jwks_fetch):
    issued = sandbox.issue(expires_in="2h")
    verified = verify_grant_token(
        issued.token,
        options(sandbox.server, legacy_claims=legacy_claims, bounded_jwks_fetch=bounded_jwks_fetch, required_scopes=[READ]),
    )
    assert verified.grant_id == issued.grant_id
    assert (verified.principal_id, verified.agent_did) == (issued.principal, issued.agent.did)
    assert verified.developer_id == sandbox.id and verified.scopes == (READ, WRITE)
    assert verified.issuer == sandbox.server.url and verified.client_id == issued.agent.id
    assert verified.expires_at - verified.issued_at == pytest.approx(7200, abs=2)
    assert verified.legacy_claims_used == () and verified.audience is None


def test_token_carries_both_claim_forms_and_no_nulls(sandbox):
    issued = sandbox.issue()
    header = jwt.get_unverified_header(issued.token)
    claims = jwt.decode(issued.token, options={"verify_signature": False})
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt") and header["kid"]
    assert claims["scope"] == " ".join(claims["scp"])
    assert claims["urn:grantex:grant"]["grant_id"] == claims["grnt"] == issued.grant_id
    assert None not in claims.values() and "nbf" not in claims and "aud" not in claims
    assert claims["iat"] <= time.time()


def test_audience_is_bound(sandbox):
    issued = sandbox.issue(audience="https://ledger.example")
    assert verify_grant_token(issued.token, options(sandbox.server, audience="https://ledger.example")).audience
    with pytest.raises(GrantexTokenError):
        verify_grant_token(issued.token, options(sandbox.server, audience="https://other.example"))
    expect_denied(enforce(sandbox, issued.token), "token_invalid", "audience_unconfigured")
    assert enforce(sandbox, issued.token, audience="https://ledger.example").allowed
    current = verify_grant_token(
        issued.token,
        options(sandbox.server, audience="https://ledger.example", current_authority=sandbox.grantex.grants.verify),
    )
    assert current.grant_id == issued.grant_id


def test_forged_token_is_refused(sandbox):
    issued = sandbox.issue()
    head, payload, signature = issued.token.split(".")
    forged = ".".join((head, payload, signature[:-8] + ("A" * 8 if not signature.endswith("A" * 8) else "B" * 8)))
    with pytest.raises(GrantexTokenError):
        verify_grant_token(forged, options(sandbox.server))
    assert sandbox.grantex.tokens.verify(forged).valid is False


def test_enforce_asks_the_service_before_each_call(sandbox):
    issued = sandbox.issue(scopes=[READ])
    allowed = enforce(sandbox, issued.token)
    assert allowed.allowed, f"enforce with its default online check denied: {allowed.reason}"
    assert allowed.grant_id == issued.grant_id
    expect_denied(enforce(sandbox, issued.token, tool="post_entry"), "permission_insufficient", "")
    sandbox.grantex.grants.revoke(issued.grant_id)
    expect_denied(enforce(sandbox, issued.token), "grant_revoked", "revoked")


def test_enforce_denies_a_single_revoked_token(sandbox):
    issued = sandbox.issue()
    jti = jwt.decode(issued.token, options={"verify_signature": False})["jti"]
    sandbox.grantex.tokens.revoke(jti)
    expect_denied(enforce(sandbox, issued.token), "grant_revoked", "revoked")
    renewed = sandbox.grantex.tokens.refresh(RefreshTokenParams(issued.tokens.refresh_token, issued.agent.id))
    assert enforce(sandbox, renewed.grant_token).allowed, "revoking one token must leave the grant alone"


def test_refresh_and_its_replay(sandbox):
    issued = sandbox.issue()
    key = secrets.token_urlsafe(24)
    params = RefreshTokenParams(issued.tokens.refresh_token, issued.agent.id, idempotency_key=key)
    first = sandbox.grantex.tokens.refresh(params)
    assert first.grant_id == issued.grant_id and first.refresh_token != issued.tokens.refresh_token
    assert first.expires_at == issued.tokens.expires_at, "a refresh never extends life"
    assert sandbox.grantex.tokens.refresh(params) == first, "the same key must replay the identical answer"
    with pytest.raises(GrantexApiError) as other_key:
        sandbox.grantex.tokens.refresh(RefreshTokenParams(issued.tokens.refresh_token, issued.agent.id))
    assert other_key.value.status_code == 400
    assert enforce(sandbox, first.grant_token).allowed, "a reuse within the grace period must not revoke the grant"
    second = sandbox.grantex.tokens.refresh(RefreshTokenParams(first.refresh_token, issued.agent.id))
    assert enforce(sandbox, second.grant_token).allowed
    with pytest.raises(GrantexApiError) as replay_after_use:
        sandbox.grantex.tokens.refresh(params)
    assert replay_after_use.value.status_code == 400, "once the successor was used there is no replay"


def test_refresh_reuse_after_the_successor_was_used_revokes_the_grant(sandbox):
    issued = sandbox.issue()
    refresh = lambda token: sandbox.grantex.tokens.refresh(RefreshTokenParams(token, issued.agent.id))
    first = refresh(issued.tokens.refresh_token)
    second = refresh(first.refresh_token)
    with pytest.raises(GrantexApiError):
        refresh(issued.tokens.refresh_token)
    expect_denied(enforce(sandbox, second.grant_token), "grant_revoked", "revoked")
    assert sandbox.grantex.grants.get(issued.grant_id).status == "revoked"


def test_delegation_narrows_and_dies_with_its_parent(sandbox):
    parent = sandbox.issue()
    helper = sandbox.agent(scopes=[READ])
    child = sandbox.grantex.grants.delegate(
        parent_grant_token=parent.token, sub_agent_id=helper.id, scopes=[READ], expires_in="30m"
    )
    grandchild = sandbox.grantex.grants.delegate(
        parent_grant_token=child["grantToken"], sub_agent_id=helper.id, scopes=[READ]
    )
    for legacy_claims in (True, False):
        verified = verify_grant_token(child["grantToken"], options(sandbox.server, legacy_claims=legacy_claims))
        assert (verified.parent_grant_id, verified.delegation_depth) == (parent.grant_id, 1)
        assert verified.parent_agent_did == parent.agent.did and verified.principal_id == parent.principal
    with pytest.raises(GrantexApiError) as wider:
        sandbox.grantex.grants.delegate(parent_grant_token=child["grantToken"], sub_agent_id=helper.id, scopes=[WRITE])
    assert wider.value.status_code == 400, "a child must not get what its parent lacks"

    listed = sandbox.http.get(f"/v1/grants/{child['grantId']}").json()
    assert (listed["parentGrantId"], listed["delegationDepth"]) == (parent.grant_id, 1)

    family = [parent.token, child["grantToken"], grandchild["grantToken"]]
    assert all(sandbox.grantex.tokens.verify(token).valid for token in family)
    sandbox.grantex.grants.revoke(parent.grant_id)
    for token in family:
        assert sandbox.grantex.tokens.verify(token).valid is False
        expect_denied(enforce(sandbox, token), "grant_revoked", "revoked")
    grants = sandbox.grantex.grants.list(ListGrantsParams(principal_id=parent.principal)).grants
    assert {grant.status for grant in grants} == {"revoked"} and len(grants) == 3
    with pytest.raises(GrantexApiError) as twice:
        sandbox.grantex.grants.revoke(parent.grant_id)
    assert twice.value.status_code == 404


def test_online_verification(sandbox, sign_up):
    issued = sandbox.issue()
    answer = sandbox.grantex.tokens.verify(issued.token)
    assert answer.valid and answer.grant_id == issued.grant_id and answer.principal == issued.principal
    assert answer.agent == issued.agent.did and answer.scopes == (READ, WRITE)
    verified = sandbox.grantex.grants.verify(issued.token)
    assert verified.grant_id == issued.grant_id and verified.issuer == sandbox.server.url
    stranger = sign_up("sandbox")
    assert stranger.grantex.tokens.verify(issued.token).valid is False
    with pytest.raises(GrantexTokenError):
        stranger.grantex.grants.verify(issued.token)
    expect_denied(stranger.grantex.enforce(issued.token, "ledger", "read_entries"), "grant_revoked", "status_unavailable")


def test_agents_are_updated_by_the_clients_post(sandbox):
    issued = sandbox.issue()
    updated = sandbox.grantex.agents.update(issued.agent.id, name="Renamed", description="Keeps the books")
    assert (updated.name, updated.description) == ("Renamed", "Keeps the books")
    assert sandbox.grantex.agents.get(issued.agent.id).name == "Renamed"
    sandbox.grantex.agents.update(issued.agent.id, status="suspended")
    assert sandbox.grantex.tokens.verify(issued.token).valid is False
    expect_denied(enforce(sandbox, issued.token), "grant_revoked", "suspended")
    sandbox.grantex.agents.update(issued.agent.id, status="active")
    assert enforce(sandbox, issued.token).allowed, "a resumed agent's tokens count again"
    with pytest.raises(GrantexApiError) as unserved:
        sandbox.grantex.agents.update(issued.agent.id, redirect_uris=["https://app.example/callback"])
    assert unserved.value.status_code == 400 and "redirectUris" in str(unserved.value)


def test_deleting_an_agent_with_delegated_grants(sandbox):
    parent = sandbox.issue()
    helper = sandbox.agent(scopes=[READ])
    child = sandbox.grantex.grants.delegate(parent_grant_token=parent.token, sub_agent_id=helper.id, scopes=[READ])
    sandbox.grantex.agents.delete(parent.agent.id)
    assert parent.agent.id not in {agent.id for agent in sandbox.grantex.agents.list().agents}
    assert sandbox.grantex.tokens.verify(parent.token).valid is False
    assert sandbox.grantex.tokens.verify(child["grantToken"]).valid is False


def test_audit_chains_hold(sandbox):
    issued = sandbox.issue()
    written = [
        sandbox.grantex.audit.log(
            agent_id=issued.agent.id, agent_did=issued.agent.did, grant_id=issued.grant_id, principal_id=issued.principal,
            action=action, metadata=metadata, status=status,
        )
        for action, metadata, status in (
            ("ledger.read", {}, "success"),
            ("ledger.post", {"amount": 12.50, "path": '/tmp/"q"\n', "z": [1, {"b": True, "a": None}], "é": "ü\u2028"}, "blocked"),
            ("ledger.post", {"tiny": 1e-7, "huge": 1e21, "whole": 3.0, "negative": -0.25, "emoji": "😀"}, "failure"),
        )
    ]
    assert written[0].prev_hash is None, "the caller's chain begins with its first entry, whatever the server recorded"
    assert sandbox.grantex.audit.get(written[1].entry_id) == written[1]
    listed = sandbox.grantex.audit.list(ListAuditParams(grant_id=issued.grant_id, action="ledger.post")).entries
    assert [entry.entry_id for entry in listed] == [entry.entry_id for entry in written[1:]]
    own = sandbox.entries()
    assert [entry["entryId"] for entry in own] == [entry.entry_id for entry in written]
    check_chain(own, "the caller's chain")

    sandbox.grantex.tokens.refresh(RefreshTokenParams(issued.tokens.refresh_token, issued.agent.id))
    sandbox.grantex.grants.revoke(issued.grant_id)
    decisions = sandbox.entries(chain="server")
    check_chain(decisions, "the server's chain")
    assert [(entry["action"], entry["grantId"]) for entry in decisions] == [
        ("grantex.grant.created", issued.grant_id),
        ("grantex.token.exchanged", issued.grant_id),
        ("grantex.token.refreshed", issued.grant_id),
        ("grantex.grant.revoked", issued.grant_id),
    ]


def test_reserved_audit_names_are_refused(sandbox):
    issued = sandbox.issue()
    ids = dict(agent_id=issued.agent.id, agent_did=issued.agent.did, grant_id=issued.grant_id, principal_id="user-1")
    for extra, code in (
        ({"action": "grantex.grant.created"}, "AUDIT_ACTION_RESERVED"),
        ({"action": "ledger.read", "metadata": {"grantex:x": 1}}, "AUDIT_METADATA_RESERVED"),
    ):
        with pytest.raises(GrantexApiError) as refused:
            sandbox.grantex.audit.log(**ids, **extra)
        assert (refused.value.status_code, refused.value.code) == (400, code)


def test_principal_session_shows_and_revokes(sandbox):
    issued = sandbox.issue()
    session = sandbox.grantex.principal_sessions.create(CreatePrincipalSessionParams(issued.principal, expires_in="10m"))
    assert session.dashboard_url.startswith(f"{sandbox.server.url}/permissions#session=")
    bearer = {"Authorization": f"Bearer {session.session_token}"}
    listing = httpx.get(f"{sandbox.server.url}/v1/principal/grants", headers=bearer)
    assert listing.status_code == 200, listing.text
    assert [grant["grantId"] for grant in listing.json()["grants"]] == [issued.grant_id]
    assert listing.json()["grants"][0]["agentName"] == issued.agent.name
    assert httpx.get(f"{sandbox.server.url}/v1/agents", headers=bearer).status_code == 401, "a session is not an API key"
    assert sandbox.grantex.tokens.verify(session.session_token).valid is False, "a session is not a grant token"
    grant_as_session = {"Authorization": f"Bearer {issued.token}"}
    assert httpx.get(f"{sandbox.server.url}/v1/principal/grants", headers=grant_as_session).status_code == 401
    with pytest.raises(GrantexTokenError):
        verify_grant_token(session.session_token, options(sandbox.server))
    revoked = httpx.delete(f"{sandbox.server.url}/v1/principal/grants/{issued.grant_id}", headers=bearer)
    assert (revoked.status_code, revoked.content) == (204, b"")
    expect_denied(enforce(sandbox, issued.token), "grant_revoked", "revoked")
    with pytest.raises(GrantexApiError) as nothing_left:
        sandbox.grantex.principal_sessions.create(CreatePrincipalSessionParams(issued.principal))
    assert nothing_left.value.status_code == 404


def test_rotated_key_replaces_the_old_one(sandbox):
    rotated = sandbox.grantex.rotate_key()
    with pytest.raises(GrantexAuthError):
        sandbox.grantex.agents.list()
    with Grantex(api_key=rotated.api_key, base_url=sandbox.server.url, max_retries=0) as renewed:
        renewed.load_manifest(LEDGER)
        assert renewed.agents.list().agents == ()
        assert renewed.last_rate_limit is not None, "key-authenticated answers carry the three rate-limit headers"
