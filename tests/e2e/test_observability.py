"""/metrics and the log must say exactly what was done: no more, no less."""

import base64
import hashlib
import re
import subprocess
from collections import Counter
from http import HTTPStatus

import httpx
import pytest

from harness.developer import READ, WRITE
from harness.flood import METHODS, Flood
from harness.logs import is_request, route_of, template
from harness.metrics import Scrape
from harness.waiting import wait_until

EXCHANGE = ("success", "invalid_request", "invalid_code", "reuse", "expired", "pkce", "plan_limit", "rate_limited", "error")
AUTHORIZE = ("success", "denied", "invalid_request", "agent_not_found", "plan_limit", "rate_limited", "error")
REFRESH = ("success", "replayed", "reuse_detected", "expired", "revoked", "invalid_request", "rate_limited", "error")

COUNTERS = (
    "grantex_authorize_total", "grantex_authorize_duration_seconds_count",
    "grantex_token_exchange_total", "grantex_token_exchange_duration_seconds_count",
    "grantex_token_refresh_total", "grantex_token_refresh_duration_seconds_count",
    "grantex_token_verify_total", "grantex_token_verify_duration_seconds_count",
    "grantex_consent_total", "grantex_consent_decision_seconds_count", "grantex_reuse_detected_total",
    "grantex_grants_created_total", "grantex_grants_revoked_total",
)
HTTP = "grantex_http_request_duration_seconds_count"


class Story:
    """Sends requests and keeps what each of them must have left in the HTTP histogram and the log."""

    def __init__(self, http: httpx.Client):
        self.http = http
        self.responses: list[tuple[str, str, httpx.Response]] = []

    def send(self, expected_status: int, method: str, path: str, route: str | None = None, **request) -> dict:
        response = self.http.request(method, path, **request)
        assert response.status_code == expected_status, f"{method} {path}: {response.status_code} {response.text}"
        self.responses.append((method, route or path, response))
        return response.json() if response.content else {}

    def by_series(self) -> Counter:
        return Counter((method, route, str(response.status_code)) for method, route, response in self.responses)

    def request_ids(self) -> list[str]:
        return [response.headers["x-request-id"] for _, _, response in self.responses]


def pkce_pair():
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return verifier, {"codeChallenge": challenge, "codeChallengeMethod": "S256"}


def tell(sandbox, live) -> dict:
    """A story with every ordinary ending of every flow; returns what it made."""
    story, other = Story(sandbox.http), Story(live.http)
    agent = story.send(201, "POST", "/v1/agents", json={"name": "Bookkeeper", "scopes": [READ, WRITE]})["agentId"]
    ask = {"agentId": agent, "principalId": "user-1", "scopes": [READ, WRITE]}
    authorize = lambda status, **changes: story.send(status, "POST", "/v1/authorize", json=ask | changes)
    exchange = lambda status, **body: story.send(status, "POST", "/v1/token", json={"agentId": agent} | body)
    refresh = lambda status, token, key=None: story.send(
        status, "POST", "/v1/token/refresh", json={"refreshToken": token, "agentId": agent},
        headers={"Idempotency-Key": key} if key else {},
    )
    verify = lambda token: story.send(200, "POST", "/v1/tokens/verify", json={"token": token})

    # Authorize: two good ones, one for nobody, one malformed.
    code = authorize(201)["code"]
    _, challenge = pkce_pair()
    guarded = authorize(201, **challenge)["code"]
    authorize(404, agentId="ag_00000000000000000000000000")
    authorize(400, scopes="not a list")

    # Exchange: success, the code again, an unknown one, none, a wrong verifier.
    tokens = exchange(201, code=code)
    exchange(400, code=code)
    exchange(400, code="never-issued")
    exchange(400)
    exchange(400, code=guarded, codeVerifier="w" * 43)

    # Refresh: success, its replay, a second use without the key.
    key = "replay-key-0123456789"
    renewed = refresh(201, tokens["refreshToken"], key)
    assert refresh(201, tokens["refreshToken"], key) == renewed
    refresh(400, tokens["refreshToken"])

    # Delegate, verify, revoke the tree, verify again.
    child = story.send(
        201, "POST", "/v1/grants/delegate",
        json={"parentGrantToken": renewed["grantToken"], "subAgentId": agent, "scopes": [READ]},
    )
    assert verify(renewed["grantToken"])["valid"] and verify(child["grantToken"])["valid"]
    story.send(204, "DELETE", f"/v1/grants/{tokens['grantId']}", "/v1/grants/*")
    assert not verify(child["grantToken"])["valid"]
    assert not verify("no token at all")["valid"]

    # A person says no.
    other_agent = other.send(201, "POST", "/v1/agents", json={"name": "Clerk"})["agentId"]
    request = other.send(
        201, "POST", "/v1/authorize", json={"agentId": other_agent, "principalId": "user-2", "scopes": [READ]}
    )["authRequestId"]
    other.send(200, "POST", f"/v1/consent/{request}/deny", "/v1/consent/*/deny")
    story.send(404, "GET", "/v1/no-such-thing", "unmatched")
    return {
        "agent": agent, "other_agent": other_agent, "grant": tokens["grantId"], "child": child["grantId"],
        "stories": (story, other),
    }


