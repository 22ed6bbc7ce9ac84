"""The live proof: a real server, Prometheus with the shipped rules, Alertmanager and a receiver.

After ordinary traffic every panel shows data and no alert fires; each fault causes its alerts, which arrive and clear.
"""

import json
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.artefacts import OF_PROMETHEUS, alerts, dashboards, documented_metrics, family_of, label_values, recorded, rules
from harness.extras import Extras
from harness.fastforward import fast_rules
from harness.faults import PHASES, Expected, World
from harness.postgres import Cluster
from harness.promql import grouping_labels, selectors
from harness.server import Server
from harness.traffic import Traffic
from harness.waiting import wait_until
from harness.watchers import Alertmanager, AlertReceiver, Exposition, Prometheus

# Metrics that dashboards and rules name before the server has them. A metric that it has must not be here.
NOT_YET: dict[str, str] = {}
# Debug builds on a shared machine promise nothing about time.
TIMES = re.compile(r"Latency|GrantexErrorBudget")

LIMITS = ("IP", "SIGNUP", "CONSENT", "FAILED_KEYS", "METRICS", "DEVELOPER", "AUTHORIZE", "REVOCATION_STATUS")
SETTINGS = {f"RATE_LIMIT_{limit}_PER_MINUTE": "1000000" for limit in LIMITS} | {
    "RATE_LIMIT_ENABLED": "true", "KEY_ACTIVATION_DELAY": "1h", "JANITOR_INTERVAL": "1s",
    "WEBHOOK_ALLOW_PRIVATE_HOSTS": "true", "WEBHOOK_ALLOW_INSECURE_URLS": "true", "WEBHOOK_RETRY_SCHEDULE": "1s",
}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """Everything runs, and ordinary traffic has been going on for a while."""
    stage = Stage(tmp_path_factory.mktemp("monitoring"))
    try:
        stage.start()
        yield stage
    finally:
        stage.close()


class Stage:
    def __init__(self, directory):
        self.directory = directory
        self.closers = []

    def start(self):
        keep = self.closers.append
        # Threads that stay: a server dies with the thread that started it.
        self.threads = ThreadPoolExecutor(max_workers=16)
        keep(self.threads.shutdown)
        self.cluster = Cluster()
        keep(self.cluster.destroy)
        self.server = Server(self._directory("server"), self.cluster.url, "postgres", **SETTINGS)
        keep(self.server.close)
        self.server.start()
        self.receiver = AlertReceiver()
        keep(self.receiver.close)
        # What mutes what is shown by test_alertmanager.py; here every alert must arrive.
        self.alertmanager = Alertmanager(self._directory("alertmanager"), self.receiver, mutes=False).start()
        keep(self.alertmanager.stop)
        rule_files = fast_rules(self._directory("rules"))
        self.prometheus = Prometheus(self._directory("prometheus"), rule_files, self.alertmanager)
        keep(self.prometheus.stop)
        exposition, stranger = Exposition(), Exposition("something_else 1\n")
        keep(exposition.close)
        keep(stranger.close)
        self.world = World(self.server, self.cluster, self.prometheus, exposition, stranger)
        self.prometheus.start()
        wait_until(lambda: self.prometheus.is_up(self.world.address), "the server to be scraped", seconds=30)
        self.began = time.time()
        self.traffic = Traffic(self.server)
        keep(self.traffic.stop)
        self.agent = self.traffic.agents[0]
        extras = Extras(self.traffic.sandbox, self.agent)
        keep(extras.stop)
        wait_until(lambda: self.traffic.rounds >= 40, "ordinary traffic", seconds=120, every=0.2)
        # The longest window of the fast rules, so that all of them have seen traffic only.
        wait_until(lambda: time.time() - self.began > 25, "the windows of the rules to be full", seconds=60, every=0.5)

    def close(self):
        for close in reversed(self.closers):
            close()

    def _directory(self, name):
        path = self.directory / name
        path.mkdir()
        return path

    def has_data(self, expr: str) -> bool:
        """Whether a panel would have shown something since the traffic began."""
        found = self.prometheus.range(expr, self.began, time.time())
        return any(value != "NaN" for series in found for _, value in series["values"])

    def exported(self) -> dict[str, str]:
        """Metrics with their types, as the server exports them."""
        scrape = self.server.scrape()
        return {family.name + ("_total" if family.type == "counter" else ""): family.type for family in scrape.families.values()}

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.prometheus.alerts() if alert["state"] == "firing"}


