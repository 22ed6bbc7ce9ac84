"""Drives every endpoint with marked secrets and finds none of them where it does not belong."""

import base64
import hashlib
import re
import secrets
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.canary import Canary, shapes_in
from harness.collector import Collector
from harness.server import ADMIN_API_KEY
from harness.waiting import wait_until

TOKENS = ("POST /v1/token", "POST /v1/grants/delegate")


def mark(what: str) -> str:
    return f"canary-{what}-{secrets.token_hex(12)}"


@pytest.fixture
def canary(own_server):
    collector, header = Collector(), mark("collector")
    server = own_server(LOG_LEVEL="trace", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_HEADERS=f"x-key={header}")
    canary = Canary(server.url)
    canary.server, canary.collector = server, collector
    canary.hide("collector's header", header)
    yield canary
    canary.close()
    collector.close()


def sign_up(canary, mode):
    email = canary.hide(f"e-mail of {mode}", f"{mark(mode)}@example.com", "POST /v1/signup", "GET /v1/me", "PATCH /v1/me")
    answer = canary.send("POST", "/v1/signup", 201, json={"name": f"Canary {mode}", "mode": mode, "email": email}).json()
    key = canary.hide(f"API key of {mode}", answer["apiKey"], "POST /v1/signup", "POST /v1/keys/rotate")
    return answer["developerId"], {"Authorization": f"Bearer {key}"}


def hide_tokens(canary, name, answer):
    canary.hide(f"grant token ({name})", answer["grantToken"], *TOKENS)
    canary.hide(f"refresh token ({name})", answer["refreshToken"], *TOKENS)
    return answer


def drive_accounts(canary, developer, auth):
    canary.send("GET", "/v1/me", 200, headers=auth)
    canary.send("PATCH", "/v1/me", 200, headers=auth, json={"fidoRpName": "Canary"})
    admin = {"Authorization": f"Bearer {canary.hide('admin key', ADMIN_API_KEY)}"}
    canary.send("PATCH", f"/v1/admin/developers/{developer}/plan", 200, headers=admin, json={"plan": "enterprise"})
    wrong = {"Authorization": f"Bearer {canary.hide('wrong API key', 'gx_live_' + mark('wrong'))}"}
    for method, path in (("GET", "/v1/agents"), ("POST", "/v1/token"), ("GET", "/v1/unknown")):
        canary.send(method, path, 401, 404, headers=wrong)
    canary.send("PATCH", f"/v1/admin/developers/{developer}/plan", 401, headers=wrong, json={"plan": "free"})


def drive_agents(canary, auth):
    agent = canary.send("POST", "/v1/agents", 201, headers=auth, json={"name": "Canary"}).json()["agentId"]
    canary.send("GET", "/v1/agents", 200, headers=auth)
    canary.send("GET", f"/v1/agents/{agent}", 200, headers=auth)
    canary.send("PATCH", f"/v1/agents/{agent}", 200, headers=auth, json={"description": "patched"})
    canary.send("POST", f"/v1/agents/{agent}", 200, headers=auth, json={"description": "posted"})
    gone = canary.send("POST", "/v1/agents", 201, headers=auth, json={"name": "Gone"}).json()["agentId"]
    canary.send("DELETE", f"/v1/agents/{gone}", 204, headers=auth)
    return agent