def test_metrics_count_exactly_what_was_done(own_server, sign_up):
    server = own_server()
    sandbox, live = sign_up("sandbox", on=server), sign_up("live", on=server)
    before = server.scrape()
    told = tell(sandbox, live)
    after = server.scrape()

    assert after.changes_since(before, *COUNTERS) == {
        'grantex_authorize_total{status="success"}': 3,
        'grantex_authorize_total{status="agent_not_found"}': 1,
        'grantex_authorize_total{status="invalid_request"}': 1,
        "grantex_authorize_duration_seconds_count": 5,
        'grantex_token_exchange_total{status="success"}': 1,
        'grantex_token_exchange_total{status="reuse"}': 1,
        'grantex_token_exchange_total{status="invalid_code"}': 1,
        'grantex_token_exchange_total{status="invalid_request"}': 1,
        'grantex_token_exchange_total{status="pkce"}': 1,
        "grantex_token_exchange_duration_seconds_count": 5,
        'grantex_token_refresh_total{status="success"}': 1,
        'grantex_token_refresh_total{status="replayed"}': 1,
        'grantex_token_refresh_total{status="reuse_detected"}': 1,
        # The parent token of the delegation, and the two that were asked for.
        'grantex_token_verify_total{status="valid"}': 3,
        'grantex_token_verify_total{status="revoked"}': 1,
        'grantex_token_verify_total{status="malformed"}': 1,
        'grantex_grants_created_total{kind="root"}': 1,
        'grantex_grants_created_total{kind="delegated"}': 1,
        "grantex_grants_revoked_total": 2,
        # A person's refusal is counted where people decide; `denied` of authorize is a policy's.
        'grantex_consent_total{status="denied"}': 1,
        "grantex_consent_decision_seconds_count": 1,
        'grantex_reuse_detected_total{kind="code"}': 1,
        'grantex_reuse_detected_total{kind="refresh_token"}': 1,
        "grantex_token_refresh_duration_seconds_count": 3,
        "grantex_token_verify_duration_seconds_count": 5,
    }

    expected = sum((story.by_series() for story in told["stories"]), Counter())
    http = Counter()
    for labels in after.labels_of(HTTP):
        named = dict(labels)
        difference = after.value(HTTP, **named) - before.samples.get((HTTP, labels), 0)
        if difference and named["route"] not in ("/metrics", "/ready", "/health"):
            http[(named["method"], named["route"], named["status_code"])] = int(difference)
    assert http == expected, "the HTTP histogram differs from the requests that were sent"


