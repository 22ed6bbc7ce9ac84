"""The alert rules say what they should, have unit tests of every kind, and lead to runbooks that exist."""

import re
import subprocess

import pytest
import yaml

from harness.artefacts import PROMETHEUS_CONFIG, RULE_TESTS, RULES, RUNBOOKS, alerts, dashboards, recorded, rules
from harness.promql import selectors

SEVERITIES, CATEGORIES = {"critical", "warning", "info", "none"}, {"reliability", "security", "meta"}
ALERTS = sorted({rule.alert for rule in alerts()})
KINDS = ("fires", "stays silent", "boundary", "missing series")
RUNBOOK = re.compile(r"^\{\{ \$externalLabels\.grantex_runbooks \}\}/docs/runbooks/(\w+\.md)$")
DASHBOARD = re.compile(r"^\{\{ \$externalLabels\.grantex_grafana \}\}/d/([\w-]+)$")


def promtool(*arguments) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_rules_and_configuration_are_valid():
    promtool("check", "rules", "--lint-fatal", *RULES.glob("*.yml"))
    promtool("check", "config", "--syntax-only", PROMETHEUS_CONFIG)


def test_unit_tests_of_rules_pass():
    promtool("test", "rules", *RULE_TESTS.glob("*.yml"))


def test_every_alert_is_tested_and_nothing_else():
    assert sorted(path.stem for path in RULE_TESTS.glob("*.yml")) == ALERTS


@pytest.mark.parametrize("alert", ALERTS)
def test_unit_tests_cover(alert):
    """Firing, silence, boundary and missing series; and each severity fires somewhere."""
    tests = yaml.safe_load((RULE_TESTS / f"{alert}.yml").read_text())["tests"]
    for kind in KINDS:
        assert any(test["name"].startswith(kind) for test in tests), f"no test {alert}: {kind}"
    asked = [check for test in tests for check in test["alert_rule_test"]]
    assert {check["alertname"] for check in asked} == {alert}
    fired = {each["exp_labels"]["severity"] for check in asked for each in check.get("exp_alerts", [])}
    assert fired == {rule.severity for rule in alerts() if rule.alert == alert}
    # What it waits for is tested too: something does not fire, unless it always does.
    assert alert == "GrantexWatchdog" or any(not check.get("exp_alerts") for check in asked)


def test_labels_and_annotations():
    boards = {dashboard.json["uid"] for dashboard in dashboards()}
    problems = []
    for rule in alerts():
        labels, notes = rule.json["labels"], rule.json["annotations"]
        if labels["severity"] not in SEVERITIES or labels["category"] not in CATEGORIES or labels["service"] != "grantex":
            problems.append(f"{rule.where}: {labels}")
        if set(notes) != {"summary", "description", "runbook_url", "dashboard_url"}:
            problems.append(f"{rule.where}: its annotations are {sorted(notes)}")
            continue
        runbook, board = RUNBOOK.match(notes["runbook_url"]), DASHBOARD.match(notes["dashboard_url"])
        if not runbook or runbook.group(1) != f"{rule.alert}.md" or not (RUNBOOKS / runbook.group(1)).is_file():
            problems.append(f"{rule.where}: no runbook at {notes['runbook_url']}")
        if not board or board.group(1) not in boards:
            problems.append(f"{rule.where}: no dashboard at {notes['dashboard_url']}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("alert", ALERTS)
def test_runbooks_say_what_to_do(alert):
    text = (RUNBOOKS / f"{alert}.md").read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert headings == [alert, "What it means", "What to look at", "What to do"]
    for section in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        assert len(section.strip()) > 60, f"{alert}: a section says next to nothing"
    for query in re.findall(r"```promql\n(.+?)\n```", text, re.DOTALL):
        for line in query.splitlines():
            selectors(line)


def test_no_runbook_is_without_its_alert():
    assert sorted(path.stem for path in RUNBOOKS.glob("*.md") if path.stem != "README") == ALERTS
    index = (RUNBOOKS / "README.md").read_text()
    assert [name for name in ALERTS if f"[{name}]({name}.md)" not in index] == []


def test_recorded_series_are_all_there():
    used = {s.metric for rule in rules() for s in selectors(rule.json["expr"]) if s.metric and ":" in s.metric}
    used |= {s.metric for d in dashboards() for p in d.panels for e in p.exprs
             for s in selectors(e.replace("$__rate_interval", "5m").replace("$__range", "1h")) if s.metric and ":" in s.metric}
    assert used <= recorded(), f"nobody records {used - recorded()}"


def test_the_three_alerts_that_every_installation_has():
    """Names, expressions and texts that others may rely on."""
    expected = {
        "HighTokenExchangeFailureRate": (
            'sum(rate(grantex_token_exchange_total{status!="success"}[5m]))\n'
            "/ sum(rate(grantex_token_exchange_total[5m])) > 0.05",
            "Token exchange failure rate > 5%",
        ),
        "HighAuthLatency": (
            "histogram_quantile(0.99, rate(grantex_authorize_duration_seconds_bucket[5m])) > 2",
            "Authorization p99 latency > 2s",
        ),
        "WebhookDeliveryFailure": (
            'sum(rate(grantex_webhook_deliveries_total{status="failed"}[5m]))\n'
            "/ sum(rate(grantex_webhook_deliveries_total[5m])) > 0.05",
            "Webhook delivery failure rate > 5%",
        ),
    }
    found = [rule for rule in alerts() if rule.group == "grantex"]
    assert {rule.alert: (rule.json["expr"].strip(), rule.json["annotations"]["summary"]) for rule in found} == expected
    assert {(rule.json["for"], rule.severity) for rule in found} == {("5m", "warning")}


def test_every_threshold_has_a_warning_and_a_critical():
    both = {"critical", "warning"}
    for alert in ("HighTokenExchangeFailureRate", "GrantexTokenRefreshFailures", "GrantexAnomalies", "GrantexWebhookSuccess",
                  "GrantexRateLimited", "GrantexAuthLatency", "GrantexHealthCheckFailing"):
        assert {rule.severity for rule in alerts() if rule.alert == alert} == both, alert
