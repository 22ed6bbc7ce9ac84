"""Alerts reach those who should know, and are muted only by what explains them."""

import subprocess

import pytest

from harness.artefacts import ALERTMANAGER_CONFIG, alerts
from harness.waiting import wait_until
from harness.watchers import Alertmanager

RECEIVER = {
    ("security", "critical"): "security-pager", ("security", "warning"): "security-tickets", ("security", "info"): "security-tickets",
    ("reliability", "critical"): "pager", ("reliability", "warning"): "tickets", ("reliability", "info"): "chat",
    ("meta", "warning"): "tickets", ("meta", "none"): "watchdog",
}


def amtool(*arguments) -> str:
    done = subprocess.run(["amtool", *map(str, arguments)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_valid():
    assert "SUCCESS" in amtool("check-config", ALERTMANAGER_CONFIG)


@pytest.mark.parametrize("category, severity", RECEIVER)
def test_alerts_are_routed_by_category_and_severity(category, severity):
    routed = [rule for rule in alerts() if (rule.json["labels"]["category"], rule.severity) == (category, severity)]
    # Also where no shipped alert is, so that one that is added finds its way.
    names = [rule.alert for rule in routed] or ["GrantexAnother"]
    for name in names:
        receiver = amtool(
            "config", "routes", "test", f"--config.file={ALERTMANAGER_CONFIG}",
            f"alertname={name}", f"severity={severity}", f"category={category}", "service=grantex",
        )
        assert receiver.strip() == RECEIVER[category, severity], name


def test_no_alert_is_outside_of_the_routes():
    assert {(rule.json["labels"]["category"], rule.severity) for rule in alerts()} <= RECEIVER.keys()


def alert(name, severity="warning", category="reliability", **labels):
    named = {"alertname": name, "severity": severity, "category": category, "service": "grantex", "cluster": "main"}
    return {key: value for key, value in (named | labels).items() if value}


MUTED = {
    "the warning of a critical alert": (
        alert("GrantexRateLimited", "critical", "security", job="grantex"), alert("GrantexRateLimited", category="security", job="grantex"), True),
    "the warning of another alert": (
        alert("GrantexRateLimited", "critical", "security", job="grantex"), alert("GrantexAnomalies", category="security", job="grantex"), False),
    "the warning about another instance": (
        alert("GrantexHealthCheckFailing", "critical", job="grantex", instance="a:1"),
        alert("GrantexHealthCheckFailing", job="grantex", instance="b:1"), False),
    "the warning about another promise": (
        alert("GrantexErrorBudgetBurn", "critical", job="grantex", slo="availability", window="1h"),
        alert("GrantexErrorBudgetBurn", job="grantex", slo="verify_latency", window="3d"), False),
    "the slow burn behind a fast one": (
        alert("GrantexErrorBudgetBurn", "critical", job="grantex", slo="availability", window="1h"),
        alert("GrantexErrorBudgetBurn", job="grantex", slo="availability", window="3d"), True),
    "a consequence of all servers being down": (
        alert("GrantexDown", "critical", job="grantex"), alert("WebhookDeliveryFailure"), True),
    "a critical consequence of all servers being down": (
        alert("GrantexDown", "critical", job="grantex"), alert("GrantexNotReady", "critical", job="grantex", instance="a:1"), True),
    "security while all servers are down": (
        alert("GrantexDown", "critical", job="grantex"), alert("GrantexReuseDetected", "critical", "security", job="grantex"), False),
    "the outage itself": (
        alert("GrantexAbsent", "critical", job="grantex"), alert("GrantexDown", "critical", job="grantex"), False),
    "another cluster's trouble": (
        alert("GrantexDown", "critical", job="grantex"), alert("HighAuthLatency", cluster="other"), False),
    "another service's trouble": (
        alert("GrantexDown", "critical", job="grantex"), alert("DiskFull", service="storage"), False),
    "latency while the database is away": (
        alert("GrantexDatabaseUnavailable", "critical", job="grantex", instance="a:1"), alert("HighAuthLatency", instance="b:1", job="grantex"), True),
    "webhook failures while the database is away": (
        alert("GrantexDatabaseUnavailable", "critical", job="grantex", instance="a:1"), alert("WebhookDeliveryFailure"), False),
    "an instance that is down while the database is away": (
        alert("GrantexDatabaseUnavailable", "critical", job="grantex", instance="a:1"),
        alert("GrantexHealthCheckFailing", "critical", job="grantex", instance="b:1"), False),
}


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    started = Alertmanager(tmp_path_factory.mktemp("alertmanager"))
    yield started.start()
    started.stop()


@pytest.mark.parametrize("case", MUTED)
def test_inhibition(alertmanager, case):
    cause, other, is_muted = MUTED[case]
    # A label of its own in `cluster` keeps the cases apart.
    cause, other = ({**each, "cluster": f"{each['cluster']} of {case}"} for each in (cause, other))
    alertmanager.post(cause, other)
    found = wait_until(lambda: alertmanager.alert(other), f"the alert {other} to be known")
    if is_muted:
        wait_until(lambda: alertmanager.alert(other)["status"]["inhibitedBy"], f"{other} to be muted by {cause}")
    else:
        # Both are known; what mutes is worked out when it is asked for.
        wait_until(lambda: alertmanager.alert(cause), f"the alert {cause} to be known")
        assert alertmanager.alert(other)["status"]["inhibitedBy"] == [], found