def drive_consent(canary, auth, agent):
    """Live requests, decided by API and by the page's forms; returns a code."""
    verifier = canary.hide("code verifier", mark("verifier").ljust(43, "x"))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    state = canary.hide("state", mark("state"), "POST /v1/consent", "POST /consent")
    inner = canary.hide("redirect query", mark("redirect"), "POST /v1/consent", "POST /consent")
    body = {
        "agentId": agent, "principalId": "user-1", "scopes": ["calendar:read"], "state": state,
        "redirectUri": f"https://app.example/callback?inner={inner}",
        "codeChallenge": challenge, "codeChallengeMethod": "S256",
    }
    ask = lambda: canary.send("POST", "/v1/authorize", 201, headers=auth, json=body).json()["authRequestId"]
    by_api, by_form, refused, refused_by_form = ask(), ask(), ask(), ask()
    canary.send("GET", f"/consent?req={by_api}", 200)
    canary.send("GET", f"/v1/consent/{by_api}", 200)
    answer = canary.send("POST", f"/v1/consent/{by_api}/approve", 200).json()
    code = canary.hide("code", answer["code"], "POST /v1/consent")
    own_page = {"Origin": canary.url, "Sec-Fetch-Site": "same-origin"}
    redirect = canary.send("POST", f"/consent/{by_form}/approve", 303, headers=own_page)
    canary.hide("code of the form", parse_qs(urlsplit(redirect.headers["location"]).query)["code"][0], "POST /consent")
    canary.send("POST", f"/v1/consent/{refused}/deny", 200)
    canary.send("POST", f"/consent/{refused_by_form}/deny", 303, headers=own_page)
    canary.send("POST", f"/v1/consent/{by_api}/approve", 410)
    canary.send("GET", f"/consent?req={by_api}")
    return code, verifier


def drive_tokens(canary, auth, agent, code, verifier):
    canary.send("POST", "/v1/token", 400, headers=auth, json={"code": code, "agentId": agent, "codeVerifier": "z" * 43})
    body = {"code": code, "agentId": agent, "codeVerifier": verifier}
    first = hide_tokens(canary, "exchange", canary.send("POST", "/v1/token", 201, headers=auth, json=body).json())
    canary.send("POST", "/v1/token", 400, headers=auth, json=body)
    key = canary.hide("idempotency key", mark("idempotency"))
    body = {"refreshToken": first["refreshToken"], "agentId": agent}
    again = {**auth, "Idempotency-Key": key}
    second = hide_tokens(canary, "refresh", canary.send("POST", "/v1/token/refresh", 201, headers=again, json=body).json())
    canary.send("POST", "/v1/token/refresh", 201, headers=again, json=body)
    canary.send("POST", "/v1/token/refresh", 400, headers=auth, json=body)
    token = {"token": second["grantToken"]}
    for path in ("/v1/tokens/verify", "/v1/grants/verify"):
        canary.send("POST", path, 200, headers=auth, json=token)
        canary.send("POST", path, headers=auth, json={"token": second["grantToken"] + "x"})
        canary.send("POST", path, headers=auth, json={"token": mark("biscuit")})
    canary.send("POST", "/v1/introspect", 200, headers=auth, data=token)
    canary.send("POST", "/v1/introspect", 200, auth=("client", auth["Authorization"].split()[1]), data=token)
    child = hide_tokens(canary, "delegation", canary.send(
        "POST", "/v1/grants/delegate", 201, headers=auth,
        json={"parentGrantToken": second["grantToken"], "subAgentId": agent, "scopes": ["calendar:read"],
              "tokenFormat": "both"},
    ).json())
    biscuit = canary.hide("Biscuit (delegation)", child["biscuitToken"], *TOKENS)
    for path in ("/v1/tokens/verify", "/v1/grants/verify", "/v1/introspect"):
        canary.send("POST", path, 200, headers=auth, json={"token": biscuit})
    return second, child


def drive_grants(canary, auth, grant):
    canary.send("GET", "/v1/grants", 200, headers=auth, params={"principalId": "user-1"})
    canary.send("GET", f"/v1/grants/{grant}", 200, headers=auth)
    canary.send("GET", f"/v1/grants/{grant}/offline-delegations", 200, headers=auth)
    canary.send("GET", "/v1/revocations/status", 200, headers=auth, params={"grantId": grant})


def drive_audit(canary, auth, agent, grant):
    metadata = canary.hide("audit metadata", mark("metadata"), "POST /v1/audit/log", "GET /v1/audit", "GET /v1/principal/audit")
    entry = canary.send("POST", "/v1/audit/log", 201, headers=auth, json={
        "agentId": agent, "agentDid": f"did:grantex:{agent}", "grantId": grant, "principalId": "user-1",
        "action": "canary.sing", "metadata": {"note": metadata},
    }).json()["entryId"]
    canary.send("GET", f"/v1/audit/{entry}", 200, headers=auth)
    canary.send("GET", "/v1/audit/entries", 200, headers=auth)


