"""Traces: a caller's trace goes on through log, audit, webhooks and spans, and a bad collector is nobody's trouble."""

import secrets
import time

import pytest

from harness.collector import Collector
from harness.developer import READ
from harness.hooks import HookReceiver
from harness.waiting import wait_until

HOOKS = {"WEBHOOK_ALLOW_PRIVATE_HOSTS": "true", "WEBHOOK_ALLOW_INSECURE_URLS": "true"}


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


def traceparent(flags: str = "01") -> tuple[str, dict[str, str]]:
    trace_id = secrets.token_hex(16)
    return trace_id, {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"}


def exchange(developer, headers=None) -> str:
    """Authorizes and exchanges; returns the grant."""
    agent = developer.agent().id
    ask = {"agentId": agent, "principalId": "user-1", "scopes": [READ]}
    code = developer.http.post("/v1/authorize", json=ask, headers=headers).json()["code"]
    answer = developer.http.post("/v1/token", json={"code": code, "agentId": agent}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["grantId"]


def test_a_callers_trace_goes_on_without_a_collector(own_server, sign_up):
    server = own_server(**HOOKS)
    sandbox = sign_up("sandbox", on=server)
    receiver = HookReceiver()
    assert sandbox.http.post("/v1/webhooks", json={"url": receiver.url, "events": ["grant.created"]}).status_code == 201
    mark = server.mark_log()
    trace_id, headers = traceparent()
    grant = exchange(sandbox, headers)
    untraced = exchange(sandbox)

    entries = {entry["grantId"]: entry for entry in sandbox.entries("server") if entry["action"] == "grantex.grant.created"}
    assert entries[grant]["traceId"] == trace_id and "traceId" not in entries[untraced]
    wait_until(lambda: len(receiver.hooks) >= 2, "both deliveries", seconds=30)
    sent = {hook.event["data"]["grantId"]: hook.headers for hook in receiver.hooks}
    assert sent[grant]["traceparent"] == headers["traceparent"] and "traceparent" not in sent[untraced]
    receiver.close()
    lines = server.log.wait_for(mark, 2, lambda line: line.get("traceId") == trace_id and line["msg"] == "request.completed", "lines")
    assert all(line["dbQueries"] > 0 and line["dbMs"] > 0 for line in lines)
    events = [line["msg"] for line in server.log.since(mark) if line.get("traceId") == trace_id]
    assert {"grant.created", "token.exchanged"} <= set(events)


@pytest.mark.parametrize("value", [
    "", "00", "zz", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", "x" * 5000,
])
def test_what_is_no_traceparent_is_ignored(server, sandbox, value):
    mark = server.mark_log()
    answer = sandbox.http.get("/v1/agents", headers={"traceparent": value})
    assert answer.status_code == 200
    request_id = answer.headers["x-request-id"]
    lines = server.log.wait_for(mark, 1, lambda line: line.get("requestId") == request_id, "the line")
    assert "traceId" not in lines[0]


def test_spans_reach_the_collector(own_server, sign_up, collector):
    server = own_server(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_HEADERS="x-tenant=blue", OTEL_SERVICE_NAME="auth",
    )
    sandbox = sign_up("sandbox", on=server)
    trace_id, headers = traceparent()
    grant = exchange(sandbox, headers)
    sandbox.http.delete(f"/v1/grants/{grant}", headers=headers)
    spans = collector.wait_for(
        trace_id, "POST /v1/authorize", "POST /v1/token", "DELETE /v1/grants/{id}", "grantex.authorize", "grantex.token.exchange",
        "grantex.token.sign", "grantex.revoke", "grantex.store.unit",
    )
    by_id = {span["id"]: span for span in spans}
    assert len(by_id) == len(spans), "each span has an id of its own"
    caller = headers["traceparent"].split("-")[2]
    for span in spans:
        assert span["service"] == "auth" and not span["is_error"] and span["began"] <= span["ended"]
        if span["kind"] == 2:
            assert span["parent"] == caller
            assert span["attributes"]["http.response.status_code"] in (201, 204)
            assert span["attributes"]["http.route"] in span["name"]
        else:
            around = by_id[span["parent"]]
            assert around["began"] <= span["began"] and span["ended"] <= around["ended"] + 1_000_000
    named = {span["name"]: by_id[span["parent"]]["name"] for span in spans if span["parent"] in by_id}
    assert named["grantex.token.sign"] == "grantex.token.exchange" and named["grantex.token.exchange"] == "POST /v1/token"
    assert collector.headers[0]["x-tenant"] == "blue"
    wait_until(lambda: server.scrape().value("grantex_trace_spans_total", status="exported") >= len(spans), "the spans to be counted", seconds=30)

    # The caller's flag decides.
    unsampled, headers = traceparent("00")
    exchange(sandbox, headers)
    last, headers = traceparent()
    sandbox.http.get("/v1/agents", headers=headers)
    collector.wait_for(last, "GET /v1/agents")
    assert collector.of(unsampled) == []


@pytest.mark.parametrize("trouble", ["away", "refusing", "hanging"])
def test_a_bad_collector_is_nobodys_trouble(own_server, sign_up, collector, trouble):
    if trouble == "away":
        collector.close()
    collector.status = 503
    if trouble == "hanging":
        collector.hangs.set()
    server = own_server(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_TIMEOUT="2000")
    sandbox = sign_up("sandbox", on=server)
    failed = lambda: server.scrape().value("grantex_trace_spans_total", status="failed")
    deadline = time.monotonic() + 60
    while failed() == 0:
        exchange(sandbox)
        assert time.monotonic() < deadline, "no span was ever given up"
    lines = [line for line in server.log.since(0) if line["msg"] == "traces.export_failed"]
    assert len(lines) == 1 and lines[0]["level"] == "warn" and collector.url not in lines[0]["error"]
    collector.hangs.clear()
    if trouble != "away":
        collector.status = 200
        trace_id, headers = traceparent()
        sandbox.http.get("/v1/agents", headers=headers)
        collector.wait_for(trace_id, "GET /v1/agents")
