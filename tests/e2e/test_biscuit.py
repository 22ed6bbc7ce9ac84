"""Biscuits of the real server, narrowed by a client that knows nothing but the published root key."""

import base64
from datetime import datetime, timedelta, timezone

import pytest
from biscuit_auth import Algorithm, AuthorizerBuilder, Biscuit, BlockBuilder, PublicKey


@pytest.fixture
def issued(sandbox):
    """A developer, the answer to an exchange for a Biscuit, and the token as its holder reads it."""
    developer = sandbox
    agent = developer.http.post("/v1/agents", json={"name": "Holder"}).json()["agentId"]
    answer = exchange(developer, agent, "biscuit")
    return developer, agent, answer, Biscuit.from_base64(answer["grantToken"], root_keys(developer))


def exchange(developer, agent, form):
    asked = developer.http.post("/v1/authorize", json={
        "agentId": agent, "principalId": "user-1", "scopes": ["calendar:read", "calendar:write"],
    }).json()
    answer = developer.http.post("/v1/token", json={"code": asked["code"], "agentId": agent, "tokenFormat": form})
    assert answer.status_code == 201, answer.text
    return answer.json()


def root_keys(developer):
    published = developer.http.get("/.well-known/biscuit-keys.json").json()["keys"]
    keys = {key["biscuitKeyId"]: base64.urlsafe_b64decode(key["x"] + "=") for key in published}
    return lambda number: PublicKey.from_bytes(keys[number], Algorithm.Ed25519)


def verify(developer, token, **more):
    return developer.http.post("/v1/tokens/verify", json={"token": token, **more}).json()


def test_a_holder_narrows_and_the_server_sees_the_intersection(issued):
    developer, _, answer, token = issued
    until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(minutes=5)
    narrowed = token.append(BlockBuilder("""
        check if operation($o), {scopes}.contains($o);
        check if time($t), $t < {until};
        check if audience("https://api.example.com");
        check if spend($amount, "EUR"), $amount <= 5000;
        agent("did:web:sub.example");
    """, {"scopes": {"calendar:read", "admin"}, "until": until}))
    found = verify(developer, narrowed.to_base64())
    assert found["valid"] is True, found
    assert found["scopes"] == ["calendar:read"]
    assert found["expiresAt"] == until.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert found["audience"] == "https://api.example.com"
    assert found["spendingCeilings"] == [{"currency": "EUR", "amount": 5000}]
    assert found["agent"] == "did:web:sub.example"
    assert [block["revocationId"] for block in found["blocks"]] == narrowed.revocation_ids
    assert verify(developer, narrowed.to_base64(), audience="https://other.example.com")["valid"] is False
    assert verify(developer, answer["grantToken"])["scopes"] == ["calendar:read", "calendar:write"]


def test_revoking_a_block_ends_what_was_derived_and_nothing_else(issued):
    developer, _, answer, token = issued
    left, right = token.append(BlockBuilder("")), token.append(BlockBuilder(""))
    below = left.append(BlockBuilder(""))
    revoked = developer.http.post("/v1/tokens/revoke", json={"revocationId": left.revocation_ids[1]})
    assert revoked.status_code == 204, revoked.text
    valid = [verify(developer, each.to_base64())["valid"] for each in (token, left, below, right)]
    assert valid == [True, False, False, True]
    assert developer.http.delete(f"/v1/grants/{answer['grantId']}").status_code == 204
    assert not any(verify(developer, each.to_base64())["valid"] for each in (token, right))


def test_what_was_handed_on_offline_shows_in_the_tree_the_audit_and_the_metrics(issued, server):
    developer, agent, answer, token = issued
    total = "grantex_token_offline_delegations_total"
    before = server.scrape()
    first = token.append(BlockBuilder('check if operation("calendar:read"); agent("did:web:first.example");'))
    second = first.append(BlockBuilder(f'agent("did:grantex:{agent}");'))
    for _ in range(2):
        assert verify(developer, second.to_base64())["valid"] is True
    assert server.scrape().changes_since(before, total) == {total: 2}
    path = f"/v1/grants/{answer['grantId']}/offline-delegations"
    found = sorted(developer.http.get(path).json()["offlineDelegations"], key=lambda one: one["delegationDepth"])
    assert [(one["agentDid"], one.get("agentId"), one["status"]) for one in found] == [
        ("did:web:first.example", None, "active"), (f"did:grantex:{agent}", agent, "active"),
    ]
    assert [one["revocationId"] for one in found] == second.revocation_ids[1:]
    assert "parentRevocationId" not in found[0] and found[1]["parentRevocationId"] == found[0]["revocationId"]
    assert all(one["scopes"] == ["calendar:read"] and one["grantId"] == answer["grantId"] for one in found)
    entries = developer.http.get("/v1/audit/entries", params={"chain": "server"}).json()["entries"]
    told = [entry for entry in entries if entry["action"] == "grantex.token.delegated_offline"]
    assert {entry["metadata"]["delegatedTo"] for entry in told} == {"did:web:first.example", f"did:grantex:{agent}"}
    page = developer.http.get(path, params={"pageSize": 1}).json()
    assert len(page["offlineDelegations"]) == 1 and page["nextCursor"]
    assert developer.http.get(path.replace("grnt_", "grnt_0"), params={}).status_code == 404
    assert developer.http.get(path, params={"pageSize": 0}).status_code == 400


def test_an_offline_verifier_agrees(issued):
    _, _, _, token = issued
    narrowed = token.append(BlockBuilder('check if operation("calendar:read");'))

    def allows(scope):
        authorizer = AuthorizerBuilder("""
            time({now}); operation({scope}); audience("here"); spend(0, "EUR");
            allow if operation($o), scope($o);
        """, {"now": datetime.now(timezone.utc), "scope": scope}).build(narrowed)
        try:
            authorizer.authorize()
        except Exception:
            return False
        return True

    assert [allows(scope) for scope in ("calendar:read", "calendar:write", "admin")] == [True, False, False]


def test_what_widens_or_hurts_is_refused(issued):
    developer, _, _, token = issued
    for source in (
        'scope("admin");',
        "check if true;",
        'allowed($s) <- operation($s);',
        'check if scope($a), scope($b), scope($c), scope($d), scope($e), scope($f), $a == "z";',
        'check if operation($o), $o.matches("(a*)*b");',
    ):
        bad = token.append(BlockBuilder(source)).to_base64()
        refused = developer.http.post("/v1/grants/verify", json={"token": bad})
        assert refused.status_code == 400, (source, refused.text)
        assert verify(developer, bad) == {"valid": False}, source
    deep = token
    for _ in range(40):
        deep = deep.append(BlockBuilder(""))
    assert developer.http.post("/v1/grants/verify", json={"token": deep.to_base64()}).status_code == 400
