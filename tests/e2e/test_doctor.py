"""The doctor: what is well and what is not, with advice, exit codes and deadlines, against real services."""

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import sqlite3

import pytest
import yaml

from conftest import running_server
from harness.artefacts import RULES, alerts
from harness.developer import Developer
from harness.postgres import Cluster, run_sql
from harness.waiting import free_port, wait_until
from harness.watchers import Alertmanager, AlertReceiver, Exposition, Prometheus

SHIPPED = sorted(RULES.glob("*.yml"))
DAY = 24 * 3600 * 1000


class Diagnosis:
    """What the doctor of a server says."""

    def __init__(self, server, *arguments, **environment):
        kept = dict(server.environment)
        server.environment = kept | environment
        try:
            done = server.run("doctor", "--json", *arguments)
        finally:
            server.environment = kept
        self.code, self.text, self.stderr = done.returncode, done.stdout, done.stderr
        self.report = json.loads(done.stdout)
        for finding in self.report["findings"]:
            assert (finding["do"] is None) == (finding["status"] == "ok"), f"ok, or advice: {finding}"
        levels = [finding["status"] for finding in self.report["findings"]]
        worst = next(level for level in ("failed", "warning", "ok") if level in levels)
        assert self.report["status"] == worst
        assert self.code == (2 if "the configuration has" in self.stderr else int(worst == "failed")), self.stderr

    def of(self, check: str) -> list[tuple[str, str]]:
        return [(f["status"], f["what"]) for f in self.report["findings"] if f["check"] == check]

    def one(self, check: str) -> tuple[str, str]:
        found = self.of(check)
        assert len(found) == 1, f"{check}: {self.report}"
        return found[0]

    def bad(self) -> dict[str, str]:
        """What is not ok: the level by the check. The disk of this machine is nobody's business here."""
        return {f["check"]: f["status"] for f in self.report["findings"] if f["status"] != "ok" and f["check"] != "disk"}


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def services(tmp_path):
    """Starts a Prometheus and an Alertmanager as a test wants them."""
    with contextlib.ExitStack() as stack:
        def directory(name):
            path = tmp_path / f"{name}-{secrets.token_hex(3)}"
            path.mkdir()
            return path

        class Services:
            def prometheus(self, targets=(), rules=tuple(SHIPPED), alertmanager=None):
                started = Prometheus(directory("prometheus"), list(rules), alertmanager)
                stack.callback(started.stop)
                started.set_targets(list(targets))
                return started.start()

            def alertmanager(self, receiver=None, change=None):
                started = Alertmanager(directory("alertmanager"), receiver)
                stack.callback(started.stop)
                if change:
                    path = started.directory / "alertmanager.yml"
                    config = yaml.safe_load(path.read_text())
                    change(config)
                    path.write_text(yaml.safe_dump(config))
                return started.start()

            def receiver(self):
                receiver = AlertReceiver()
                stack.callback(receiver.close)
                return receiver

        yield Services()


def loaded(prometheus):
    """Waits until the rules are there."""
    wait_until(lambda: prometheus._get("rules")["groups"], "the rules to be loaded", seconds=60, every=0.1)


def test_a_well_server_is_well(server):
    found = Diagnosis(server)
    assert found.bad() == {}
    assert found.one("schema") == ("ok", "up to date")
    assert found.one("server") == ("ok", "is ready")
    assert "1 published" in found.one("signing keys")[1]
    assert found.one("database")[1].startswith(f"{server.backend}: of 21 reads the median took ")
    assert ("clock" in {f["check"] for f in found.report["findings"]}) == (server.backend == "postgres")
    # The text says the same.
    done = server.run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if not line.lstrip().startswith("do: ")]
    assert [line.split(":")[0].split(None, 1)[1] for line in lines] == [f["check"] for f in found.report["findings"]]


