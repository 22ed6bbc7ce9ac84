"""Faults, and the alerts that each of them must cause. A fault goes on until its event is set."""

import asyncio
import itertools
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from .developer import READ, WRITE, Developer
from .hooks import HookReceiver
from .postgres import run_sql
from .waiting import wait_until
from .watchers import Exposition

Until = threading.Event


@dataclass(frozen=True, order=True)
class Expected:
    """An alert by its name, its severity and, where the rules have several, its window."""

    alert: str
    severity: str
    window: str = ""

    def labels(self) -> dict[str, str]:
        labels = {"alertname": self.alert, "severity": self.severity}
        if self.alert.startswith("GrantexErrorBudget"):
            # The promises about latency are not kept by a debug build anyway.
            labels["slo"] = "availability"
        return labels | ({"window": self.window} if self.window else {})

    def __str__(self):
        return f"{self.alert} {self.severity} {self.window}".rstrip()


@dataclass
class Fault:
    name: str
    # Whether the real server is put into that state, or a target tells that it is.
    is_real: bool
    causes: list[Expected]
    inject: Callable[["World", Until], None]


def alerts(*names: str) -> list[Expected]:
    """`Name:severity`, `Name:severity:window`, or `Name:warning+critical` for both."""
    found = []
    for name in names:
        alert, severities, *window = name.split(":")
        found += [Expected(alert, severity, *window) for severity in severities.split("+")]
    return found


class World:
    """What faults are injected into."""

    def __init__(self, server, cluster, prometheus, exposition: Exposition, stranger: Exposition):
        self.server, self.cluster, self.prometheus = server, cluster, prometheus
        self.exposition, self.stranger = exposition, stranger
        self.address = f"127.0.0.1:{server.port}"
        self.lock, self.targets, self.api_keys = threading.Lock(), [], []
        self.watch(self.address)

    def watch(self, address: str):
        """Has Prometheus scrape this address too."""
        with self.lock:
            self.targets.append(address)
            self.prometheus.set_targets(self.targets)

    def forget(self, address: str):
        with self.lock:
            self.targets.remove(address)
            self.prometheus.set_targets(self.targets)

    def developer(self, mode: str = "sandbox") -> Developer:
        developer = Developer(self.server, mode, "Fault")
        with self.lock:
            self.api_keys.append(developer.api_key)
        return developer

    def acknowledge_everything(self):
        """Acknowledges the anomalies of all developers that faults needed."""
        for key in list(self.api_keys):
            with httpx.Client(base_url=self.server.url, headers={"Authorization": f"Bearer {key}"}, timeout=15) as http:
                while found := http.get("/v1/anomalies", params={"unacknowledged": "true"}).raise_for_status().json()["anomalies"]:
                    for anomaly in found:
                        http.patch(f"/v1/anomalies/{anomaly['id']}/acknowledge").raise_for_status()


def again(until: Until, a_second: float, step: Callable[[], object]):
    """Does something so many times a second, whatever is answered."""
    while not until.wait(1 / a_second):
        try:
            step()
        except httpx.TransportError:
            until.wait(0.5)


def failing_exchanges(world: World, until: Until):
    developer = world.developer()
    agent = developer.agent().id
    again(until, 20, lambda: developer.http.post("/v1/token", json={"code": "never-issued", "agentId": agent}))


def failing_refreshes(world: World, until: Until):
    developer = world.developer()
    agent = developer.agent().id
    again(until, 20, lambda: developer.http.post("/v1/token/refresh", json={"refreshToken": "never-issued", "agentId": agent}))


def reuse(world: World, until: Until):
    """Refresh tokens and codes are used twice."""
    developer = world.developer()

    def step():
        issued = developer.issue()
        body = {"refreshToken": issued.tokens.refresh_token, "agentId": issued.agent.id}
        for _ in range(2):
            developer.http.post("/v1/token/refresh", json=body)
        developer.http.post("/v1/token", json={"code": issued.code, "agentId": issued.agent.id})

    again(until, 2, step)


def too_many_requests(world: World, until: Until):
    """Principal sessions are opened faster than an address may."""
    developer = world.developer()
    again(until, 20, lambda: developer.http.post("/v1/principal-sessions", json={"principalId": "nobody"}))