def test_gauge_of_active_grants_agrees_with_the_database(own_server, sign_up):
    server = own_server()
    sandbox = sign_up("sandbox", on=server)
    assert server.scrape().value("grantex_active_grants") == 0
    grants = [sandbox.issue() for _ in range(3)]
    short = sandbox.issue(expires_in="1s")
    sandbox.grantex.grants.revoke(grants[0].grant_id)
    # Two are left once the short one has expired; the gauge may be 15 s behind.
    wait_until(
        lambda: server.scrape().value("grantex_active_grants") == 2, "grantex_active_grants to be 2", every=0.5
    )
    listed = sandbox.http.get("/v1/grants", params={"status": "active"}).json()["grants"]
    assert {grant["grantId"] for grant in listed} == {grant.grant_id for grant in grants[1:]}
    assert sandbox.http.get(f"/v1/grants/{short.grant_id}").json()["status"] == "expired"


def test_every_known_series_exists_from_the_start(own_server):
    scrape = own_server().scrape()
    for name, statuses in (
        ("grantex_authorize_total", AUTHORIZE), ("grantex_token_exchange_total", EXCHANGE),
        ("grantex_token_refresh_total", REFRESH), ("grantex_webhook_deliveries_total", ("delivered", "retried", "failed")),
    ):
        for status in statuses:
            assert scrape.value(name, status=status) == 0
    for name in ("grantex_grants_revoked_total", "grantex_active_grants", "grantex_anomalies_unacknowledged",
                 "grantex_authorize_duration_seconds_count", "grantex_token_exchange_duration_seconds_count"):
        assert scrape.value(name) == 0
    assert scrape.labels_of("grantex_anomalies_detected_total"), "anomaly types and severities must start at 0"


def test_exposition_follows_the_naming_rules(server):
    answer = server.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.text.endswith("\n")
    scrape = server.scrape()
    problems = []
    for family in scrape.families.values():
        ours = family.name.startswith("grantex_")
        if not family.documentation:
            problems.append(f"{family.name}: no help text")
        if family.type == "unknown" or family.type == "untyped":
            problems.append(f"{family.name}: no type")
        if family.type != "counter" and family.name.endswith("_total"):
            problems.append(f"{family.name}: _total on a {family.type}")
        if family.type == "counter" and not all(s.name.endswith(("_total", "_created")) for s in family.samples):
            problems.append(f"{family.name}: a counter without _total")
        if ours and re.search(r"_(ms|milliseconds|sec|kb|kilobytes|minutes)(_|$)", family.name):
            problems.append(f"{family.name}: not a base unit")
        for sample in family.samples:
            problems += [f"{sample.name}: label {k}" for k in sample.labels if not re.fullmatch(r"[a-z_]+", k)]
            if "service" in sample.labels:
                problems.append(f"{sample.name}: has a service label")
    assert not problems, "\n".join(sorted(set(problems)))


def test_unknown_paths_add_no_series(server):
    def probe(count):
        for number in range(count):
            server.http.get(f"/nowhere/{count}/{number}?token=x")
            server.http.request("BREW", f"/v1/agents/ag_{count}_{number}")
        return set(server.scrape().samples)

    server.scrape()  # Makes the series of its own route, which it does not show yet.
    assert probe(20) == probe(30)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.timeout(600)