def drive_sessions(canary, auth, child):
    answer = canary.send("POST", "/v1/principal-sessions", 201, headers=auth, json={"principalId": "user-1"}).json()
    session = canary.hide("session token", answer["sessionToken"], "POST /v1/principal-sessions")
    bearer = {"Authorization": f"Bearer {session}"}
    canary.send("GET", "/permissions", 200)
    canary.send("GET", f"/permissions?session={session}")
    canary.send("GET", "/v1/principal/grants", 200, headers=bearer)
    canary.send("GET", "/v1/principal/audit", 200, headers=bearer)
    canary.send("DELETE", f"/v1/principal/grants/{child}", 204, headers=bearer)
    canary.send("GET", "/v1/agents", 401, headers=bearer)


def drive_webhooks(canary, auth):
    """The receiver does not exist, so attempts fail, and the log has something to say of them."""
    shown = ("POST /v1/webhooks", "GET /v1/webhooks", "PATCH /v1/webhooks", "DELETE /v1/webhooks")
    query = canary.hide("receiver's query", mark("query"), *shown)
    own = canary.hide("webhook secret", mark("webhook"), "POST /v1/webhooks")
    body = {"url": f"https://receiver.invalid/hook?token={query}", "events": ["*"], "secret": own}
    path = f"/v1/webhooks/{canary.send('POST', '/v1/webhooks', 201, headers=auth, json=body).json()['id']}"
    canary.send("POST", "/v1/webhooks", 400, headers=auth, json={**body, "events": ["nothing"]})
    canary.send("GET", "/v1/webhooks", 200, headers=auth)
    canary.send("GET", path, 200, headers=auth)
    canary.send("PATCH", path, 200, headers=auth, json={"description": "patched"})
    rotated = canary.send("POST", f"{path}/secret", 200, headers=auth).json()["secret"]
    canary.hide("rotated webhook secret", rotated, "POST /v1/webhooks")
    canary.send("POST", f"{path}/pause", 200, headers=auth)
    canary.send("POST", f"{path}/test", 202, headers=auth)
    canary.send("POST", f"{path}/resume", 200, headers=auth)
    listing = lambda: canary.send("GET", f"{path}/deliveries", 200, headers=auth).json()["deliveries"]
    wait_until(lambda: listing()[0]["attempts"] > 0, "a failed attempt")
    delivery = f"{path}/deliveries/{listing()[0]['id']}"
    canary.send("GET", delivery, 200, headers=auth)
    canary.send("POST", f"{delivery}/redeliver", 409, headers=auth)
    canary.send("POST", f"{path}/recover", 202, headers=auth, json={"since": "2026-01-01T00:00:00Z"})
    canary.send("GET", f"{path}/stats", 200, headers=auth)
    canary.send("DELETE", path, 204, headers=auth)


def drive_policies(canary, auth, agent):
    """None of them matches what the rest of this test asks for."""
    rule = {"name": "Canary", "effect": "deny", "agentId": agent, "scopes": ["cage:*"]}
    path = f"/v1/policies/{canary.send('POST', '/v1/policies', 201, headers=auth, json=rule).json()['id']}"
    stray = canary.hide("stray effect", mark("effect"))
    canary.send("POST", "/v1/policies", 400, headers=auth, json={**rule, "effect": stray})
    canary.send("GET", "/v1/policies", 200, headers=auth)
    canary.send("GET", path, 200, headers=auth)
    canary.send("PATCH", path, 200, headers=auth, json={"priority": 3})
    ask = {"agentId": agent, "principalId": "user-1", "scopes": ["cage:open"]}
    canary.send("POST", "/v1/policies/simulate", 200, headers=auth, json=ask)
    canary.send("POST", "/v1/policies/validate", 200, headers=auth, json={"policy": rule})
    canary.send("POST", "/v1/authorize", 403, headers=auth, json=ask)
    canary.send("DELETE", path, 204, headers=auth)
    secret = canary.hide("bundle's comment", mark("bundle"))
    text = f'// {secret}\n@id("cage") forbid (principal, action, resource) when {{ context.scopes.contains("cage:open") }};'
    bundle = {"format": "cedar", "version": "1", "content": base64.b64encode(text.encode()).decode()}
    canary.send("POST", "/v1/policies/sync", 201, headers=auth, json=bundle)
    broken = base64.b64encode(f"permit {secret} (".encode()).decode()
    canary.send("POST", "/v1/policies/sync", 400, headers=auth, json={**bundle, "content": broken})
    canary.send("GET", "/v1/policies/bundles", 200, headers=auth)
    canary.send("GET", "/v1/policies/bundles/active?format=cedar", 200, headers=auth)