def wrong_keys(world: World, until: Until):
    with httpx.Client(base_url=world.server.url, headers={"Authorization": "Bearer gx_live_wrong"}, timeout=15) as http:
        again(until, 10, lambda: http.get("/v1/agents"))


def refusing_policy(world: World, until: Until):
    """A developer whose policy refuses everything asks more often than all others together."""
    developer = world.developer()
    agent = developer.agent().id
    made = developer.http.post("/v1/policies", json={"name": "Nothing is allowed", "effect": "deny"})
    assert made.status_code == 201, f"{made.status_code} {made.text}"
    body = {"agentId": agent, "principalId": "user-0", "scopes": [READ]}
    again(until, 200, lambda: developer.http.post("/v1/authorize", json=body))


def refusing_people(world: World, until: Until):
    developer = world.developer("live")
    agent = developer.agent()
    people = itertools.count()

    def step():
        request = developer.open_request(agent, f"person-{next(people)}", [READ])
        httpx.post(f"{world.server.url}/v1/consent/{request.request_id}/deny")

    again(until, 5, step)


def forged_tokens(world: World, until: Until):
    developer = world.developer()
    again(until, 20, lambda: developer.http.post("/v1/tokens/verify", json={"token": "bm90.YQ.dG9rZW4"}))


def mass_revocation(world: World, until: Until):
    """A grant that was handed on to more than a hundred others is revoked."""
    developer = world.developer()
    while not until.is_set():
        parent = developer.issue()
        body = {"parentGrantToken": parent.token, "subAgentId": parent.agent.id, "scopes": [READ]}
        for _ in range(110):
            developer.http.post("/v1/grants/delegate", json=body)
        developer.grantex.grants.revoke(parent.grant_id)
        until.wait(3)


def strange_agents(world: World, until: Until):
    """Agents do what their developer forbade by a rule of its own, and nobody looks at what is found until it ends."""
    developer = world.developer()
    rule = {"ruleId": "none-may-log", "name": "Entries", "severity": "critical",
            "condition": {"timeWindow": "24h", "threshold": 0, "signals": ["audit_entry"]}}
    assert developer.http.post("/v1/anomaly/rules", json=rule).status_code == 201

    def step():
        entry = {"agentId": developer.agent().id, "agentDid": "did:x", "grantId": "g", "principalId": "p", "action": "x.y"}
        developer.http.post("/v1/audit/log", json=entry)

    again(until, 3, step)

    def is_looked_at():
        world.acknowledge_everything()
        return world.server.scrape().value("grantex_anomalies_unacknowledged") <= 20

    wait_until(is_looked_at, "the anomalies to be acknowledged", seconds=50, every=0.5)


def subscribe(developer: Developer, receiver: HookReceiver) -> str:
    # Not to anomalies: those come later, when an endpoint that fails is no longer asked, and would wait long after the fault.
    answer = developer.http.post("/v1/webhooks", json={"url": receiver.url, "events": ["grant.created", "token.issued"]})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def refusing_receivers(world: World, until: Until):
    """Receivers answer 500 until their deliveries are given up: many, since one that fails is asked more and more rarely."""

    def step():
        developer = world.developer()
        subscribe(developer, receiver)
        agent = developer.agent()
        for _ in range(3):
            developer.issue(agent)
        developer.close()

    with HookReceiver(lambda hook: 500) as receiver:
        again(until, 4, step)


def gone_receiver(world: World, until: Until):
    """Receivers say that they are gone, and their endpoints are disabled."""
    developer = world.developer()
    agent = developer.agent()

    def step():
        subscribe(developer, receiver)
        developer.issue(agent)

    with HookReceiver(lambda hook: 410) as receiver:
        again(until, 0.5, step)


def hanging_receiver(world: World, until: Until):
    """A receiver takes connections and never answers, while much happens."""
    developer = world.developer()
    with HookReceiver(lambda hook: until.wait(120) and None) as receiver:
        webhook = subscribe(developer, receiver)
        parent = developer.issue()
        body = {"parentGrantToken": parent.token, "subAgentId": parent.agent.id, "scopes": [READ]}
        asyncio.run(crowd(world, developer, 16, [("POST", "/v1/grants/delegate", body)], until))
        developer.http.delete(f"/v1/webhooks/{webhook}")