def test_a_hundred_thousand_inventions_add_no_series(own_server, sign_up):
    server = own_server(LOG_LEVEL="error")
    sandbox = sign_up("sandbox", on=server)
    issued = sandbox.issue()
    marker = "zqx"
    # Counted now and then: these series begin with the first count, whatever is asked for.
    counted = ("grantex_agent_active_grants", (("agent_id", issued.agent.id),))
    wait_until(lambda: counted in server.scrape().samples, "the grants of the agent to be counted", seconds=60, every=0.5)
    flood = Flood((server.http.base_url.host, server.http.base_url.port), sandbox.api_key, marker, seed=18)
    seen = []
    for _ in range(2):
        flood.send(50_000)
        text = server.http.get("/metrics").text
        assert marker not in text.lower(), "something that a client invented"
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
        seen.append(Scrape(text))
    halfway, end = (set(scrape.samples) for scrape in seen)
    assert {name for name, _ in end - halfway} <= {f"{HTTP.removesuffix('_count')}_{part}" for part in ("bucket", "count", "sum")}
    # Of the histogram of requests a series begins when its route, method and status are first met: that ends as well.
    routes = {template(dict(labels)["endpoint"]) for labels in seen[1].labels_of("grantex_rate_limit_hits_total")}
    for labels in seen[1].labels_of(HTTP):
        named = dict(labels)
        assert named["method"] in (*METHODS, "other") and int(named["status_code"]) in iter(HTTPStatus), named
        assert named["route"] in routes, named
    assert len(end) < len(halfway) * 1.05
    agents = {dict(labels)["agent_id"] for labels in seen[1].labels_of("grantex_agent_token_exchange_total")}
    assert agents == {issued.agent.id, "other"}


def test_each_agent_has_series_of_its_own(own_server, sign_up):
    server = own_server()
    sandbox = sign_up("sandbox", on=server)
    first, second = sandbox.issue(), sandbox.issue()
    sandbox.http.post("/v1/token", json={"code": "never-issued", "agentId": first.agent.id})
    scrape = server.scrape()
    exchanges = lambda agent, status: scrape.value("grantex_agent_token_exchange_total", agent_id=agent, status=status)
    for issued in (first, second):
        assert exchanges(issued.agent.id, "success") == 1
        assert scrape.value("grantex_agent_authorize_duration_seconds_count", agent_id=issued.agent.id) == 1
        assert scrape.value("grantex_agent_webhook_deliveries_total", agent_id=issued.agent.id, status="failed") == 0
    assert exchanges("other", "invalid_code") == 1, "nobody knows whose code that would be"
    assert scrape.value("grantex_agent_series") == 2
    held = lambda agent: ("grantex_agent_active_grants", (("agent_id", agent),))
    wait_until(
        lambda: [server.scrape().samples.get(held(agent)) for agent in (first.agent.id, "other")] == [1, 0],
        "the grants of agents to be counted", seconds=60, every=0.5,
    )
    assert sandbox.http.delete(f"/v1/agents/{first.agent.id}").status_code == 204
    assert held(first.agent.id) not in server.scrape().samples
    assert server.scrape().value("grantex_agent_series_evictions_total", reason="deleted") == 1


def test_series_of_agents_can_be_switched_off(own_server, sign_up):
    server = own_server(METRICS_AGENT_SERIES="0")
    sign_up("sandbox", on=server).issue()
    assert "agent_id=" not in server.http.get("/metrics").text


def test_metrics_can_be_switched_off(own_server):
    server = own_server(METRICS_ENABLED="false")
    answer = server.http.get("/metrics")
    assert answer.status_code == 404 and answer.json()["code"] == "NOT_FOUND"