def expand(expr: str, agent: str = "other", span: str = "60s") -> str:
    """A query as Grafana would send it."""
    values = {"$__rate_interval": "10s", "$__range": span, "$job": "grantex", "$instance": ".+", "$agent_id": agent}
    for name, value in values.items():
        expr = expr.replace(name, value)
    return expr


def named(exprs) -> dict[str, set[str]]:
    """The metrics that expressions name, recorded ones aside, with the labels they ask for."""
    histograms = {name for name, kind in documented_metrics().items() if kind == "histogram"} | set(NOT_YET)
    found: dict[str, set[str]] = {}
    for expr in exprs:
        for selector in selectors(expr):
            if selector.metric in recorded() | OF_PROMETHEUS:
                continue
            labels = found.setdefault(family_of(selector.metric, histograms), set())
            labels.update(label for label, _, _ in selector.matchers)
    return found


def every_expr() -> dict[str, str]:
    """Every expression of every panel, variable and rule, by where it stands."""
    exprs = {}
    for dashboard in dashboards():
        exprs |= {f"{panel.where}, {n}": expand(expr) for panel in dashboard.panels for n, expr in enumerate(panel.exprs, 1)}
        exprs |= {f"{dashboard.title}, ${name}": expand(label_values(query)[0]) for name, query in dashboard.variable_queries().items()}
    # Critical and warning of one name stand in one file.
    return exprs | {f"{rule.where}, {n}": rule.json["expr"] for n, rule in enumerate(rules())}


def test_every_panel_shows_data_after_ordinary_traffic(stage):
    problems = []
    for dashboard in dashboards():
        for panel in dashboard.panels:
            exprs = [expand(expr, stage.agent) for expr in panel.exprs]
            shown = [expr for expr in exprs if not NOT_YET.keys() & named([expr])]
            problems += [f"{panel.where}: nothing for {expr}" for expr in shown if not stage.has_data(expr)]
    assert not problems, "\n".join(problems)


def test_every_agent_can_be_chosen_and_looked_at(stage):
    agents = {series["agent_id"] for series in stage.prometheus.series("grantex_agent_token_exchange_total")}
    assert agents == {*stage.traffic.agents, stage.traffic.live_agent, "other"}
    dashboard = next(dashboard for dashboard in dashboards() if "agent_id" in dashboard.variable_queries())
    problems = []
    for agent in stage.traffic.agents:
        for panel in dashboard.panels:
            problems += [f"{agent}: {panel.title}: nothing" for expr in panel.exprs if not stage.has_data(expand(expr, agent))]
    assert not problems, "\n".join(problems)


def test_every_variable_lists_values(stage):
    problems = []
    for dashboard in dashboards():
        for name, query in dashboard.variable_queries().items():
            selector, label = label_values(expand(query))
            if not NOT_YET.keys() & named([selector]) and not any(label in s for s in stage.prometheus.series(selector)):
                problems.append(f"{dashboard.title}: ${name} has no values")
        annotations = dashboard.json["annotations"]["list"]
        problems += [f"{dashboard.title}: {a['name']} marks nothing" for a in annotations if not stage.has_data(expand(a["expr"]))]
    assert not problems, "\n".join(problems)


def test_panels_and_rules_name_only_what_the_server_exports(stage):
    exported, exprs = stage.exported(), every_expr()
    problems = []
    for where, expr in exprs.items():
        for selector in selectors(expr):
            metric = family_of(selector.metric, {name for name, kind in exported.items() if kind == "histogram"} | set(NOT_YET))
            if metric in NOT_YET or metric in recorded() | OF_PROMETHEUS:
                continue
            if metric not in exported:
                problems.append(f"{where}: the server does not export {metric}")
                continue
            series = stage.prometheus.series(selector.metric)
            known = set().union(*series)
            wanted = {label for label, _, _ in selector.matchers}
            problems += [f"{where}: {metric} has no label {label}" for label in wanted - known]
            # Routes and status codes begin with their first request; all other values are there from the start.
            first = {"route", "status_code"}
            matchers = ",".join(f"{label}{op}{json.dumps(value)}" for label, op, value in selector.matchers if label not in first)
            if not stage.prometheus.series(f"{selector.metric}{{{matchers}}}"):
                problems.append(f"{where}: nothing is {selector}")
        known_labels = {"le", "job", "instance", "slo"}
        for selector in selectors(expr):
            known_labels |= set().union(*stage.prometheus.series(selector.metric)) if selector.metric else set()
        if not NOT_YET.keys() & named([expr]):
            problems += [f"{where}: groups by {label}, which nothing has" for label in grouping_labels(expr) - known_labels]
    assert not problems, "\n".join(problems)


