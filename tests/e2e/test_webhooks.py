"""Webhooks against the real server: what is committed arrives, signed, in order, whatever happens in between."""

import collections
import threading
import time

import httpx
import pytest
from grantex import verify_webhook, verify_webhook_signature

from conftest import running_server
from harness.developer import Developer
from harness.hooks import HookReceiver
from harness.postgres import fresh_database
from harness.waiting import wait_until

LOCAL = {
    "WEBHOOK_ALLOW_PRIVATE_HOSTS": "true", "WEBHOOK_ALLOW_INSECURE_URLS": "true",
    # What it finds would arrive between what is waited for.
    "ANOMALY_DETECTION_ENABLED": "false",
}


@pytest.fixture(scope="module")
def server(backend, tmp_path_factory, admin_url):
    with running_server(backend, tmp_path_factory.mktemp(backend), admin_url, **LOCAL) as started:
        yield started


@pytest.fixture
def receiver():
    with HookReceiver() as started:
        yield started


def make(developer, url, events=("*",), **extra):
    answer = developer.http.post("/v1/webhooks", json={"url": url, "events": list(events), **extra})
    assert answer.status_code == 201, answer.text
    return answer.json()


def deliveries(developer, webhook, **params):
    answer = developer.http.get(f"/v1/webhooks/{webhook['id']}/deliveries", params={"pageSize": 100, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["deliveries"]


def statistics(developer, webhook):
    return developer.http.get(f"/v1/webhooks/{webhook['id']}/stats").json()


def test_the_published_client_subscribes_and_verifies_what_arrives(sandbox, receiver):
    made = sandbox.grantex.webhooks.create(
        url=receiver.url, events=["grant.created", "grant.revoked", "token.issued"]
    )
    assert [hook.id for hook in sandbox.grantex.webhooks.list().webhooks] == [made.id]
    issued = sandbox.issue()
    began = time.time()
    sandbox.grantex.grants.revoke(issued.grant_id)
    wait_until(lambda: len(receiver.hooks) >= 3, "three deliveries", seconds=5)
    assert receiver.kinds() == ["grant.created", "token.issued", "grant.revoked"]
    assert receiver.hooks[-1].at - began < 1, "the first attempt comes within a second"
    for hook in receiver.hooks:
        body, headers = hook.body.decode(), hook.headers
        assert verify_webhook(body, headers["x-grantex-signature-v2"], headers["x-grantex-timestamp"], made.secret)
        assert verify_webhook_signature(body, headers["x-grantex-signature"], made.secret)
        assert not verify_webhook(body + " ", headers["x-grantex-signature-v2"], headers["x-grantex-timestamp"], made.secret)
        assert headers["content-length"] == str(len(hook.body)) and "transfer-encoding" not in headers
        assert headers["webhook-id"] == hook.event["id"]
        assert hook.event["data"]["grantId"] == issued.grant_id
    sandbox.grantex.webhooks.delete(made.id)
    sandbox.issue()
    assert sandbox.grantex.webhooks.list().webhooks == ()
    assert len(receiver.hooks) == 3


@pytest.mark.parametrize("status", [200, 202, 204, 205])
def test_any_2xx_is_a_delivery_and_harms_nobody(sandbox, receiver, status):
    receiver.answer = lambda hook: status
    made = make(sandbox, receiver.url, ["grant.created"])
    sandbox.issue()
    wait_until(lambda: statistics(sandbox, made)["delivered"] == 1, f"a delivery that was answered {status}")
    assert deliveries(sandbox, made)[0]["lastStatusCode"] == status


@pytest.mark.parametrize("status", [301, 304, 400, 404, 429, 500, 503])
def test_other_statuses_are_data_and_tried_again(sandbox, receiver, status):
    answers = iter([status])
    receiver.answer = lambda hook: (next(answers, 200), {"Location": "http://127.0.0.1:1/"})
    made = make(sandbox, receiver.url, ["grant.created"])
    sandbox.issue()
    wait_until(lambda: statistics(sandbox, made)["retried"] == 1, "a first, failed attempt")
    waiting = deliveries(sandbox, made)[0]
    assert (waiting["status"], waiting["lastStatusCode"]) == ("pending", status)
    assert waiting["lastError"] == f"the receiver answered {status}"
    wait_until(lambda: statistics(sandbox, made)["delivered"] == 1, "the second attempt", seconds=15)
    first, second = receiver.hooks
    assert first.body == second.body, "byte for byte"
    assert 5 <= second.at - first.at <= 8
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_a_dead_receiver_slows_no_other(sandbox):
    silence = threading.Event()
    with HookReceiver(lambda hook: silence.wait(30) and 200) as dead, HookReceiver() as sound:
        stuck = make(sandbox, dead.url, ["grant.created"])
        make(sandbox, sound.url, ["grant.created"])
        began = time.time()
        for _ in range(40):
            sandbox.issue()
        wait_until(lambda: len(sound.hooks) == 40, "forty deliveries beside a dead receiver", seconds=10)
        assert time.time() - began < 10
        assert statistics(sandbox, stuck)["delivered"] == 0
        silence.set()
        wait_until(lambda: statistics(sandbox, stuck)["delivered"] == 40, "the rest", seconds=20)


def test_gone_disables_which_is_an_event_a_metric_a_log_line_and_visible(server, sandbox):
    before, mark = server.scrape(), server.log.mark()
    with HookReceiver(lambda hook: 410) as gone, HookReceiver() as watcher:
        made = make(sandbox, gone.url + "?token=canary-in-the-query")
        make(sandbox, watcher.url, ["webhook.disabled"])
        sandbox.issue()
        wait_until(lambda: watcher.kinds() == ["webhook.disabled"], "the news of it")
        assert watcher.events()[0]["data"] == {"webhookId": made["id"], "reason": "gone"}
    shown = sandbox.http.get(f"/v1/webhooks/{made['id']}").json()
    assert (shown["status"], shown["disabledReason"]) == ("disabled", "gone")
    wait_until(lambda: statistics(sandbox, made)["pending"] == 0, "nothing to wait")
    assert {entry["status"] for entry in deliveries(sandbox, made)} == {"failed"}
    delta = server.scrape()
    name = "grantex_webhook_endpoints_disabled_total"
    assert delta.value(name, reason="gone") - before.value(name, reason="gone") == 1
    lines = server.log.since(mark)
    failed = [line for line in lines if line["msg"] == "webhook.delivery_failed"]
    assert failed and failed[0]["level"] == "error"
    assert failed[0]["webhookId"] == made["id"] and failed[0]["statusCode"] == 410 and failed[0]["attempt"] == 1
    assert failed[0]["url"] == gone.url
    assert "canary-in-the-query" not in server.log.text()
    assert [line["reason"] for line in lines if line["msg"] == "webhook.disabled"] == ["gone"]


def test_metrics_tell_what_was_done(server, sandbox, receiver):
    before = server.scrape()
    answers = iter([500, 200, 200])
    receiver.answer = lambda hook: next(answers, 200)
    make(sandbox, receiver.url, ["token.issued"])
    sandbox.issue()
    sandbox.issue()
    wait_until(lambda: len(receiver.hooks) == 3, "a failure and two deliveries", seconds=15)
    name = "grantex_webhook_deliveries_total"

    def delta(status):
        return server.scrape().value(name, status=status) - before.value(name, status=status)

    wait_until(lambda: (delta("delivered"), delta("retried"), delta("failed")) == (2, 1, 0), "the counts")


def test_what_was_missed_is_recovered(sandbox, receiver):
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    sandbox.issue()
    made = make(sandbox, receiver.url, ["grant.created"])
    answer = sandbox.http.post(f"/v1/webhooks/{made['id']}/recover", json={"since": since})
    assert (answer.status_code, answer.json()) == (202, {"failed": 0, "missing": 1, "partial": False})
    wait_until(lambda: receiver.kinds() == ["grant.created"], "the event from before")
    delivery = deliveries(sandbox, made)[0]
    wait_until(lambda: deliveries(sandbox, made)[0]["status"] == "delivered", "its end")
    again = sandbox.http.post(f"/v1/webhooks/{made['id']}/deliveries/{delivery['id']}/redeliver")
    assert again.status_code == 202, again.text
    wait_until(lambda: len(receiver.hooks) == 2, "the same once more")
    assert receiver.hooks[0].body == receiver.hooks[1].body


def test_paused_endpoints_collect(sandbox, receiver):
    made = make(sandbox, receiver.url, ["grant.created"])
    assert sandbox.http.post(f"/v1/webhooks/{made['id']}/pause").json()["status"] == "paused"
    for _ in range(3):
        sandbox.issue()
    assert statistics(sandbox, made)["pending"] == 3
    assert receiver.hooks == []
    sandbox.http.post(f"/v1/webhooks/{made['id']}/resume")
    wait_until(lambda: len(receiver.hooks) == 3, "what was collected")


def test_nothing_is_sent_where_it_must_not_go(own_server, receiver):
    strict = own_server()
    developer = Developer(strict, "sandbox")
    for url in (receiver.url, receiver.url.replace("http", "https"), "https://localhost/", "https://[::1]/", "https://10.0.0.1/"):
        answer = developer.http.post("/v1/webhooks", json={"url": url, "events": ["*"]})
        assert answer.status_code == 400 and answer.json()["message"].startswith("`url` "), answer.text
    assert developer.http.post("/v1/webhooks", json={"url": "https://example.com/webhook", "events": ["*"]}).status_code == 201
    developer.close()


def test_kill_in_a_loop_under_load_loses_nothing_and_keeps_the_order(own_server):
    """Every answered change has its events, and each of them arrives at least once, in order per grant."""
    rounds = 4
    with HookReceiver() as receiver:
        server = own_server(**LOCAL)
        developer = Developer(server, "sandbox")
        agent = developer.agent()
        make(developer, receiver.url)
        done: dict[str, list[str]] = {}
        stop = threading.Event()

        def work(number):
            with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {developer.api_key}"}, timeout=10) as http:
                while not stop.is_set():
                    try:
                        request = http.post("/v1/authorize", json={
                            "agentId": agent.id, "principalId": f"worker-{number}", "scopes": ["tool:ledger:read"]})
                        tokens = http.post("/v1/token", json={"code": request.json()["code"], "agentId": agent.id})
                        if tokens.status_code != 201:
                            continue
                        grant = tokens.json()["grantId"]
                        done[grant] = ["grant.created", "token.issued"]
                        if http.delete(f"/v1/grants/{grant}").status_code == 204:
                            done[grant].append("grant.revoked")
                    except (httpx.TransportError, KeyError, ValueError):
                        # The server is away; what was not answered is not counted.
                        stop.wait(0.05)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        for _ in range(rounds):
            reached = len(done) + 100
            wait_until(lambda: len(done) >= reached, "a hundred grants", seconds=60)
            server.kill()
            server.start()
        stop.set()
        for worker in workers:
            worker.join(20)

        def arrived():
            by_grant = collections.defaultdict(list)
            for event in receiver.events():
                kinds = by_grant[event["data"]["grantId"]]
                if event["type"] not in kinds:
                    kinds.append(event["type"])
            return by_grant

        expected = sum(map(len, done.values()))

        def everything():
            by_grant = arrived()
            return all(set(kinds) <= set(by_grant[grant]) for grant, kinds in done.items())

        # A server that died with a claim on PostgreSQL holds it for thirty seconds.
        wait_until(everything, "every event of every answered change", seconds=90)
        order = ["grant.created", "token.issued", "grant.revoked"]
        for grant, kinds in arrived().items():
            assert kinds == order[: len(kinds)], f"{grant}: {kinds}"
        total, distinct = len(receiver.hooks), len({hook.headers["webhook-id"] for hook in receiver.hooks})
        print(f"{server.backend}: {rounds} kills, {len(done)} grants, {expected} events of answered changes, "
              f"{distinct} events delivered in {total} deliveries")
        developer.close()


def test_two_servers_share_the_work_without_doubling_it(backend, tmp_path, admin_url, receiver):
    if backend != "postgres":
        pytest.skip("an embedded store has one server")
    key = {"GRANTEX_MASTER_KEY": "5a" * 32}
    with fresh_database(admin_url) as url, \
            running_server("postgres", tmp_path / "one", admin_url, url, **LOCAL, **key) as one, \
            running_server("postgres", tmp_path / "two", admin_url, url, **LOCAL, **key) as two:
        developer = Developer(one, "sandbox")
        for _ in range(3):
            make(developer, receiver.url, ["grant.created"])
        elsewhere = httpx.Client(base_url=two.url, headers={"Authorization": f"Bearer {developer.api_key}"})
        agent = developer.agent()
        began = time.time()
        for number in range(40):
            http = (developer.http, elsewhere)[number % 2]
            body = {"agentId": agent.id, "principalId": "p", "scopes": ["tool:ledger:read"]}
            code = http.post("/v1/authorize", json=body).json()["code"]
            assert http.post("/v1/token", json={"code": code, "agentId": agent.id}).status_code == 201
        wait_until(lambda: len(receiver.hooks) >= 120, "three times forty", seconds=20)
        assert time.time() - began < 20
        # Nothing comes twice, and nothing of another server's waits for more than the next look.
        counts = collections.Counter(hook.headers["webhook-id"] for hook in receiver.hooks)
        assert set(counts.values()) == {3} and len(counts) == 40
        elsewhere.close()
        developer.close()