def drive_channels(canary, auth):
    """Their receivers do not exist, so attempts fail, and the log has something to say of them."""
    path, name = "/v1/anomaly/channels", canary.hide("name of a channel", mark("channel"), "POST /v1/anomaly/channels",
                                                     "GET /v1/anomaly/channels", "PATCH /v1/anomaly/channels")
    slack = f"https://hooks.invalid/services/{canary.hide('Slack URL', mark('slack'))}"
    key = canary.hide("routing key", secrets.token_hex(16))
    own = canary.hide("secret of a channel", mark("channel-secret"))
    configs = {
        "slack": {"webhookUrl": slack},
        "pagerduty": {"routingKey": key, "url": "https://events.invalid/v2/enqueue"},
        "webhook": {"url": "https://receiver.invalid/hook", "secret": own},
    }
    made = []
    for kind, config in configs.items():
        body = {"type": kind, "name": name, "config": config}
        made.append(canary.send("POST", path, 201, headers=auth, json=body).json()["id"])
        canary.send("POST", path, 400, headers=auth, json={**body, "severities": ["grave"]})
        canary.send("POST", path, 400, headers=auth, json={**body, "config": {**config, "more": slack}})
    canary.send("PATCH", f"{path}/{made[0]}", 200, headers=auth, json={"enabled": True})
    for channel in made:
        assert canary.send("POST", f"{path}/{channel}/test", 200, headers=auth).json()["delivered"] is False
    unsigned = {"type": "webhook", "name": name, "config": {"url": "https://receiver.invalid/hook"}}
    unsigned = canary.send("POST", path, 201, headers=auth, json=unsigned).json()
    canary.hide("made secret of a channel", unsigned["secret"], "POST /v1/anomaly/channels")
    return [*made, unsigned["id"]]