def test_log_holds_exactly_the_expected_lines(server, sandbox, live):
    mark = server.mark_log()
    told = tell(sandbox, live)
    story, other = told["stories"]
    ids = story.request_ids() + other.request_ids()
    server.log.wait_for(mark, len(ids), lambda line: is_request(line) and line.get("requestId") in ids, "request lines")
    lines = server.log.since(mark)

    requests = [line for line in lines if is_request(line)]
    assert Counter(line["requestId"] for line in requests) == Counter(ids), "one request line a response"
    routes = Counter((line["method"], route_of(line), str(line["status"])) for line in requests)
    assert routes == story.by_series() + other.by_series()
    owners = {rid: sandbox.id for rid in story.request_ids()} | {rid: live.id for rid in other.request_ids()}
    for line in requests:
        assert any(key.startswith(("duration", "latency")) for key in line), f"no duration in {line}"
        if not route_of(line).startswith(("/v1/consent", "unmatched")):
            assert owners[line["requestId"]] in line.values(), f"the developer is missing in {line}"

    def events(name):
        return [line for line in lines if line["msg"] == name]

    def fields(name, *keys):
        return [tuple(line[key] for key in keys) for line in events(name)]

    assert fields("grant.created", "level", "grantId", "agentId", "principalId", "scopes") == [
        ("info", told["grant"], told["agent"], "user-1", [READ, WRITE]),
        ("info", told["child"], told["agent"], "user-1", [READ]),
    ]
    assert fields("token.exchanged", "level", "grantId", "agentId") == [("info", told["grant"], told["agent"])]
    assert fields("token.refreshed", "level", "grantId", "agentId") == [("info", told["grant"], told["agent"])]
    assert fields("token.refresh_replayed", "level", "grantId") == [("info", told["grant"])]
    assert fields("code.reuse_detected", "level", "grantId", "revoked") == [("warn", told["grant"], False)]
    assert fields("token.reuse_detected", "level", "grantId", "revoked") == [("warn", told["grant"], False)]
    assert fields("grant.revoked", "level", "grantId", "revokedBy", "cascadeCount") == [
        ("info", told["grant"], "developer", 1)
    ]
    assert fields("auth_request.denied", "level", "agentId", "principalId", "reason") == [
        ("warn", told["other_agent"], "user-2", "principal")
    ]
    failed = events("token.verification_failed")
    assert [(line["level"], line["reason"], "tokenId" in line) for line in failed] == [
        ("warn", "revoked", True), ("warn", "malformed", False)
    ]
    assert Counter(reason for (reason,) in fields("token.exchange_rejected", "reason") if reason != "reuse") == Counter(
        ["invalid_code", "invalid_request", "pkce"]
    )
    for line in events("grant.created") + events("grant.revoked") + failed:
        assert isinstance(line.get("latencyMs"), (int, float)), f"no latencyMs in {line}"
        assert line["requestId"] in ids, f"an event without the id of its request: {line}"
    assert not [line for line in lines if line["level"] == "error"]


def until_refused(ask, status: int) -> tuple[int, httpx.Response]:
    """How many requests were served before the first refusal, and that. The allowance refills while they are sent, so on a slow
    machine there may be a few more of them than it holds."""
    for served in range(1000):
        answer = ask()
        if answer.status_code == 429:
            return served, answer
        assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    raise AssertionError("nothing was refused")


def test_rate_limits_are_counted_and_logged(own_server):
    server = own_server(RATE_LIMIT_ENABLED="true")
    mark = server.log.mark()
    served, refused = until_refused(lambda: server.http.get("/metrics"), 200)
    assert served >= 10, "ten scrapes a minute and address"
    body = refused.json()
    assert body["code"] == "RATE_LIMIT_EXCEEDED" and body["requestId"] == refused.headers["x-request-id"]
    seconds = re.search(r"retry in (\d+) second", body["message"])
    assert seconds, f"the 429 text must say in how many seconds: {body['message']}"
    assert refused.headers["retry-after"] == seconds.group(1)
    (line,) = server.log.wait_for(mark, 1, lambda line: line["msg"] == "rate_limit.hit", "rate_limit.hit")
    assert line["level"] == "warn" and (line["ip"], line["endpoint"]) == ("127.0.0.1", "/metrics")
    assert line["retryAfter"] == int(seconds.group(1))


def test_rate_limit_hits_have_a_metric(own_server):
    server = own_server(RATE_LIMIT_ENABLED="true")
    sign_up = lambda: server.http.post("/v1/signup", json={"name": "N"})
    served, _ = until_refused(sign_up, 201)
    assert served >= 30, "thirty sign-ups a minute and address"
    again = sign_up().status_code
    hits = server.scrape().value("grantex_rate_limit_hits_total", endpoint="/v1/signup")
    assert hits == 1 + (again == 429)
    keys = server.http.get("/.well-known/jwks.json").headers
    assert "x-ratelimit-limit" not in keys, "the key set is exempt and says so"
