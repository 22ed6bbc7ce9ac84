"""Anomalies against the real server: found in seconds, told once by every channel, acknowledged by the published client."""

import secrets
import time

import httpx
import pytest
from grantex import verify_webhook

from conftest import running_server
from harness.developer import Developer
from harness.hooks import HookReceiver
from harness.mail import MailSink
from harness.postgres import fresh_database
from harness.waiting import wait_until

LOCAL = {"WEBHOOK_ALLOW_PRIVATE_HOSTS": "true", "WEBHOOK_ALLOW_INSECURE_URLS": "true"}


@pytest.fixture(scope="module")
def server(backend, tmp_path_factory, admin_url):
    with running_server(backend, tmp_path_factory.mktemp(backend), admin_url, **LOCAL) as started:
        yield started


def at_any_hour(developer):
    """What these tests do may be done at night as well."""
    answer = developer.http.patch("/v1/anomaly/rules/off_hours_activity", json={"enabled": False})
    assert answer.status_code == 200, answer.text
    return developer


@pytest.fixture
def sandbox(sandbox):
    return at_any_hour(sandbox)


def log_entries(developer, agent, count, status="success"):
    for _ in range(count):
        answer = developer.http.post("/v1/audit/log", json={
            "agentId": agent, "agentDid": f"did:grantex:{agent}", "grantId": "grnt_none", "principalId": "user-1",
            "action": "mail.sent", "status": status,
        })
        assert answer.status_code == 201, answer.text


def found(developer, kind, seconds=15):
    def look():
        return [one for one in developer.grantex.anomalies.list().anomalies if one.type == kind]

    return wait_until(look, f"an anomaly {kind}", seconds=seconds)


