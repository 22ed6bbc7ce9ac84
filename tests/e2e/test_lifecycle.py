"""Start, drain, stall and crash: what the process does at its edges."""

import signal
import sqlite3
import threading
import time

import httpx
import pytest

from harness.chain import check_chain
from harness.developer import Developer
from harness.load import Load
from harness.postgres import fresh_database, run_sql
from harness.waiting import wait_until

SNAPSHOTS = ("signing_keys", "active_grants", "webhooks", "agents")


def test_health_and_readiness(server):
    health = server.http.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert server.http.get("/ready").status_code == 200
    assert server.http.head("/health").status_code == 200
    assert health.headers["x-request-id"]


def test_migrate_check_tells_whether_the_schema_is_current(server):
    checked = server.run("migrate", "--check")
    assert checked.returncode == 0, f"migrate --check on a running server's database: {checked.stderr}"


def test_migrate_check_fails_on_an_empty_database(backend, own_server, tmp_path, admin_url):
    server = own_server()
    if backend == "postgres":
        with fresh_database(admin_url) as url:
            server.environment["DATABASE_URL"] = url
            empty = server.run("migrate", "--check")
            assert empty.returncode != 0, "an empty database needs migrations"
            assert server.run("migrate").returncode == 0 and server.run("migrate", "--check").returncode == 0
    else:
        server.environment["DATABASE_URL"] = f"sqlite:{tmp_path / 'empty.db'}"
        assert server.run("migrate", "--check").returncode != 0, "an empty database needs migrations"
        assert server.run("migrate").returncode == 0 and server.run("migrate", "--check").returncode == 0


def test_state_survives_a_restart(own_server, sign_up):
    server = own_server()
    sandbox = sign_up("sandbox", on=server)
    issued = sandbox.issue()
    keys = server.http.get("/.well-known/jwks.json").json()
    server.stop()
    server.start()
    assert server.http.get("/.well-known/jwks.json").json() == keys, "signing keys live in the store"
    assert sandbox.grantex.tokens.verify(issued.token).valid
    assert sandbox.grantex.enforce(issued.token, "ledger", "read_entries").allowed


def test_sigterm_drains(own_server, sign_up):
    """A request whose body is still arriving when SIGTERM comes is answered; meanwhile /ready says 503."""
    # Both clocks run while this test acts, so they are long enough for a busy machine.
    server = own_server(SHUTDOWN_DELAY="8s", REQUEST_DEADLINE="60s")
    sandbox = sign_up("sandbox", on=server)
    body_begun, finish_body = threading.Event(), threading.Event()
    answers = []

    def slow_body():
        yield b'{"name": "Slow '
        body_begun.set()
        finish_body.wait(60)
        yield b'agent"}'

    def register():
        answers.append(httpx.post(
            f"{server.url}/v1/agents", content=slow_body(), timeout=60,
            headers={"Authorization": f"Bearer {sandbox.api_key}", "Content-Type": "application/json"},
        ))

    request = threading.Thread(target=register)
    request.start()
    assert body_begun.wait(60)
    with httpx.Client(base_url=server.url, timeout=30) as kept_alive:
        assert kept_alive.get("/ready").status_code == 200
        server.terminate()

        def draining():
            try:
                return kept_alive.get("/ready").status_code == 503
            except httpx.TransportError as error:
                raise AssertionError(f"/ready was gone before it said 503: {error!r}") from error

        wait_until(draining, "/ready to say 503 while draining")
    finish_body.set()
    request.join(60)
    assert answers and answers[0].status_code == 201, f"the request in flight was not answered: {answers}"
    assert server.wait() == 0, f"exit code after SIGTERM; it said:\n{server.said()}"