def nobody_delivers(world: World, until: Until):
    """Webhooks are due, and the only server delivers none."""
    developer = world.developer()
    agent = developer.agent()
    with HookReceiver() as receiver:
        webhook = subscribe(developer, receiver)
        world.server.kill()
        world.server.environment["WEBHOOKS_ENABLED"] = "false"
        world.server.start()
        # Only now, so that no attempt was made that could fail and hold the others back.
        for _ in range(3):
            developer.issue(agent)
        until.wait()
        world.server.kill()
        del world.server.environment["WEBHOOKS_ENABLED"]
        world.server.start()
        developer.http.delete(f"/v1/webhooks/{webhook}")


def stuck_rotation(world: World, until: Until):
    """A new key that will not sign for an hour."""
    done = world.server.run("keys", "rotate")
    assert done.returncode == 0, done.stderr
    kid = re.search(r"[\w-]{43}", done.stdout + done.stderr).group()
    until.wait()
    done = world.server.run("keys", "retire", kid)
    assert done.returncode == 0, done.stderr


def held_lock(world: World, until: Until):
    """Somebody's session keeps the row of a developer locked, for whom much is to be written."""
    developer = world.developer()
    agent = developer.agent().id
    lock = f"BEGIN; SELECT id FROM developers WHERE id = '{developer.id}' FOR UPDATE; SELECT pg_sleep(600)"
    session = subprocess.Popen(
        ["psql", world.server.environment["DATABASE_URL"], "-X", "-q", "-c", lock],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    entry = {"agentId": agent, "agentDid": "did:x", "grantId": "g", "principalId": "p", "action": "x.y"}
    try:
        asyncio.run(crowd(world, developer, 160, [("POST", "/v1/audit/log", entry)], until))
    finally:
        run_sql(world.server.environment["DATABASE_URL"],
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()")
        session.wait(timeout=20)


def frozen_database(world: World, until: Until):
    """The database keeps its connections and answers nothing."""
    developer = world.developer()
    agent = developer.agent().id
    asked = [
        ("POST", "/v1/authorize", {"agentId": agent, "principalId": "u", "scopes": [READ, WRITE]}),
        ("POST", "/v1/authorize", {"agentId": agent, "principalId": "u", "scopes": [READ, WRITE]}),
        ("POST", "/v1/token", {"code": "x", "agentId": agent}),
        ("GET", "/ready", None),
    ]
    world.cluster.freeze()
    try:
        asyncio.run(crowd(world, developer, 80, asked, until))
    finally:
        world.cluster.thaw()


# How long the server lets a request wait for the database, in seconds.
DEADLINE = 5


async def crowd(world: World, developer: Developer, people: int, asked: list, until: Until):
    """So many clients that ask again as soon as they are answered.

    They begin one after the other: if all waited for the same deadline together, nobody would be answered for seconds, and a rule
    about latency would see nothing in between.
    """
    headers = {"Authorization": f"Bearer {developer.api_key}"}
    limits = httpx.Limits(max_connections=people, max_keepalive_connections=people)

    async def one(number: int):
        method, path, body = asked[number % len(asked)]
        await asyncio.sleep(number * DEADLINE / people)
        while not until.is_set():
            try:
                await http.request(method, path, json=body)
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.2)

    async with httpx.AsyncClient(base_url=world.server.url, headers=headers, timeout=20, limits=limits) as http:
        await asyncio.gather(*(one(number) for number in range(people)))


def dead_server(world: World, until: Until):
    world.server.kill()
    until.wait()
    world.server.start()


def restarts(world: World, until: Until):
    started = 'process_start_time_seconds{job="grantex"}'
    while not until.is_set():
        before = {s["value"][1] for s in world.prometheus.query(started)}
        world.server.kill()
        world.server.start()
        while not until.is_set() and {s["value"][1] for s in world.prometheus.query(started)} <= before:
            time.sleep(0.2)


def lost_target(world: World, until: Until):
    world.forget(world.address)
    until.wait()
    world.watch(world.address)


def strange_target(world: World, until: Until):
    world.watch(world.stranger.address)
    until.wait()
    world.forget(world.stranger.address)


def tell(world: World, until: Until, lines: Callable[[int], str]):
    """Exports what `lines` gives for the seconds since the beginning, as a server would."""
    began = time.monotonic()
    world.exposition.render = lambda: 'grantex_build_info{version="0.0.0-told"} 1\n' + lines(int(time.monotonic() - began))
    world.watch(world.exposition.address)
    until.wait()
    world.forget(world.exposition.address)


def told_troubles(world: World, until: Until):
    many_series = "\n".join(f"told_{number} 1" for number in range(20_001))
    tell(world, until, lambda grown: f"""\
grantex_signing_keys{{state="signing"}} 0
process_open_fds 900
process_max_fds 1000
grantex_log_lines_dropped_total {grown * 5}
grantex_policy_backend_errors_total{{backend="opa"}} {grown}
{many_series}
""")


# Each phase is a set of faults that do not hide each other; between phases everything must become quiet again.
PHASES: dict[str, list[Fault]] = {
    "requests": [
        Fault("exchanges fail", True, alerts("HighTokenExchangeFailureRate:warning+critical"), failing_exchanges),
        Fault("refreshes fail", True, alerts("GrantexTokenRefreshFailures:warning+critical"), failing_refreshes),
        Fault("tokens are used twice", True, alerts("GrantexReuseDetected:critical"), reuse),
        Fault("a client asks too often", True, alerts("GrantexRateLimited:warning+critical"), too_many_requests),
        Fault("somebody tries keys", True, alerts("GrantexRefusedKeys:warning"), wrong_keys),
        Fault("people refuse", True, alerts("GrantexConsentDenials:warning"), refusing_people),
        Fault("tokens are forged", True, alerts("GrantexForgedTokens:warning"), forged_tokens),
        Fault("a hundred grants are revoked", True, alerts("GrantexRevocationSpike:warning", "GrantexLargeCascade:warning"), mass_revocation),
        Fault("agents are strange", True, alerts(
            "GrantexAnomalies:warning+critical", "GrantexCriticalAnomaly:critical", "GrantexAnomaliesUnacknowledged:warning",
        ), strange_agents),
        Fault("a key never signs", True, alerts("GrantexKeyRotationStuck:warning"), stuck_rotation),
        Fault("a target tells of it", False, alerts(
            "GrantexVersionSkew:info", "GrantexNoSigningKey:critical", "GrantexFileDescriptors:warning",
            "GrantexLogLinesDropped:warning", "GrantexTooManySeries:warning", "GrantexPolicyBackendErrors:warning",
        ), told_troubles),
    ],
    "policies": [Fault("a policy refuses everything", True, alerts("GrantexPolicyDenials:warning"), refusing_policy)],
    "webhooks": [
        Fault("receivers refuse", True, alerts("WebhookDeliveryFailure:warning", "GrantexWebhookSuccess:warning+critical"), refusing_receivers),
        Fault("receivers are gone", True, alerts("GrantexWebhookEndpointDisabled:info"), gone_receiver),
        Fault("a receiver hangs", True, alerts("GrantexWebhookBacklog:warning+critical", "GrantexWebhookQueue:warning"), hanging_receiver),
        Fault("a session holds a lock", True, alerts("GrantexWriteQueue:warning"), held_lock),
    ],
    "stalled": [Fault("nobody delivers webhooks", True, alerts("GrantexWebhookStalled:critical"), nobody_delivers)],
    "database": [
        Fault("the database stalls", True, alerts(
            "GrantexDatabaseUnavailable:critical", "GrantexDatabaseConnectionErrors:warning", "GrantexDatabasePoolExhausted:warning",
            "GrantexServerErrors:warning", "GrantexNotReady:critical", "HighAuthLatency:warning", "GrantexAuthLatency:warning+critical",
            "GrantexJobFailing:warning", "GrantexJobStale:warning", "GrantexJanitorStale:warning",
            "GrantexErrorBudgetBurn:critical:1h", "GrantexErrorBudgetBurn:critical:6h", "GrantexErrorBudgetBurn:warning:1d",
            "GrantexErrorBudgetBurn:warning:3d", "GrantexErrorBudgetSpent:warning",
        ), frozen_database),
    ],
    "restarts": [Fault("the server is killed again and again", True, alerts("GrantexRestarting:warning"), restarts)],
    "down": [Fault("the server is dead", True, alerts("GrantexHealthCheckFailing:warning+critical", "GrantexDown:critical"), dead_server)],
    "target": [Fault("another service answers", True, alerts("GrantexMetricsMissing:warning"), strange_target)],
    "absent": [Fault("the target is lost", True, alerts("GrantexAbsent:critical"), lost_target)],
}