def drive_anomalies(canary, auth, agent):
    """Entries about an agent that nobody registered are an anomaly."""
    note = canary.hide("note about an anomaly", mark("note"), "PATCH /v1/anomalies", "GET /v1/anomalies", "POST /v1/anomalies",
                       "GET /v1/anomaly/alerts", "POST /v1/anomaly/alerts")
    channels = drive_channels(canary, auth)
    for _ in range(3):
        canary.send("POST", "/v1/audit/log", 201, headers=auth, json={
            "agentId": "ag_00000000000000000000000000", "agentDid": "did:grantex:nobody", "grantId": "grnt_none", "principalId": "user-1",
            "action": "canary.hide", "metadata": {},
        })
    anomaly = canary.send("POST", "/v1/anomalies/detect", 200, headers=auth).json()["anomalies"][0]["id"]
    canary.send("PATCH", f"/v1/anomalies/{anomaly}/acknowledge", 200, headers=auth, json={"notes": note})
    canary.send("GET", "/v1/anomalies", 200, headers=auth)
    canary.send("GET", "/v1/anomaly/alerts", 200, headers=auth)
    canary.send("GET", f"/v1/anomaly/alerts/{anomaly}", 200, headers=auth)
    canary.send("POST", f"/v1/anomaly/alerts/{anomaly}/acknowledge", 200, headers=auth)
    canary.send("POST", f"/v1/anomaly/alerts/{anomaly}/resolve", 200, headers=auth, json={"note": note})
    canary.send("GET", "/v1/anomaly/metrics", 200, headers=auth)
    tried = lambda: all(one["lastFailureAt"] for one in canary.send("GET", "/v1/anomaly/channels", 200, headers=auth).json()["channels"])
    wait_until(tried, "an attempt to tell each channel")
    for channel in channels:
        canary.send("DELETE", f"/v1/anomaly/channels/{channel}", 204, headers=auth)
    canary.send("GET", "/v1/anomaly/rules", 200, headers=auth)
    canary.send("PATCH", "/v1/anomaly/rules/AD-011", 200, headers=auth, json={"enabled": True})
    name = canary.hide("name of an anomaly rule", mark("rule"), "POST /v1/anomaly/rules", "GET /v1/anomaly/rules")
    rule = canary.send("POST", "/v1/anomaly/rules", 201, headers=auth, json={
        "ruleId": "canary", "name": name, "description": name, "condition": {"timeWindow": "5m", "threshold": 1_000_000},
    }).json()["id"]
    canary.send("GET", "/v1/anomaly/rules", 200, headers=auth)
    for path, body in (("/v1/irregularities/response-policy", {"mode": "alert_only"}),
                       ("/v1/anomaly/response-policies", {"policies": [{"rules": ["canary"], "action": "alert_only"}]})):
        canary.send("GET", path, 200, headers=auth)
        canary.send("PATCH", path, 200, headers=auth, json=body)
    stray = canary.hide("stray rule of a response policy", mark("rule"))
    for body in ({"policies": [{"rules": [stray], "action": "alert_only"}]}, {"policies": [{"action": stray}]}, {"mode": stray}):
        canary.send("PATCH", "/v1/anomaly/response-policies", 400, headers=auth, json=body)
    canary.send("DELETE", f"/v1/anomaly/rules/{rule}", 204, headers=auth)
    body = {"agentId": agent, "endsAt": "2999-01-01T00:00:00Z"}
    canary.send("POST", "/v1/anomaly/mutes", 400, headers=auth, json=body)
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    mute = canary.send("POST", "/v1/anomaly/mutes", 201, headers=auth, json={**body, "endsAt": ends}).json()["id"]
    canary.send("GET", "/v1/anomaly/mutes", 200, headers=auth)
    canary.send("DELETE", f"/v1/anomaly/mutes/{mute}", 204, headers=auth)


def drive_events(canary, auth):
    stray = canary.hide("stray event type", mark("type"))
    canary.send("GET", "/v1/events", 200, headers=auth)
    for path in ("/v1/events", "/v1/events/stream", "/v1/events/ws"):
        answer = canary.send("GET", f"{path}?types={stray}", headers=auth)
        assert 400 <= answer.status_code < 500, f"GET {path}: {answer.status_code}"


def drive_endings(canary, auth, tokens):
    jti = "tok_00000000000000000000000000"
    canary.send("POST", "/v1/tokens/revoke", 404, headers=auth, json={"jti": jti})
    canary.send("POST", "/v1/tokens/revoke", 204, headers=auth, json={"revocationId": "ab" * 64})
    canary.send("POST", "/v1/revoke", 200, headers=auth, data={"token": tokens["refreshToken"]})
    canary.send("DELETE", f"/v1/grants/{tokens['grantId']}", 204, 404, headers=auth)
    rotated = canary.send("POST", "/v1/keys/rotate", 200, headers=auth).json()["apiKey"]
    canary.hide("rotated API key", rotated, "POST /v1/keys/rotate")


def drive_sandbox(canary, auth):
    agent = canary.send("POST", "/v1/agents", 201, headers=auth, json={"name": "Sandbox"}).json()["agentId"]
    body = {"agentId": agent, "principalId": "user-2", "scopes": ["read"]}
    answer = canary.send("POST", "/v1/authorize", 201, headers=auth, json=body).json()
    canary.hide("sandbox code", answer["code"], "POST /v1/authorize")
    for decision in ("approve", "deny"):
        canary.send("POST", f"/v1/authorize/{answer['authRequestId']}/{decision}", headers=auth)
    form = {"grant_type": "authorization_code", "code": answer["code"], "agent_id": agent, "client_id": agent}
    canary.send("POST", "/v1/token", headers=auth, data=form)