def test_sigint_stops_it_as_well(own_server):
    server = own_server()
    server.process.send_signal(signal.SIGINT)
    assert server.wait() == 0


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_a_scrape_of_a_stalled_server_tells_the_last_gauges_and_their_age(cluster, own_server, sign_up):
    server = own_server(database_url=cluster.url)
    sandbox = sign_up("sandbox", on=server)
    issued = sandbox.issue()
    gauges = lambda: [
        server.scrape().value("grantex_active_grants"),
        server.scrape().samples.get(("grantex_agent_active_grants", (("agent_id", issued.agent.id),))),
    ]
    ages = lambda: [server.scrape().value("grantex_snapshot_age_seconds", snapshot=name) for name in SNAPSHOTS]
    wait_until(lambda: gauges() == [1, 1], "the gauges to be read", seconds=60, every=0.5)
    cluster.freeze()
    wait_until(lambda: min(ages()) > 8, "the gauges to get old", seconds=60, every=0.5)
    assert gauges() == [1, 1], "they keep their values"
    old = ages()
    cluster.thaw()
    wait_until(lambda: all(now < then for now, then in zip(ages(), old)), "the gauges to be read again", seconds=120, every=0.5)


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_a_stalled_database_makes_nothing_hang(cluster, own_server, sign_up):
    server = own_server(database_url=cluster.url)
    sandbox = sign_up("sandbox", on=server)
    issued = sandbox.issue()
    reads = [
        ("POST", "/v1/tokens/verify", {"token": issued.token}),
        ("POST", "/v1/grants/verify", {"token": issued.token}),
        ("GET", f"/v1/revocations/status?grantId={issued.grant_id}", None),
        ("GET", "/v1/grants", None),
        ("GET", "/v1/audit/entries", None),
        ("GET", f"/v1/consent/{issued.request.request_id}", None),
        ("GET", f"/consent?req={issued.request.request_id}", None),
    ]
    agent, scopes = issued.agent.id, ["tool:ledger:read"]
    writes = [
        ("POST", "/v1/authorize", {"agentId": agent, "principalId": "u", "scopes": scopes}),
        ("POST", "/v1/token", {"code": "x", "agentId": agent}),
        ("POST", "/v1/token/refresh", {"refreshToken": issued.tokens.refresh_token, "agentId": agent}),
        ("POST", "/v1/agents", {"name": "Never"}),
        ("POST", "/v1/grants/delegate", {"parentGrantToken": issued.token, "subAgentId": agent, "scopes": scopes}),
        ("POST", "/v1/audit/log", {"agentId": "a", "agentDid": "d", "grantId": "g", "principalId": "p", "action": "x.y"}),
    ]
    # More of them than a pool holds, so that some wait for a connection.
    calls = (reads + writes) * 3
    answers: list[tuple[str, str, int, float]] = []

    # Building a client takes a while and is not what is measured.
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    clients = [httpx.Client(base_url=server.url, timeout=60, headers=headers) for _ in calls]

    def call(client, method, path, body):
        began = time.monotonic()
        answer = client.request(method, path, json=body)
        answers.append((method, path, answer.status_code, time.monotonic() - began))

    cluster.freeze()
    threads = [threading.Thread(target=call, args=(client, *each), daemon=True) for client, each in zip(clients, calls)]
    for thread in threads:
        thread.start()
    for path in ("/health", "/.well-known/jwks.json"):
        assert server.http.get(path).status_code == 200, f"{path} must not depend on the database"
    for thread in threads:
        thread.join(60)
    assert len(answers) == len(calls), f"{len(calls) - len(answers)} requests were never answered"
    # The deadline is 5 s, and a connection is given up for lost after 15 s: in between there is room for a busy machine.
    slow = [answer for answer in answers if answer[3] > 12]
    assert not slow, f"answers that took longer than the deadline: {slow}"
    # A write whose commit may still happen once the database wakes must not promise that it did not: that is a 500.
    writing = {path for _, path, _ in writes}
    wrong = [answer for answer in answers if answer[2] not in ((503, 500) if answer[1] in writing else (503,))]
    assert not wrong, f"a stalled database is a 503, got: {wrong}"
    assert server.http.get("/ready").status_code == 503

    cluster.thaw()
    wait_until(lambda: server.http.get("/ready").status_code == 200, "/ready after the database came back", seconds=60, every=0.2)
    wait_until(
        lambda: httpx.post(f"{server.url}/v1/tokens/verify", json={"token": issued.token}, timeout=20,
                           headers={"Authorization": f"Bearer {sandbox.api_key}"}).status_code == 200,
        "verification after the database came back", seconds=60, every=0.2,
    )
    assert sandbox.grantex.tokens.verify(issued.token).valid


def test_kill_under_load_loses_no_answer(own_server, sign_up):
    server = own_server()
    sandbox = sign_up("sandbox", on=server)
    kept = None
    for _ in range(2):
        load = Load(server.url, sandbox.api_key)
        seen = load.remembered
        wait_until(lambda: len(seen.entries) >= 60 or seen.unexpected, "60 rounds of load", seconds=60)
        server.kill()
        load.stop()
        assert not seen.unexpected, f"unexpected answers under load: {seen.unexpected[:5]}"
        server.start()
        check_nothing_lost(sandbox, seen, kept)
        kept = seen