def test_everything_is_connected(sandbox, server, services):
    receiver = services.receiver()
    alertmanager = services.alertmanager(receiver)
    prometheus = services.prometheus([f"127.0.0.1:{server.port}"], alertmanager=alertmanager)
    wait_until(lambda: prometheus.is_up(f"127.0.0.1:{server.port}"), "the server to be scraped", seconds=30)
    loaded(prometheus)
    wait_until(lambda: prometheus._get("alertmanagers")["activeAlertmanagers"], "Prometheus to know Alertmanager", seconds=30)
    found = Diagnosis(server, "--prometheus", prometheus.url, "--alertmanager", alertmanager.url, "--alert-severity", "critical",
                      "--alert-category", "security")
    assert "failed" not in found.bad().values(), found.report
    assert found.one("targets") == ("ok", "1 of 1 are up")
    assert found.one("rules") == ("ok", f"all {len({rule.alert for rule in alerts()})} alerts are loaded")
    assert found.one("alerting") == ("ok", "Prometheus tells 1 Alertmanager")
    assert [what for _, what in found.of("clock")][-2:] == [
        "agrees with that of Prometheus", "agrees with that of Alertmanager"]
    level, what = found.one("test alert")
    assert level == "ok" and what.startswith("was routed to security-pager, and Alertmanager has sent by webhook since")
    probe = what.rsplit("GrantexTest, ", 1)[1]
    # It really arrived, where it was said to, and was ended.
    told = wait_until(lambda: receiver.find(alertname="GrantexTest", instance=probe), "the test alert", seconds=30)
    assert [(each.receiver, each.labels["severity"]) for each in told] == [("security-pager", "critical")]
    wait_until(lambda: told[0].cleared_at, "the test alert to be ended", seconds=30)


def test_targets_that_are_not_scraped(tmp_path, admin_url, services):
    key = "metrics-" + secrets.token_hex(16)
    with running_server("sqlite", tmp_path / "server", admin_url, METRICS_API_KEY=key) as closed:
        nobody = f"127.0.0.1:{free_port()}"
        prometheus = services.prometheus([f"127.0.0.1:{closed.port}", nobody])

        def all_down():
            targets = prometheus._get("targets")["activeTargets"]
            return len(targets) == 2 and all(target["health"] == "down" for target in targets)

        wait_until(all_down, "both targets to be down", seconds=30)
        loaded(prometheus)
        found = Diagnosis(closed, "--prometheus", prometheus.url)
        assert {level for level, _ in found.of("targets")} == {"failed"}
        advice = {f["what"].split(" is down")[0]: f["do"] for f in found.report["findings"] if f["check"] == "targets"}
        assert "METRICS_API_KEY" in advice[f"127.0.0.1:{closed.port}"]
        assert "start the server" in advice[nobody]
        assert found.one("alerting") == ("failed", "Prometheus knows no Alertmanager")
        assert key not in found.text + found.stderr
        other = Diagnosis(closed, "--prometheus", prometheus.url, "--job", "another")
        assert other.one("targets") == ("failed", "Prometheus has no target of the job another")


def test_rules_that_are_not_loaded(server, services):
    prometheus = services.prometheus([f"127.0.0.1:{server.port}"], rules=[path for path in SHIPPED if path.name != "webhooks.yml"])
    loaded(prometheus)
    level, what = Diagnosis(server, "--prometheus", prometheus.url).one("rules")
    missing = {rule.alert for rule in alerts() if rule.file == "webhooks.yml"}
    assert level == "failed"
    assert set(what.split(": ")[1].split()) == missing


def test_an_alert_that_fires_is_told(server, services):
    # Nothing is scraped, and this one does not wait.
    loud = "groups: [{name: g, rules: [{alert: GrantexDown, expr: vector(1)}]}]"
    directory = services.prometheus().directory
    (directory / "loud.yml").write_text(loud)
    prometheus = services.prometheus(rules=[directory / "loud.yml"])
    wait_until(lambda: [a for a in prometheus.alerts() if a["state"] == "firing"], "the alert to fire", seconds=30)
    assert Diagnosis(server, "--prometheus", prometheus.url).one("alerts") == ("warning", "these fire: GrantexDown")


def test_a_receiver_that_is_away(server, services):
    alertmanager = services.alertmanager()
    level, what = Diagnosis(server, "--alertmanager", alertmanager.url).one("test alert")
    assert (level, what) == ("failed", "was routed to tickets, and sending by webhook failed")
    assert wait_until(lambda: not alertmanager.http.get("/api/v2/alerts").json(), "the test alert to be ended")


def test_an_alert_that_is_not_sent_in_time(server, services):
    def wait_long(config):
        for route in (config["route"], *config["route"]["routes"]):
            route["group_wait"] = "10m"

    alertmanager = services.alertmanager(services.receiver(), change=wait_long)
    level, what = Diagnosis(server, "--alertmanager", alertmanager.url, "--wait", "1s").one("test alert")
    assert (level, what) == ("failed", "was routed to tickets, which was not told within 1 s")


