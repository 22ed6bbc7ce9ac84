"""The revocation feed as the published client follows it: over a stream and by polling, on one server and on two."""

import contextlib
import json
import time

import httpx
import jwt
import pytest
from grantex import Grantex

from conftest import running_server
from harness.developer import LEDGER, READ, Developer
from harness.postgres import fresh_database
from harness.waiting import wait_until

TRANSPORTS = ("stream", "poll")


@contextlib.contextmanager
def following(developer, transport, server=None):
    """The published client in feed mode, synchronised; with another server than the developer's if one is given."""
    client = Grantex(
        api_key=developer.api_key, base_url=developer.server.url, max_retries=0,
        revocation_check="feed", revocation_feed_transport=transport,
    )
    if server:
        # Tokens are of the issuer that made them; only the feed is asked elsewhere.
        feed = client.revocation_feed()
        feed.stop()
        feed._base_url = server.url
        feed.start()
    client.load_manifest(LEDGER)
    try:
        wait_until(client.revocation_feed().is_fresh, "the feed to be fresh", seconds=30)
        yield client
    finally:
        client.revocation_feed().stop()
        client.close()


def outcome(client, token):
    result = client.enforce(token, "ledger", "read_entries")
    return "allowed" if result.allowed else (result.reason_code, result.sub_reason)


def wait_for(client, token, expected):
    wait_until(lambda: outcome(client, token) == expected, f"{expected} instead of {outcome(client, token)}", seconds=15)


def is_refused(client, token):
    return outcome(client, token) != "allowed"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_revoked_grant_is_refused_with_all_below_it(sandbox, transport):
    issued = sandbox.issue()
    helper = sandbox.agent(scopes=[READ])
    child = sandbox.grantex.grants.delegate(
        parent_grant_token=issued.token, sub_agent_id=helper.id, scopes=[READ]
    )["grantToken"]
    bystander = sandbox.issue()
    with following(sandbox, transport) as client:
        tokens = (issued.token, child, bystander.token)
        assert [outcome(client, token) for token in tokens] == ["allowed"] * 3
        sandbox.grantex.grants.revoke(issued.grant_id)
        wait_until(lambda: is_refused(client, issued.token) and is_refused(client, child), "both to be refused", seconds=15)
        assert outcome(client, issued.token)[0] == "grant_revoked"
        assert outcome(client, bystander.token) == "allowed"
        assert client.revocation_feed().state().unavailable is None


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_suspended_agent_is_refused_until_it_is_resumed(sandbox, transport):
    issued = sandbox.issue()
    with following(sandbox, transport) as client:
        assert outcome(client, issued.token) == "allowed"
        for status, refused in (("suspended", True), ("active", False), ("suspended", True), ("active", False)):
            answer = sandbox.http.patch(f"/v1/agents/{issued.agent.id}", json={"status": status})
            assert answer.status_code == 200, answer.text
            wait_until(lambda: is_refused(client, issued.token) == refused, f"{status} to be heard of", seconds=15)
        sandbox.grantex.agents.delete(issued.agent.id)
        wait_until(lambda: is_refused(client, issued.token), "the deletion to be heard of", seconds=15)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_token_is_refused_and_its_grant_is_not(sandbox, transport):
    issued = sandbox.issue()
    answer = sandbox.http.post(
        "/v1/token/refresh", json={"refreshToken": issued.tokens.refresh_token, "agentId": issued.agent.id}
    )
    assert answer.status_code == 201, answer.text
    second = answer.json()["grantToken"]
    with following(sandbox, transport) as client:
        assert [outcome(client, issued.token), outcome(client, second)] == ["allowed"] * 2
        jti = jwt.decode(issued.token, options={"verify_signature": False})["jti"]
        sandbox.grantex.tokens.revoke(jti)
        wait_until(lambda: is_refused(client, issued.token), "the token to be refused", seconds=15)
        assert outcome(client, second) == "allowed"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_was_revoked_before_is_in_the_snapshot(sandbox, transport):
    issued, kept = sandbox.issue(), sandbox.issue()
    agent = kept.agent.id
    for status in ("suspended", "active"):
        assert sandbox.http.patch(f"/v1/agents/{agent}", json={"status": status}).status_code == 200
    sandbox.grantex.grants.revoke(issued.grant_id)
    with following(sandbox, transport) as client:
        assert is_refused(client, issued.token) and outcome(client, kept.token) == "allowed"