def drive_bad_input(canary, auth):
    """Secrets in places where they make a request fail."""
    stray = canary.hide("stray secret", mark("stray"))
    for path in ("/v1/token", "/v1/token/refresh", "/v1/authorize", "/v1/tokens/verify", "/v1/agents", "/v1/audit/log"):
        canary.send("POST", path, 400, headers={**auth, "Content-Type": "application/json"}, content=f'{{"code": "{stray}", "x": ')
        canary.send("POST", path, 400, headers=auth, json={"code": [stray], "agentId": {"deep": stray}, "token": [stray],
                                                           "name": [stray], "refreshToken": {"x": stray}})
        canary.send("POST", path, 400, 415, headers={**auth, "Content-Type": "application/xml"}, content=stray)
    for path in (f"/v1/agents/{stray}", f"/v1/grants/{stray}", f"/v1/audit/{stray}", f"/{stray}",
                 f"/v1/grants?status={stray}", f"/health?secret={stray}", f"/consent?req={stray}"):
        answer = canary.send("GET", path, headers=auth)
        assert answer.status_code < 500, f"GET {path}: {answer.status_code}"


def drive_documents(canary):
    for path in ("/health", "/ready", "/metrics", "/.well-known/jwks.json", "/.well-known/did.json",
                 "/.well-known/biscuit-keys.json",
                 "/.well-known/oauth-authorization-server", "/openapi.json", "/consent/approved", "/consent/denied"):
        canary.send("GET", path, 200)
    page = canary.send("GET", "/permissions", 200).text
    for asset in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)):
        canary.send("GET", asset, 200)


def undriven(canary) -> list[str]:
    """Operations of the server's own description that this test has not called."""
    described = canary.send("GET", "/openapi.json", 200).json()["paths"]
    calls = canary.driven()
    return sorted(
        f"{method.upper()} {template}"
        for template, operations in described.items()
        for method in operations if method in ("get", "post", "put", "patch", "delete")
        if not any(verb == method.upper() and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path)
                   for verb, path in calls)
    )


def test_no_secret_appears_where_it_does_not_belong(canary):
    server = canary.server
    start = server.log.mark()
    developer, auth = sign_up(canary, "live")
    _, sandbox = sign_up(canary, "sandbox")
    drive_accounts(canary, developer, auth)
    agent = drive_agents(canary, auth)
    code, verifier = drive_consent(canary, auth, agent)
    tokens, child = drive_tokens(canary, auth, agent, code, verifier)
    drive_grants(canary, auth, tokens["grantId"])
    drive_audit(canary, auth, agent, tokens["grantId"])
    drive_webhooks(canary, auth)
    drive_policies(canary, auth, agent)
    drive_anomalies(canary, auth, agent)
    drive_events(canary, auth)
    drive_sessions(canary, auth, child["grantId"])
    chains = "\n".join(
        canary.send("GET", f"/v1/audit/entries?pageSize=1000{chain}", 200, headers=auth).text for chain in ("", "&chain=server")
    )
    drive_sandbox(canary, sandbox)
    drive_bad_input(canary, auth)
    drive_documents(canary)
    drive_endings(canary, auth, tokens)
    missing = undriven(canary)
    assert not missing, f"endpoints that the canary does not drive: {missing}"
    if key := server.environment.get("GRANTEX_MASTER_KEY"):
        canary.hide("master key", key)

    last = canary.seen[-1].headers["x-request-id"]
    wait_until(lambda: last in server.log.text(), "the last request's line in the log")
    spans = lambda: str(canary.collector.spans)
    wait_until(lambda: last in spans(), "the last request's span")
    log = server.log.text()[start:]
    stderr = server.stderr_path.read_text()
    found = [
        *canary.leaks_into("the log", log), *shapes_in("the log", log),
        *canary.leaks_into("standard error", stderr),
        *canary.leaks_into("the spans", spans()), *shapes_in("the spans", spans()),
        *canary.leaks_into("/metrics", server.scrape().text), *shapes_in("/metrics", server.scrape().text),
        *canary.leaks_into("the audit listing", chains, but=("audit metadata",)), *shapes_in("the audit listing", chains),
        *canary.leaks_in_answers(),
    ]
    assert not found, "\n".join(found)