def test_an_alert_that_is_silenced(server, services):
    receiver = services.receiver()
    alertmanager = services.alertmanager(receiver)
    answer = alertmanager.http.post("/api/v2/silences", json={
        "matchers": [{"name": "service", "value": "grantex", "isRegex": False}], "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2099-01-01T00:00:00Z", "createdBy": "test", "comment": "test",
    })
    assert answer.status_code == 200, answer.text
    assert Diagnosis(server, "--alertmanager", alertmanager.url).one("test alert") == (
        "failed", "is muted by a silence or an inhibition")
    assert receiver.told == []


@pytest.fixture
def mute():
    """A port that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_services_that_do_not_answer_are_not_waited_for(server, mute):
    found = Diagnosis(server, "--prometheus", url(mute), "--alertmanager", url(free_port()))
    assert found.one("prometheus") == ("failed", "cannot be asked: there was no answer in time")
    assert found.one("alertmanager") == ("failed", "cannot be asked: the connection failed")


def test_services_that_are_something_else(server):
    stranger = Exposition("no JSON\n")
    try:
        found = Diagnosis(server, "--prometheus", f"http://{stranger.address}")
        assert found.one("prometheus") == ("failed", "cannot be asked: the answer is no JSON")
    finally:
        stranger.close()


@pytest.mark.parametrize("arguments", [
    ("--prometheus", "http://user:pass-in-url@127.0.0.1:9090"), ("--prometheus", "127.0.0.1:9090"), ("--alertmanager", "ftp://a"),
    ("--alertmanager", "http://a/?token=x"), ("--job", 'a"}'), ("--wait", "soon"), ("--alert-severity", "none"),
])
def test_arguments_that_cannot_be_meant_are_refused(server, arguments):
    done = server.run("doctor", *arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert "pass-in-url" not in done.stderr and "token=x" not in done.stderr, "it may be a secret"


def test_a_wrong_configuration_is_code_2(server):
    found = Diagnosis(server, PORT="eighty", REFRESH_GRACE="soon")
    assert found.code == 2
    assert sorted(what.split(":")[0] for _, what in found.of("configuration")) == ["PORT", "REFRESH_GRACE"]


def test_a_warning_is_no_failure(server):
    found = Diagnosis(server, WEBHOOK_ALLOW_PRIVATE_HOSTS="true")
    assert (found.code, found.bad()) == (0, {"configuration": "warning"})


def test_no_secret_is_told(tmp_path, server):
    marked = {name: f"marked-{name}-{secrets.token_hex(8)}" for name in ("ADMIN_API_KEY", "METRICS_API_KEY", "SEED_API_KEY")}
    marked["DATABASE_URL"] = "postgres://marked-user:marked-password@127.0.0.1:1/marked"
    marked["GRANTEX_MASTER_KEY"] = "5ec2e7" * 10 + "5ec2"
    token = tmp_path / "token"
    token.write_text("marked-bearer-token")
    nobody = url(free_port())
    arguments = ("--prometheus", nobody, "--alertmanager", nobody, "--bearer-token-file", str(token))
    found = Diagnosis(server, *arguments, **marked)
    assert found.one("database")[0] == "failed"
    said = found.text + found.stderr
    for secret in (*marked.values(), "marked-password", "marked-bearer-token"):
        assert secret not in said


def test_a_bearer_token_is_presented(tmp_path, server):
    seen = []
    stranger = Exposition()
    handler = stranger.server.RequestHandlerClass
    answer = handler.do_GET

    def remember(self):
        seen.append(self.headers["Authorization"])
        answer(self)

    handler.do_GET = remember
    try:
        token = tmp_path / "token"
        token.write_text("a-token\n")
        Diagnosis(server, "--prometheus", f"http://{stranger.address}", "--bearer-token-file", str(token))
        assert seen and set(seen) == {"Bearer a-token"}
        missing = Diagnosis(server, "--prometheus", f"http://{stranger.address}", "--bearer-token-file", str(tmp_path / "none"))
        assert missing.one("bearer token")[0] == "failed"
    finally:
        stranger.close()


def change(server, sql):
    """Changes the database of a server that has been stopped."""
    place = server.environment["DATABASE_URL"]
    if place.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(place.removeprefix("sqlite:"))) as database, database:
            database.execute(sql)
    else:
        run_sql(place, sql)


def test_keys_grow_old(own_server):
    server = own_server()
    server.stop()
    not_running = ("ok", f"does not run here: nothing listens on port {server.port}")
    assert Diagnosis(server).one("server") == not_running
    change(server, f"UPDATE signing_keys SET created_at = created_at - {91 * DAY}, activates_at = activates_at - {91 * DAY}")
    level, what = Diagnosis(server).one("key age")
    assert level == "warning" and "was made 91 days ago" in what
    assert Diagnosis(server, "--max-key-age", "92d").one("key age")[0] == "ok"
    # One that is on its way is what the advice asks for, for keys of each kind.
    assert server.run("keys", "rotate").returncode == 0
    assert Diagnosis(server).one("key age")[0] == "ok"
    level, what = Diagnosis(server).one("root key age")
    assert level == "warning" and "was made 91 days ago" in what
    assert server.run("keys", "rotate", "--biscuit").returncode == 0
    assert Diagnosis(server).one("root key age")[0] == "ok"


def test_a_key_from_the_future_tells_of_a_wrong_clock(own_server):
    server = own_server()
    server.stop()
    change(server, f"UPDATE signing_keys SET created_at = created_at + {DAY}")
    found = Diagnosis(server)
    level, what = found.of("clock")[-1]
    assert level == "failed" and "in the future" in what


def test_another_master_key(server):
    found = Diagnosis(server, GRANTEX_MASTER_KEY="ab" * 32)
    level, what = found.one("signing keys")
    assert level == "failed" and "cannot be opened with this master key" in what


def test_a_backlog_is_told(own_server):
    server = own_server(WEBHOOK_ALLOW_PRIVATE_HOSTS="true", WEBHOOK_ALLOW_INSECURE_URLS="true")
    developer = Developer(server, "sandbox")
    hook = {"url": f"{url(free_port())}/hook", "events": ["*"]}
    assert developer.http.post("/v1/webhooks", json=hook).status_code == 201
    # From now on nobody delivers.
    server.stop()
    server.environment["WEBHOOKS_ENABLED"] = "false"
    server.start()
    agent = developer.agent()
    for _ in range(20):
        developer.issue(agent)
    minutes = lambda count: change(server, f"UPDATE webhook_deliveries SET created_at = created_at - {count * 60_000}")
    minutes(61)
    assert Diagnosis(server).one("backlog")[0] == "ok", "old, and not many: one receiver that refuses is no backlog"
    minutes(-61)
    while backlog_of(server) <= 100:
        developer.issue(agent)
    server.stop()
    developer.close()
    assert Diagnosis(server).one("backlog")[0] == "ok", "many, and young"
    for count, level in ((6, "warning"), (61, "failed")):
        minutes(count)
        assert Diagnosis(server).one("backlog")[0] == level


def backlog_of(server) -> int:
    """The deliveries that the doctor counts as due."""
    return int(re.match(r"(\d+) webhook deliveries are due", Diagnosis(server).one("backlog")[1])[1])


def test_an_old_schema(tmp_path, server, admin_url):
    empty = tmp_path / "empty.db"
    empty.touch()
    place = {"DATABASE_URL": f"sqlite:{empty}", "GRANTEX_MASTER_KEY": "ab" * 32}
    assert Diagnosis(server, **place).one("schema")[0] == "warning"
    refused = Diagnosis(server, MIGRATE_ON_START="false", **place)
    assert refused.one("schema")[0] == "failed"
    assert "grantex-server migrate" in refused.text
    assert Diagnosis(server, **place).one("schema")[0] == "warning", "a doctor does not migrate"


def test_a_database_that_is_away(server):
    found = Diagnosis(server, DATABASE_URL=f"postgres://grantex@127.0.0.1:{free_port()}/grantex", GRANTEX_MASTER_KEY="ab" * 32)
    assert found.one("database")[0] == "failed"


def test_a_database_that_hangs_is_not_waited_for(server, mute):
    found = Diagnosis(server, DATABASE_URL=f"postgres://grantex@127.0.0.1:{mute}/grantex", GRANTEX_MASTER_KEY="ab" * 32)
    assert found.one("database")[0] == "failed"


def test_a_database_that_stalls_is_not_waited_for(tmp_path, admin_url):
    cluster = Cluster()
    try:
        with running_server("postgres", tmp_path / "server", admin_url, database_url=cluster.url) as server:
            cluster.freeze()
            try:
                found = Diagnosis(server)
            finally:
                cluster.thaw()
            assert found.one("database")[0] == "failed"
            wait_until(lambda: server.http.get("/ready").status_code == 200, "the server to recover", seconds=60)
    finally:
        cluster.destroy()


def test_a_server_that_hangs(own_server):
    server = own_server()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        found = Diagnosis(server)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    level, what = found.one("server")
    assert level == "failed" and "timed out" in what