def test_what_is_not_there_yet_is_really_not_there(stage):
    exported = stage.exported()
    assert [name for name in NOT_YET if name in exported] == [], "take these off the list"
    assert set(NOT_YET) <= set(named(every_expr().values())), "nobody asks for these"


def test_the_documentation_lists_what_the_server_exports(stage):
    exported, documented = stage.exported(), documented_metrics()
    assert {name: documented.get(name) for name in exported} == exported
    assert documented.keys() - exported.keys() == set(), "documented, and not exported"


def test_the_exposition_has_no_flaws(stage):
    text = stage.server.http.get("/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_rules_are_evaluated_without_problems(stage):
    assert stage.prometheus.rule_problems() == []


def test_faults_cover_every_alert():
    expected = {Expected(rule.alert, rule.severity, rule.json["labels"].get("window", "")) for rule in alerts()}
    caused = [alert for phase in PHASES.values() for fault in phase for alert in fault.causes]
    assert sorted(caused) == sorted(expected - {Expected("GrantexWatchdog", "none")})


def test_each_fault_causes_its_alerts_and_they_clear(stage, capsys):
    wait_until(lambda: stage.receiver.find(alertname="GrantexWatchdog"), "the dead man's switch to arrive", seconds=30)
    loud = {name for name in stage.firing() if not TIMES.search(name)}
    assert loud == {"GrantexWatchdog"}, f"without a fault, these fire: {loud}"
    rows = []
    for phase, faults in PHASES.items():
        rows += run_phase(stage, phase, faults)
    with capsys.disabled():
        print("\n\n| alert | severity | fault | real | fired after | cleared after |\n|---|---|---|---|---|---|")
        for row in rows:
            print("| " + " | ".join(row) + " |")
    assert not [row for row in rows if "never" in row], "see the table above"
    assert stage.prometheus.rule_problems() == []
    for told in stage.receiver.told:
        name = told.labels["alertname"]
        assert told.annotations["runbook_url"] == f"https://git.example/docs/runbooks/{name}.md"
        assert told.annotations["dashboard_url"].startswith("https://grafana.example/d/grantex-")
        assert not [label for label in told.labels if label.startswith("grantex_")], "links are no labels"


def run_phase(stage, phase, faults):
    """Injects the faults of a phase together, waits for their alerts, ends them, and waits until all have cleared."""
    until = threading.Event()
    began = time.monotonic()
    injections = [stage.threads.submit(fault.inject, stage.world, until) for fault in faults]
    waiting = [(fault, alert) for fault in faults for alert in fault.causes]

    def told(alert):
        return [t for t in stage.receiver.find(**alert.labels()) if t.fired_at and t.fired_at > began]

    def failed():
        return any(injection.done() for injection in injections)

    quietly(lambda: failed() or all(told(alert) for _, alert in waiting), seconds=75)
    fired = {alert: min((t.fired_at for t in told(alert)), default=None) for _, alert in waiting}
    until.set()
    ended = time.monotonic()
    for injection in injections:
        injection.result(timeout=60)

    def cleared(alert):
        return told(alert) and all(t.cleared_at for t in told(alert))

    quietly(lambda: all(cleared(alert) for _, alert in waiting if fired[alert]), seconds=75)
    rows = []
    for fault, alert in waiting:
        after = f"{fired[alert] - began:.0f} s" if fired[alert] else "never"
        gone = f"{max(0, max(t.cleared_at for t in told(alert)) - ended):.0f} s" if fired[alert] and cleared(alert) else "never"
        rows.append((f"{alert.alert} {alert.window}".strip(), alert.severity, fault.name, "yes" if fault.is_real else "told", after, gone))
    return rows


def quietly(condition, seconds):
    """Waits, and leaves it to the table to say what did not happen."""
    try:
        wait_until(condition, "alerts", seconds=seconds, every=0.2)
    except AssertionError:
        pass
