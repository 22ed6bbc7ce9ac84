"""Policies with the published client: who is approved without asking, who is refused and where, and what is told about it."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from grantex import CreatePolicyParams, ExchangeTokenParams, GrantexApiError, GrantexAuthError, RefreshTokenParams, UpdatePolicyParams

from harness.developer import READ, WRITE, Developer

DENY_ALL = CreatePolicyParams(name="Nothing", effect="deny")


def refused(call, *arguments, **options) -> dict:
    """The body of a refusal by a policy."""
    with pytest.raises(GrantexAuthError) as caught:
        call(*arguments, **options)
    error = caught.value
    assert (error.status_code, error.code) == (403, "POLICY_DENIED"), f"{error.status_code} {error.body}"
    return error.body


def exchange(developer, agent, code):
    return developer.grantex.tokens.exchange(ExchangeTokenParams(code=code, agent_id=agent.id))


def refresh(developer, issued):
    return developer.grantex.tokens.refresh(
        RefreshTokenParams(refresh_token=issued.tokens.refresh_token, agent_id=issued.agent.id)
    )


def delegate(developer, issued, agent, scopes):
    return developer.grantex.grants.delegate(
        parent_grant_token=issued.token, sub_agent_id=agent.id, scopes=list(scopes)
    )


def sync(developer, text, **more):
    body = {"format": "cedar", "version": "1", "content": base64.b64encode(text.encode()).decode(), **more}
    return developer.http.post("/v1/policies/sync", json=body)


def test_policies_are_made_read_changed_and_removed(live):
    policies = live.grantex.policies
    made = policies.create(CreatePolicyParams(
        name="Nights", effect="deny", priority=7, agent_id=live.agent().id, principal_id="user-1", scopes=[READ, "tool:*"],
        time_of_day_start="22:00", time_of_day_end="06:00",
    ))
    assert made.id.startswith("pol_") and made.created_at == made.updated_at
    assert (made.name, made.effect, made.priority, made.principal_id) == ("Nights", "deny", 7, "user-1")
    assert (made.scopes, made.time_of_day_start, made.time_of_day_end) == ((READ, "tool:*"), "22:00", "06:00")
    assert policies.get(made.id) == made
    bare = policies.create(CreatePolicyParams(name="All", effect="allow", priority=9))
    assert (bare.agent_id, bare.principal_id, bare.scopes, bare.time_of_day_start) == (None, None, None, None)
    listed = policies.list()
    assert (listed.policies, listed.total) == ((bare, made), 2), "the highest priority first"

    changed = policies.update(made.id, UpdatePolicyParams(effect="allow", scopes=[WRITE]))
    assert (changed.effect, changed.scopes, changed.name, changed.priority) == ("allow", (WRITE,), "Nights", 7)
    policies.delete(bare.id)
    assert policies.list().policies == (changed,)
    for gone in (lambda: policies.get(bare.id), lambda: policies.delete(bare.id)):
        with pytest.raises(GrantexApiError) as caught:
            gone()
        assert caught.value.status_code == 404
    with pytest.raises(GrantexApiError) as caught:
        policies.create(CreatePolicyParams(name="x", effect="deny", time_of_day_start="25:00", time_of_day_end="06:00"))
    assert caught.value.status_code == 400 and "`timeOfDayStart`" in str(caught.value)
    actions = [entry["action"] for entry in live.entries("server")]
    assert actions == [f"grantex.policy.{change}" for change in ("created", "created", "updated", "deleted")]


def test_an_allow_policy_approves_without_asking(live):
    agent = live.agent()
    policy = live.grantex.policies.create(CreatePolicyParams(name="Reading", effect="allow", scopes=[READ]))
    request = live.open_request(agent, "user-1", [READ])
    assert (request.policy_enforced, request.effect) == (True, "allow") and request.code
    assert exchange(live, agent, request.code).scopes == (READ,)
    asked = live.open_request(agent, "user-1", [READ, WRITE])
    assert not asked.code and not asked.policy_enforced, "not all of it is allowed, so the person is asked"
    deny = live.grantex.policies.create(CreatePolicyParams(name="No user 1", effect="deny", priority=-9, principal_id="user-1"))
    body = refused(live.open_request, agent, "user-1", [READ])
    assert body["policyId"] == deny.id, "a deny wins over any allow"
    assert live.open_request(agent, "user-2", [READ]).code
    live.grantex.policies.delete(policy.id)
    assert not live.open_request(agent, "user-2", [READ]).code


def test_a_refusal_consumes_nothing_and_is_told_everywhere(server, sandbox):
    issued, helper = sandbox.issue(), sandbox.agent()
    agent = issued.agent
    code = sandbox.code(agent, "user-9")[1]
    before, mark = server.scrape(), server.log.mark()
    policy = sandbox.grantex.policies.create(DENY_ALL)
    attempts = {
        "authorize": lambda: sandbox.open_request(agent, "user-9"),
        "exchange": lambda: exchange(sandbox, agent, code),
        "refresh": lambda: refresh(sandbox, issued),
        "delegate": lambda: delegate(sandbox, issued, helper, [READ]),
    }
    for attempt in attempts.values():
        body = refused(attempt)
        assert body["policyId"] == policy.id and body["message"].endswith("Nothing")
    form = {"grant_type": "authorization_code", "code": code, "client_id": agent.id}
    oauth = sandbox.http.post("/v1/token", data=form)
    assert (oauth.status_code, oauth.json()["error"]) == (403, "access_denied")

    changes = server.scrape().changes_since(
        before, "grantex_policy_decisions_total", "grantex_policy_evaluation_seconds_count", "grantex_authorize_total",
        "grantex_token_exchange_total", "grantex_token_refresh_total", "grantex_token_delegations_total",
    )
    assert changes == {
        'grantex_policy_decisions_total{decision="deny"}': 5,
        "grantex_policy_evaluation_seconds_count": 5,
        'grantex_authorize_total{status="denied"}': 1,
        'grantex_token_exchange_total{status="denied"}': 2,
        'grantex_token_refresh_total{status="denied"}': 1,
    }, "each attempt is counted once"
    lines = server.log.wait_for(
        mark, 5, lambda line: line.get("policyId") == policy.id and line["msg"] != "policy.changed", "refusals by the policy"
    )
    assert [line["msg"] for line in lines] == ["auth_request.denied"] + ["policy.denied"] * 4
    assert [line.get("action") for line in lines] == [None, "exchange", "refresh", "delegate", "exchange"]
    entries = [entry for entry in sandbox.entries("server") if entry["metadata"].get("policyId") == policy.id]
    assert [entry["action"] for entry in entries] == [
        "grantex.policy.created", "grantex.grant.denied", *["grantex.policy.denied"] * 4
    ]
    assert all(entry["status"] == "blocked" for entry in entries[1:])

    sandbox.grantex.policies.delete(policy.id)
    for attempt in attempts.values():
        attempt()


def test_a_change_holds_for_the_very_next_request(sandbox):
    agent = sandbox.agent()
    policy = sandbox.grantex.policies.create(CreatePolicyParams(name="Switch", effect="allow"))
    for effect in ["deny", "allow"] * 10:
        sandbox.grantex.policies.update(policy.id, UpdatePolicyParams(effect=effect))
        if effect == "deny":
            refused(sandbox.open_request, agent, "user-1")
        else:
            sandbox.open_request(agent, "user-1")


def test_many_policies_are_made_and_asked_at_once(sandbox):
    agent = sandbox.agent()
    with ThreadPoolExecutor(8) as pool:
        names = [f"Policy {number}" for number in range(40)]
        made = list(pool.map(
            lambda name: sandbox.grantex.policies.create(CreatePolicyParams(name=name, effect="deny", scopes=[f"x:{name[7:]}"])),
            names,
        ))
        assert len({policy.id for policy in made}) == 40
        assert sandbox.grantex.policies.list().total == 40
        list(pool.map(lambda _: sandbox.open_request(agent, "user-1"), range(40)))


def test_a_simulation_says_what_would_happen(sandbox):
    agent = sandbox.agent()
    body = {
        "name": "Berlin nights", "effect": "deny", "timeOfDayStart": "22:00", "timeOfDayEnd": "06:00", "timeZone": "Europe/Berlin",
        "daysOfWeek": ["fri"],
    }
    policy = sandbox.http.post("/v1/policies", json=body).json()
    assert (policy["timeZone"], policy["daysOfWeek"]) == ("Europe/Berlin", ["fri"])

    def outcome(at):
        question = {"agentId": agent.id, "principalId": "user-1", "scopes": [READ], "at": at}
        told = sandbox.http.post("/v1/policies/simulate", json=question)
        assert told.status_code == 200, told.text
        return told.json()["outcome"]

    # 2030-01-04 is a Friday; Berlin is an hour ahead of UTC.
    assert [outcome(f"2030-01-0{day}T{time}:00Z") for day, time in [
        (4, "20:59"), (4, "21:00"), (5, "04:59"), (5, "05:00"), (5, "21:00")
    ]] == ["approved", "denied", "denied", "approved", "approved"]
    bad = sandbox.http.post("/v1/policies", json=body | {"timeZone": "Mars/Olympus"})
    assert bad.status_code == 400 and bad.json()["message"].startswith("`timeZone` ")


def test_a_cedar_bundle_decides_in_process(sandbox):
    agent = sandbox.agent()
    bundle = """
        @id("no-writing")
        forbid (principal, action, resource) when { context.scopes.contains("%s") };
    """ % WRITE
    synced = sync(sandbox, bundle)
    assert synced.status_code == 201, synced.text
    bundle_id = synced.json()["bundleId"]
    active = sandbox.http.get("/v1/policies/bundles/active", params={"format": "cedar"}).json()
    assert (active["id"], active["sha256"]) == (bundle_id, synced.json()["sha256"])
    body = refused(sandbox.open_request, agent, "user-1", [READ, WRITE])
    assert body["policyId"] == f"{bundle_id}/no-writing"
    sandbox.open_request(agent, "user-1", [READ])

    broken = sync(sandbox, "forbid (principal, action, resource) when { context.scope == 1 };")
    assert broken.status_code == 400 and "line 1, column 45" in broken.json()["message"]
    hostile = sync(sandbox, "permit (principal, action, resource) when { " + "(" * 100_000)
    assert hostile.status_code == 400
    told = sandbox.http.post("/v1/policies/validate", json={
        "format": "cedar", "content": base64.b64encode(b"permit (principal, action, resource)").decode(),
    }).json()
    assert told["valid"] is False and told["problems"][0]["line"] == 1
    refused(sandbox.open_request, agent, "user-1", [READ, WRITE])
    assert sync(sandbox, "permit (principal, action, resource);").status_code == 201
    sandbox.open_request(agent, "user-1", [READ, WRITE])


def test_policies_and_bundles_survive_a_restart(own_server):
    server = own_server()
    developer = Developer(server, "sandbox")
    agent = developer.agent()
    policy = developer.grantex.policies.create(CreatePolicyParams(name="No user 1", effect="deny", principal_id="user-1"))
    assert sync(developer, '@id("u2") forbid (principal, action, resource) when { context.principalId == "user-2" };').is_success
    server.stop()
    server.start()
    assert refused(developer.open_request, agent, "user-1")["policyId"] == policy.id
    assert refused(developer.open_request, agent, "user-2")["policyId"].endswith("/u2")
    developer.open_request(agent, "user-3")
    developer.close()


class Opa:
    """Answers like Open Policy Agent, with what it is told to."""

    def __init__(self):
        self.answer, self.asked = b'{"result": {}}', []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.asked.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.send_header("content-length", str(len(outer.answer)))
                self.end_headers()
                self.wfile.write(outer.answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def test_open_policy_agent_decides_and_without_it_everything_is_refused(own_server):
    opa = Opa()
    server = own_server(POLICY_BACKEND="opa", OPA_URL=opa.url)
    developer = Developer(server, "live")
    agent = developer.agent()
    assert not developer.open_request(agent, "user-1").code
    opa.answer = b'{"result": {"allow": true}}'
    request = developer.open_request(agent, "user-1")
    assert request.policy_enforced and request.code
    opa.answer = b'{"result": {"allow": false, "reason": "not today"}}'
    body = refused(developer.open_request, agent, "user-1")
    assert body["policyId"] == "opa" and body["message"].endswith("not today")
    path, question = opa.asked[-1]
    assert path == "/v1/data/grantex/authz" and agent.id.encode() in question
    opa.answer = b"not json"
    refused(exchange, developer, agent, request.code)
    opa.close()
    refused(exchange, developer, agent, request.code)
    scrape = server.scrape()
    assert scrape.value("grantex_policy_backend_errors_total", backend="opa") == 2
    developer.close()


def test_developers_policies_decide_when_the_operator_wants_it_and_the_backend_is_away(own_server):
    server = own_server(POLICY_BACKEND="opa", OPA_URL="http://127.0.0.1:1", OPA_FALLBACK_TO_BUILTIN="true")
    developer = Developer(server, "sandbox")
    agent = developer.agent()
    developer.open_request(agent, "user-1")
    policy = developer.grantex.policies.create(DENY_ALL)
    assert refused(developer.open_request, agent, "user-1")["policyId"] == policy.id
    developer.close()