def check_nothing_lost(developer: Developer, seen, earlier):
    http = developer.http
    for agent in seen.agents:
        assert http.get(f"/v1/agents/{agent}").status_code == 200, f"agent {agent} was answered and is gone"
    for grant in seen.grants:
        answer = http.get(f"/v1/grants/{grant['grantId']}")
        assert answer.status_code == 200 and answer.json()["status"] == "active", f"grant lost: {answer.text}"
        assert developer.grantex.tokens.verify(grant["grantToken"]).valid, f"token of {grant['grantId']} lost"
    for renewed in seen.refreshed:
        assert developer.grantex.tokens.verify(renewed["grantToken"]).valid, f"refreshed token of {renewed['grantId']} lost"
    for entry in seen.entries:
        assert http.get(f"/v1/audit/{entry['entryId']}").json() == entry, f"audit entry {entry['entryId']} lost"

    # An exchange that was cut off happened or did not; either way the code yields at most one grant.
    before = {grant["grantId"] for grant in all_grants(developer)}
    for attempt in seen.unanswered_codes:
        again = http.post("/v1/token", json=attempt)
        assert again.status_code in (201, 400), f"a cut-off exchange, tried again: {again.status_code} {again.text}"
    for grant in seen.grants[:5]:
        again = http.post("/v1/token", json={"code": grant["code"], "agentId": grant["agentId"]})
        assert again.status_code == 400, f"a code was exchanged twice: {grant['grantId']} and {again.text}"
    created = [entry for entry in all_entries(developer, "server") if entry["action"] == "grantex.grant.created"]
    after = all_grants(developer)
    assert len({entry["grantId"] for entry in created}) == len(created) == len(after), "grants and their audit entries differ"
    assert before <= {grant["grantId"] for grant in after}

    own = all_entries(developer)
    check_chain(own, "the caller's chain after the crash")
    check_chain(all_entries(developer, "server"), "the server's chain after the crash")
    answered = {entry["entryId"] for entry in seen.entries + (earlier.entries if earlier else [])}
    assert answered <= {entry["entryId"] for entry in own}
    verified = developer.server.run("audit", "verify")
    assert verified.returncode == 0, f"audit verify: {verified.stdout}{verified.stderr}"


def all_grants(developer: Developer) -> list[dict]:
    return list(pages(developer, "/v1/grants", "grants"))


def all_entries(developer: Developer, chain: str | None = None) -> list[dict]:
    extra = {"chain": chain} if chain else {}
    return list(pages(developer, "/v1/audit/entries", "entries", since="2000-01-01T00:00:00.000Z", **extra))


def pages(developer: Developer, path: str, member: str, **params):
    """Everything of a listing, by its keyset cursor."""
    cursor = {}
    for _ in range(1000):
        answer = developer.http.get(path, params=params | {"pageSize": 500} | cursor)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        body = answer.json()
        yield from body[member]
        if not body.get("nextCursor"):
            return
        cursor = {"cursor": body["nextCursor"]}
    raise AssertionError(f"{path} never ends")


def test_audit_verify_names_a_tampered_entry(own_server, sign_up, backend):
    server = own_server()
    sandbox = sign_up("sandbox", on=server)
    issued = sandbox.issue()
    entry = sandbox.grantex.audit.log(
        agent_id=issued.agent.id, agent_did=issued.agent.did, grant_id=issued.grant_id, principal_id=issued.principal,
        action="ledger.read",
    )
    server.stop()
    tamper(server, backend, entry.entry_id)
    verified = server.run("audit", "verify")
    assert verified.returncode != 0, "audit verify accepted a changed entry"
    assert entry.entry_id in verified.stdout + verified.stderr, f"it must name the entry: {verified.stdout}{verified.stderr}"


def tamper(server, backend: str, entry_id: str):
    """Changes one entry behind the server's back."""
    change = f"UPDATE audit_entries SET action = 'ledger.write' WHERE id = '{entry_id}'"
    if backend == "postgres":
        run_sql(server.environment["DATABASE_URL"], change)
    else:
        with sqlite3.connect(server.directory / "grantex.db") as database:
            assert database.execute(change).rowcount == 1