def test_two_servers_tell_each_other(tmp_path, admin_url):
    key = "ab" * 32
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(fresh_database(admin_url))
        one, two = (
            stack.enter_context(
                running_server("postgres", tmp_path / name, admin_url, database_url=database, GRANTEX_MASTER_KEY=key)
            )
            for name in ("one", "two")
        )
        developer = Developer(one, "sandbox")
        stack.callback(developer.close)
        for transport in TRANSPORTS:
            issued, other = developer.issue(), developer.issue()
            with following(developer, transport, server=two) as client:
                assert outcome(client, issued.token) == "allowed"
                began = time.monotonic()
                developer.grantex.grants.revoke(issued.grant_id)
                wait_until(lambda: is_refused(client, issued.token), "the other server's followers to hear", seconds=15)
                took = time.monotonic() - began
                answer = developer.http.patch(f"/v1/agents/{other.agent.id}", json={"status": "suspended"})
                assert answer.status_code == 200, answer.text
                wait_until(lambda: is_refused(client, other.token), "suspensions too", seconds=15)
                print(f"{transport}: {took * 1000:.0f} ms from the call to the refusal at the other server's client")
        # What tells clients of one server is told by both, under one signature.
        heads = [
            httpx.get(f"{server.url}/v1/revocations", headers={"Authorization": f"Bearer {developer.api_key}"}).json()
            for server in (one, two)
        ]
        assert heads[0]["cursor"] == heads[1]["cursor"] == 4
        assert heads[0]["entries"] == heads[1]["entries"]


def test_a_client_that_comes_back_after_a_kill_misses_nothing(own_server):
    server = own_server()
    developer = Developer(server, "sandbox")
    issued, kept = developer.issue(), developer.issue()
    with following(developer, "stream") as client:
        developer.grantex.grants.revoke(issued.grant_id)
        wait_until(lambda: is_refused(client, issued.token), "the revocation to be heard of", seconds=15)
        server.kill()
        wait_until(lambda: is_refused(client, kept.token), "everything to be refused without a server", seconds=30)
        server.start()
        developer.grantex.grants.revoke(kept.grant_id)
        wait_until(client.revocation_feed().is_fresh, "the feed to be fresh again", seconds=60)
        assert is_refused(client, issued.token)
        wait_for(client, kept.token, ("grant_revoked", "revoked"))
    developer.close()


def test_heartbeats_end_when_the_store_is_away(tmp_path, admin_url, cluster):
    with running_server("postgres", tmp_path / "server", admin_url, database_url=cluster.url) as server:
        developer = Developer(server, "sandbox")
        issued = developer.issue()
        with following(developer, "stream") as client:
            assert outcome(client, issued.token) == "allowed"
            cluster.freeze()
            wait_until(lambda: is_refused(client, issued.token), "a feed without heartbeats to count for nothing", seconds=30)
            cluster.thaw()
            wait_until(lambda: not is_refused(client, issued.token), "the feed to come back", seconds=60)
        developer.close()


def test_refusals_are_measured(sandbox):
    issued = sandbox.issue()
    sandbox.grantex.grants.revoke(issued.grant_id)
    seq = sandbox.http.get("/v1/revocations").json()["entries"][0]["seq"]
    name = "grantex_revocation_propagation_seconds_count"
    before = sandbox.server.scrape().value(name)
    report = {"refusals": [{"seq": seq, "millisecondsAgo": 5}, {"seq": seq + 1, "millisecondsAgo": 5}]}
    answer = sandbox.http.post("/v1/revocations/refusals", json=report)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert sandbox.server.scrape().value(name) == before + 1


def test_a_signed_head_verifies_against_the_published_keys(sandbox):
    issued = sandbox.issue()
    sandbox.grantex.grants.revoke(issued.grant_id)
    answer = sandbox.http.get("/v1/revocations", params={"since": 0, "complete": "true"}).json()
    key = jwt.PyJWKClient(f"{sandbox.server.url}/.well-known/jwks.json").get_signing_key_from_jwt(answer["head"])
    claims = jwt.decode(answer["head"], key.key, algorithms=["RS256"], issuer=sandbox.server.url)
    assert jwt.get_unverified_header(answer["head"])["typ"] == "revocation-head+jwt"
    assert (claims["developerId"], claims["cursor"], claims["hash"]) == (
        sandbox.id, answer["cursor"], answer["entries"][-1]["hash"]
    )


def test_a_feed_that_is_switched_off_has_clients_refuse(own_server):
    server = own_server(REVOCATION_FEED_ENABLED="false")
    developer = Developer(server, "sandbox")
    assert developer.http.get("/v1/revocations").status_code == 404
    client = Grantex(api_key=developer.api_key, base_url=server.url, max_retries=0, revocation_check="feed")
    wait_until(lambda: client.revocation_feed().state().unavailable == "disabled", "the client to know", seconds=15)
    client.revocation_feed().stop()
    client.close()
    developer.close()


def test_streams_are_counted_and_end_with_the_server(own_server):
    server = own_server(REVOCATION_FEED_STREAMS_PER_DEVELOPER="1")
    developer = Developer(server, "sandbox")
    with developer.http.stream("GET", "/v1/revocations/stream", params={"since": 0}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: ready"
        assert json.loads(next(lines).removeprefix("data: "))["cursor"] == 0
        assert server.scrape().value("grantex_revocation_streams") == 1
        refused = httpx.get(
            f"{server.url}/v1/revocations/stream", headers={"Authorization": f"Bearer {developer.api_key}"}
        )
        assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_CONNECTIONS")
        wait_until(lambda: next(lines) == "event: heartbeat", "a heartbeat", seconds=15)
        server.terminate()
        assert ": ended: draining" in list(lines)
    assert server.wait() == 0
    developer.close()