def alert_of(developer, anomaly):
    answer = developer.http.get(f"/v1/anomaly/alerts/{anomaly.id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_spike_is_found_in_seconds_and_told_by_every_channel(server, sandbox):
    agent = sandbox.agent().id
    with HookReceiver() as receiver:
        answer = sandbox.http.post("/v1/webhooks", json={"url": receiver.url, "events": ["anomaly.detected"]})
        assert answer.status_code == 201, answer.text
        before, mark = server.scrape(), server.mark_log()
        log_entries(sandbox, agent, 51)
        ended = time.time()
        [anomaly] = found(sandbox, "rate_spike")
        lag = time.time() - ended
        [hook] = receiver.wait_for(1, "anomaly.detected")
    assert lag < 10, f"found after {lag:.1f} s"
    assert (anomaly.severity, anomaly.agent_id, anomaly.acknowledged_at) == ("high", agent, None)
    assert anomaly.metadata["count"] == 51 and anomaly.metadata["threshold"] == 50
    data = hook.event["data"]
    assert (data["anomalyId"], data["type"], data["severity"], data["agentId"]) == (anomaly.id, "rate_spike", "high", agent)
    [line] = server.log.wait_for(mark, 1, lambda line: line["msg"] == "anomaly.detected" and line["agentId"] == agent, "the finding")
    assert (line["level"], line["type"], line["severity"]) == ("warn", "rate_spike", "high")
    log_entries(sandbox, agent, 10)
    detected = sandbox.grantex.anomalies.detect()
    assert [one.id for one in detected.anomalies if one.type == "rate_spike"] == [anomaly.id], "the same window, the same finding"
    after = server.scrape()
    name = "grantex_anomalies_detected_total"
    assert after.value(name, type="rate_spike", severity="high") - before.value(name, type="rate_spike", severity="high") == 1
    lags = "grantex_anomaly_detection_lag_seconds_count"
    assert after.value(lags) > before.value(lags)
    waiting = lambda: server.scrape().value("grantex_anomalies_unacknowledged") >= 1
    wait_until(waiting, "the gauge of unacknowledged anomalies", seconds=40)


def test_the_four_rules_of_published_clients(sandbox):
    agent = sandbox.agent()
    issued = sandbox.issue(agent)
    log_entries(sandbox, agent.id, 4)
    log_entries(sandbox, agent.id, 2, status="failure")
    detected = sandbox.grantex.anomalies.detect()
    assert sorted(one.type for one in detected.anomalies) == ["high_failure_rate", "new_principal"]
    assert detected.total == 2 and detected.detected_at
    by_kind = {one.type: one for one in detected.anomalies}
    assert by_kind["new_principal"].principal_id == issued.principal
    assert by_kind["new_principal"].severity == "low"
    failures = by_kind["high_failure_rate"].metadata
    assert (failures["badCount"], failures["totalCount"], failures["percentFailure"], failures["windowHours"]) == (2, 6, 33, 24)
    answer = sandbox.http.post("/v1/anomalies/detect").json()
    assert (answer["autoRevokedGrants"], answer["responseMode"]) == (0, "alert_only")
    status = sandbox.http.get("/v1/revocations/status", params={"grantId": issued.grant_id}).json()
    assert status["status"] == "active", "findings revoke nothing"


def test_both_faces_share_one_state(sandbox):
    agent = sandbox.agent().id
    log_entries(sandbox, agent, 51)
    [anomaly] = found(sandbox, "rate_spike")
    known = sandbox.grantex.anomalies.acknowledge(anomaly.id)
    assert known.acknowledged_at
    alert = alert_of(sandbox, anomaly)
    assert (alert["status"], alert["ruleId"], alert["ruleName"]) == ("acknowledged", "AD-011", "rate_spike")
    assert alert["context"]["count"] == 51
    noted = sandbox.http.post(f"/v1/anomaly/alerts/{anomaly.id}/resolve", json={"note": "a load test"})
    assert noted.status_code == 200, noted.text
    assert (noted.json()["status"], noted.json()["notes"][0]["text"]) == ("resolved", "a load test")
    listed = sandbox.http.get("/v1/anomalies").json()["anomalies"][0]
    assert (listed["status"], listed["acknowledgedAt"], listed["notes"][0]["text"]) == (
        "resolved", known.acknowledged_at, "a load test")
    assert sandbox.grantex.anomalies.list(unacknowledged=True).anomalies == ()
    counts = sandbox.http.get("/v1/anomaly/metrics", params={"window": "7d"}).json()
    assert (counts["total"], counts["byStatus"]["resolved"], counts["bySeverity"]["high"]) == (1, 1, 1)
    for path in ("/v1/anomaly/alerts?status=half", "/v1/anomaly/metrics?window=2d", "/v1/anomalies?severity=bad"):
        assert sandbox.http.get(path).status_code == 400, path
    assert sandbox.http.get("/v1/anomaly/alerts?limit=garbage").status_code == 200
    assert sandbox.http.patch("/v1/anomalies/anm_00000000000000000000000000/acknowledge").status_code == 404


def test_a_token_from_two_networks(sandbox):
    issued = sandbox.issue()
    for address in ("198.51.100.7", "198.51.100.8", "203.0.113.9", "198.51.100.7"):
        body = {"token": issued.token, "clientIp": address}
        assert sandbox.http.post("/v1/tokens/verify", json=body).json()["valid"]
    answer = sandbox.http.post("/v1/tokens/verify", json={"token": issued.token, "clientIp": "here"})
    assert answer.status_code == 400 and "clientIp" in answer.text
    [anomaly] = found(sandbox, "token_replay")
    assert anomaly.metadata["networks"] == ["198.51.100.0/24", "203.0.113.0/24"]
    assert anomaly.principal_id == issued.principal


def test_a_stranger_in_the_log(sandbox):
    log_entries(sandbox, "ag_" + "0" * 26, 3)
    [anomaly] = found(sandbox, "unknown_agent")
    assert anomaly.agent_id is None and anomaly.severity == "high"


def test_rules_and_mutes(sandbox):
    rules = {rule["ruleId"]: rule for rule in sandbox.http.get("/v1/anomaly/rules").json()["rules"]}
    assert len(rules) == 14
    assert (rules["AD-007"]["state"], rules["AD-007"]["enabled"]) == ("dormant", False)
    assert rules["AD-011"]["thresholds"]["threshold"]["value"] == 50
    answer = sandbox.http.patch("/v1/anomaly/rules/AD-011", json={"thresholds": {"threshold": 5}})
    assert answer.status_code == 200 and answer.json()["thresholds"]["threshold"]["value"] == 5
    for body in ({}, {"thresholds": {"threshold": 0}}, {"thresholds": {"colour": 1}}, {"enabled": "yes"}):
        assert sandbox.http.patch("/v1/anomaly/rules/AD-011", json=body).status_code == 400, body
    assert sandbox.http.patch("/v1/anomaly/rules/AD-999", json={"enabled": False}).status_code == 404
    quiet, loud = sandbox.agent().id, sandbox.agent().id
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    muted = sandbox.http.post("/v1/anomaly/mutes", json={"rule": "rate_spike", "agentId": quiet, "endsAt": ends})
    assert muted.status_code == 201, muted.text
    log_entries(sandbox, quiet, 6)
    log_entries(sandbox, loud, 6)
    sandbox.grantex.anomalies.detect()
    assert [one.agent_id for one in found(sandbox, "rate_spike")] == [loud]
    assert [mute["id"] for mute in sandbox.http.get("/v1/anomaly/mutes").json()["mutes"]] == [muted.json()["id"]]
    assert sandbox.http.delete(f"/v1/anomaly/mutes/{muted.json()['id']}").status_code == 204
    assert sandbox.http.post("/v1/anomaly/mutes", json={"endsAt": "2020-01-01T00:00:00Z"}).status_code == 400


def test_a_rule_of_ones_own(sandbox):
    agent = sandbox.agent().id
    body = {"ruleId": "many-mails", "name": "Many mails", "severity": "critical",
            "condition": {"timeWindow": "10m", "threshold": 5, "signals": ["audit_entry"], "agentIds": [agent]}}
    made = sandbox.http.post("/v1/anomaly/rules", json=body)
    assert made.status_code == 201, made.text
    refused = sandbox.http.post("/v1/anomaly/rules", json={**body, "ruleId": "colour", "condition": {**body["condition"], "colour": "red"}})
    assert refused.status_code == 400 and "colour" in refused.text
    assert sandbox.http.post("/v1/anomaly/rules", json=body).status_code == 409
    log_entries(sandbox, agent, 6)
    [anomaly] = found(sandbox, "custom")
    assert (anomaly.severity, anomaly.agent_id, anomaly.metadata["count"]) == ("critical", agent, 6)
    assert alert_of(sandbox, anomaly)["ruleId"] == "many-mails"
    listed = sandbox.http.get("/v1/anomaly/rules").json()["rules"]
    assert [rule["id"] for rule in listed if not rule["builtIn"]] == [made.json()["id"]]
    assert sandbox.http.delete(f"/v1/anomaly/rules/{made.json()['id']}").status_code == 204
    assert sandbox.http.delete("/v1/anomaly/rules/AD-011").status_code == 404


def test_a_restart_forgets_nothing(own_server):
    server = own_server()
    developer = at_any_hour(Developer(server, "sandbox"))
    agent = developer.agent().id
    log_entries(developer, agent, 30)
    server.kill()
    server.start()
    log_entries(developer, agent, 21)
    [anomaly] = found(developer, "rate_spike")
    assert anomaly.metadata["count"] == 51
    developer.close()


def make_channel(developer, kind, **config):
    answer = developer.http.post("/v1/anomaly/channels", json={"type": kind, "name": "On call", "config": config})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_channels_are_told_each_in_its_own_form(own_server):
    key = secrets.token_hex(16)
    with HookReceiver() as slack, HookReceiver(lambda hook: 202) as pager, HookReceiver() as plain, MailSink() as mails:
        server = own_server(**LOCAL, SMTP_HOST="127.0.0.1", SMTP_PORT=str(mails.port), SMTP_TLS="none",
                            SMTP_FROM="Grantex <grantex@mail.example.com>")
        developer = at_any_hour(Developer(server, "sandbox"))
        made = {
            "slack": make_channel(developer, "slack", webhookUrl=f"{slack.url}/hidden"),
            "pagerduty": make_channel(developer, "pagerduty", routingKey=key, url=pager.url),
            "webhook": make_channel(developer, "webhook", url=plain.url),
            "email": make_channel(developer, "email", to=["a@example.com", "b@example.com"]),
        }
        for channel in made.values():
            said = developer.http.post(f"/v1/anomaly/channels/{channel['id']}/test").json()
            assert said["delivered"] and said["error"] is None, said
        assert [len(one.hooks) for one in (slack, pager, plain)] == [1, 1, 1] and len(mails.mails) == 1
        agent = developer.agent().id
        log_entries(developer, agent, 51)
        [anomaly] = found(developer, "rate_spike")
        [_, told] = slack.wait_for(2)
        assert told.path == "/hook/hidden" and told.event["text"] == f"Grantex anomaly – high: rate_spike of {agent}"
        [_, told] = pager.wait_for(2)
        assert (told.event["routing_key"], told.event["dedup_key"], told.event["payload"]["severity"]) == (key, anomaly.id, "error")
        [_, told] = plain.wait_for(2)
        body, headers = told.body.decode(), told.headers
        assert verify_webhook(body, headers["x-grantex-signature-v2"], headers["x-grantex-timestamp"], made["webhook"]["secret"])
        assert told.event["data"]["anomalyId"] == anomaly.id
        [_, mail] = mails.wait_for(2)
        assert mail["Subject"] == f"[Grantex] high: rate_spike of {agent}" and mail["To"] == "a@example.com, b@example.com"
        assert anomaly.id in mail.get_content()
        channels = lambda: developer.http.get("/v1/anomaly/channels").json()["channels"]
        wait_until(lambda: all(one["delivered"] == 1 for one in channels()), "a delivery to each channel")
        scraped = server.scrape()
        for kind in made:
            assert scraped.value("grantex_anomaly_notifications_total", channel_type=kind, outcome="delivered") == 1
        assert key not in str(channels()) and "hidden" not in str(channels()) + server.log.text()
        developer.close()


def test_a_notification_survives_a_kill_and_a_receiver_that_is_down(own_server):
    status = [503]
    with HookReceiver(lambda hook: status[0]) as slack:
        server = own_server(**LOCAL, WEBHOOK_RETRY_SCHEDULE="1s,1s,1s,1s,1s,1s,1s,1s,1s")
        developer = at_any_hour(Developer(server, "sandbox"))
        make_channel(developer, "slack", webhookUrl=slack.url)
        log_entries(developer, developer.agent().id, 51)
        slack.wait_for(1, seconds=20)
        server.kill()
        status[0] = 200
        before = len(slack.hooks)
        server.start()
        # On PostgreSQL the claim of the server that was killed has to run out first: 30 s.
        wait_until(lambda: len(slack.hooks) > before, "the notification, again", seconds=90)
        channels = lambda: developer.http.get("/v1/anomaly/channels").json()["channels"]
        wait_until(lambda: channels()[0]["delivered"] == 1, "its delivery")
        developer.close()


def test_two_servers_tell_once(tmp_path, admin_url):
    key = secrets.token_hex(32)
    with fresh_database(admin_url) as url:
        with running_server("postgres", tmp_path / "one", admin_url, database_url=url, GRANTEX_MASTER_KEY=key) as one, \
                running_server("postgres", tmp_path / "two", admin_url, database_url=url, GRANTEX_MASTER_KEY=key) as two:
            developer = at_any_hour(Developer(one, "sandbox"))
            agents = [developer.agent().id for _ in range(5)]
            other = httpx.Client(base_url=two.url, headers=developer.http.headers, timeout=30)
            for agent in agents:
                for number in range(60):
                    client = developer.http if number % 2 else other
                    answer = client.post("/v1/audit/log", json={
                        "agentId": agent, "agentDid": f"did:grantex:{agent}", "grantId": "grnt_none", "principalId": "user-1",
                        "action": "mail.sent", "status": "success",
                    })
                    assert answer.status_code == 201, answer.text
            look = lambda: len(found(developer, "rate_spike")) == 5
            wait_until(look, "a spike of each agent", seconds=20)
            name = "grantex_anomalies_detected_total"
            told = sum(server.scrape().value(name, type="rate_spike", severity="high") for server in (one, two))
            assert told == 5
            events = developer.http.get("/v1/events", params={"types": "anomaly.detected", "pageSize": 100}).json()["events"]
            assert sorted(event["data"]["agentId"] for event in events) == sorted(agents)
            other.close()
            developer.close()


def status_of(developer, grant):
    return developer.http.get("/v1/revocations/status", params={"grantId": grant}).json()["status"]


def test_the_published_client_has_grants_revoked(server, sandbox):
    anomalies = sandbox.grantex.anomalies
    assert anomalies.get_response_policy() == "alert_only"
    assert anomalies.set_response_policy("revoke_agent_grants") == "revoke_agent_grants"
    assert anomalies.get_response_policy() == "revoke_agent_grants"
    bad, good = sandbox.agent(), sandbox.agent()
    lost, kept = sandbox.issue(bad), sandbox.issue(good)
    name, action = "grantex_anomaly_responses_total", "revoke_agent_grants"
    before, mark = server.scrape().value(name, action=action), server.mark_log()
    with HookReceiver() as receiver:
        answer = sandbox.http.post("/v1/webhooks", json={"url": receiver.url, "events": ["anomaly.auto_revoked"]})
        assert answer.status_code == 201, answer.text
        log_entries(sandbox, bad.id, 51)
        [hook] = receiver.wait_for(1, "anomaly.auto_revoked")
    [anomaly] = found(sandbox, "rate_spike")
    data = hook.event["data"]
    assert (data["anomalyId"], data["revokedGrants"], data["anomalyCount"]) == (anomaly.id, [lost.grant_id], 1)
    assert data["metadata"]["count"] == 51, "with the evidence"
    assert (status_of(sandbox, lost.grant_id), status_of(sandbox, kept.grant_id)) == ("revoked", "active")
    assert not sandbox.http.post("/v1/tokens/verify", json={"token": lost.token}).json()["valid"]
    [line] = server.log.wait_for(mark, 1, lambda line: line["msg"] == "anomaly.responded" and line["agentId"] == bad.id, "the response")
    assert (line["level"], line["action"], line["effective"], line["revokedGrants"]) == ("warn", action, True, 1)
    assert server.scrape().value(name, action=action) - before == 1
    entries = sandbox.http.get("/v1/audit/entries", params={"chain": "server", "pageSize": 1000}).json()["entries"]
    [entry] = [entry for entry in entries if entry["action"] == "grantex.anomaly.responded"]
    assert (entry["agentId"], entry["metadata"]["anomalyId"], entry["metadata"]["evidence"]["count"]) == (bad.id, anomaly.id, 51)
    detected = sandbox.http.post("/v1/anomalies/detect").json()
    assert (detected["responseMode"], detected["autoRevokedGrants"]) == ("revoke_agent_grants", 0), "it is done already"
    assert anomalies.set_response_policy("alert_only") == "alert_only"


def test_a_policy_suspends(sandbox):
    agent = sandbox.agent()
    issued = sandbox.issue(agent)
    path = "/v1/anomaly/response-policies"
    policies = [{"rules": ["AD-011"], "severities": ["high"], "action": "suspend_agent"}]
    answer = sandbox.http.patch(path, json={"policies": policies})
    assert answer.status_code == 200 and answer.json() == {"mode": "alert_only", "policies": policies}, answer.text
    for body, name in (({"policies": [{"rules": ["AD-999"], "action": "alert_only"}]}, "policies[0].rules"), ({"mode": "off"}, "mode")):
        refused = sandbox.http.patch(path, json=body)
        assert refused.status_code == 400 and name in refused.json()["message"], refused.text
    log_entries(sandbox, agent.id, 51)
    is_suspended = lambda: sandbox.http.get(f"/v1/agents/{agent.id}").json()["status"] == "suspended"
    wait_until(is_suspended, "the agent to be suspended", seconds=20)
    assert not sandbox.http.post("/v1/tokens/verify", json={"token": issued.token}).json()["valid"]
    assert sandbox.http.patch(f"/v1/agents/{agent.id}", json={"status": "active"}).status_code == 200
    sandbox.grantex.anomalies.detect()
    assert sandbox.http.post("/v1/tokens/verify", json={"token": issued.token}).json()["valid"], "once per finding"


def test_two_servers_respond_once(tmp_path, admin_url):
    key = secrets.token_hex(32)
    with fresh_database(admin_url) as url:
        with running_server("postgres", tmp_path / "one", admin_url, database_url=url, GRANTEX_MASTER_KEY=key) as one, \
                running_server("postgres", tmp_path / "two", admin_url, database_url=url, GRANTEX_MASTER_KEY=key) as two:
            developer = at_any_hour(Developer(one, "sandbox"))
            developer.grantex.anomalies.set_response_policy("revoke_agent_grants")
            other = httpx.Client(base_url=two.url, headers=developer.http.headers, timeout=30)
            agents = [developer.agent() for _ in range(4)]
            grants = [developer.issue(agent).grant_id for agent in agents for _ in range(2)]
            for agent in agents:
                log_entries(developer, agent.id, 51)
                for client in (other, developer.http):
                    assert client.post("/v1/anomalies/detect").status_code == 200
            wait_until(lambda: all(status_of(developer, grant) == "revoked" for grant in grants), "all grants to be revoked", seconds=30)
            told = lambda: developer.http.get("/v1/events", params={"types": "anomaly.auto_revoked", "pageSize": 100}).json()["events"]
            wait_until(lambda: len(told()) >= len(agents), "a response to each finding", seconds=30)
            assert sorted(event["data"]["agentId"] for event in told()) == sorted(agent.id for agent in agents)
            assert sorted(grant for event in told() for grant in event["data"]["revokedGrants"]) == sorted(grants)
            other.close()
            developer.close()
