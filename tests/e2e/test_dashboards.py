"""The dashboards keep the rules of Grafana's dashboard linter; what breaks one on purpose says why."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import yaml

from harness.artefacts import GRAFANA, PROVISIONED, Dashboard, Panel, dashboards, label_values
from harness.promql import selectors

# Told apart from every range that somebody might write.
RATE_INTERVAL, RANGE = timedelta(seconds=4242), timedelta(seconds=4243)
# Of Grafana's list of units, those that are used here.
UNITS = {"short", "ops", "opm", "percentunit", "s", "bytes", "none"}
ALL = [*dashboards(GRAFANA), *dashboards(PROVISIONED)]

Problems = Iterator[tuple[str | None, str]]  # the panel, if it is one's, and what is wrong


def source(dashboard: Dashboard) -> str:
    return "${DS_PROMETHEUS}" if dashboard.is_imported else "${datasource}"


def expand(expr: str) -> str:
    return expr.replace("$__rate_interval", "4242s").replace("$__range", "4243s")


def targets(dashboard: Dashboard) -> Iterator[tuple[Panel, str]]:
    for panel in dashboard.panels:
        for expr in panel.exprs:
            yield panel, expand(expr)


def template_datasource(dashboard: Dashboard) -> Problems:
    found = [(v["name"], v["label"], v["query"]) for v in dashboard.variables if v["type"] == "datasource"]
    if found != [("datasource", "Data source", "prometheus")]:
        yield None, f"its data source variables are {found}"


def template_variable(name: str, label: str):
    def rule(dashboard: Dashboard) -> Problems:
        found = [v for v in dashboard.variables if v["name"] == name]
        if len(found) != 1:
            yield None, f"{len(found)} variables {name}"
            return
        variable = found[0]
        expected = {"type": "query", "label": label, "multi": True, "includeAll": True, "allValue": ".+"}
        for key, value in expected.items():
            if variable.get(key) != value:
                yield None, f"{name}: {key} is {variable.get(key)!r}, not {value!r}"
        if variable["datasource"] != {"type": "prometheus", "uid": source(dashboard)}:
            yield None, f"{name}: its data source is {variable['datasource']}"

    return rule


def template_label_promql(dashboard: Dashboard) -> Problems:
    for name, query in dashboard.variable_queries().items():
        try:
            selectors(label_values(query)[0])
        except (ValueError, AssertionError) as error:
            yield None, f"{name}: {error}"


def template_on_time_change_reload(dashboard: Dashboard) -> Problems:
    for variable in dashboard.variables:
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield None, f"{variable['name']} is not asked anew when the time changes"


def panel_datasource(dashboard: Dashboard) -> Problems:
    for panel in dashboard.panels:
        for shown in (panel.json, *panel.json["targets"]):
            if shown["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
                yield panel.title, f"its data source is {shown['datasource']}"


def panel_title_description(dashboard: Dashboard) -> Problems:
    for panel in dashboard.panels:
        if not panel.title or len(panel.json["description"]) < 20:
            yield panel.title, "title or description is missing"


def panel_units(dashboard: Dashboard) -> Problems:
    for panel in dashboard.panels:
        if panel.json["fieldConfig"]["defaults"].get("unit") not in UNITS:
            yield panel.title, "no known unit"


def panel_no_targets(dashboard: Dashboard) -> Problems:
    for panel in dashboard.panels:
        if not panel.json["targets"]:
            yield panel.title, "no query"


def target_logql(dashboard: Dashboard) -> Problems:
    for panel in dashboard.panels:
        for target in panel.json["targets"]:
            if target["datasource"]["type"] != "prometheus":
                yield panel.title, "asks for logs; this linter would have to learn LogQL first"


def target_logql_auto(dashboard: Dashboard) -> Problems:
    for panel in dashboard.panels:
        if any("$__auto" in expr for expr in panel.exprs):
            yield panel.title, "$__auto belongs into LogQL"


def target_promql(dashboard: Dashboard) -> Problems:
    for panel, expr in targets(dashboard):
        try:
            selectors(expr)
        except ValueError as error:
            yield panel.title, f"{expr}: {error}"


def target_rate_interval(dashboard: Dashboard) -> Problems:
    for panel, expr in targets(dashboard):
        for selector in selectors(expr):
            allowed = (RATE_INTERVAL, RANGE) if selector.inside[:1] == ("increase",) else (RATE_INTERVAL,)
            if selector.range is not None and selector.range not in allowed:
                yield panel.title, f"{selector} has a range of its own"


def target_matcher(label: str):
    def rule(dashboard: Dashboard) -> Problems:
        for panel, expr in targets(dashboard):
            for selector in selectors(expr):
                if (label, "=~", f"${label}") not in selector.matchers:
                    yield panel.title, f"{selector} does not choose by {label}"

    return rule


def target_counter_agg(dashboard: Dashboard) -> Problems:
    for panel, expr in targets(dashboard):
        for selector in selectors(expr):
            is_rate = selector.range is not None and selector.inside[:1] in {("rate",), ("irate",), ("increase",)}
            if selector.metric.endswith("_total") and not is_rate:
                yield panel.title, f"{selector} is a counter without a rate"


def uneditable_dashboard(dashboard: Dashboard) -> Problems:
    if dashboard.json["editable"] is not False:
        yield None, "it can be edited, and the changes would be lost"


RULES = {
    "template-datasource-rule": template_datasource,
    "template-job-rule": template_variable("job", "Job"),
    "template-instance-rule": template_variable("instance", "Instance"),
    "template-label-promql-rule": template_label_promql,
    "template-on-time-change-reload-rule": template_on_time_change_reload,
    "panel-datasource-rule": panel_datasource,
    "panel-title-description-rule": panel_title_description,
    "panel-units-rule": panel_units,
    "panel-no-targets-rule": panel_no_targets,
    "target-logql-rule": target_logql,
    "target-logql-auto-rule": target_logql_auto,
    "target-promql-rule": target_promql,
    "target-rate-interval-rule": target_rate_interval,
    "target-job-rule": target_matcher("job"),
    "target-instance-rule": target_matcher("instance"),
    "target-counter-agg-rule": target_counter_agg,
    "uneditable-dashboard-rule": uneditable_dashboard,
}


def exceptions(dashboard: Dashboard, rule: str) -> set[str] | None:
    """The panels that may break a rule; None when the whole dashboard may."""
    entry = yaml.safe_load((dashboard.path.parent / ".lint").read_text())["exclusions"].get(rule)
    if entry is None:
        return set()
    assert len(entry["reason"]) > 20, f"{rule} is broken without a reason"
    if "entries" not in entry:
        return None
    return {exception["panel"] for exception in entry["entries"] if exception["dashboard"] == dashboard.title}


@pytest.mark.parametrize("rule", RULES)
def test_dashboards_keep_the_rule(rule):
    problems = []
    for dashboard in ALL:
        allowed, broken = exceptions(dashboard, rule), set()
        for panel, problem in RULES[rule](dashboard):
            broken.add(panel)
            if allowed is not None and panel not in allowed:
                problems.append(f"{dashboard.path.name}: {panel or 'the dashboard'}: {problem}")
        needless = set() if allowed is None else allowed - broken
        problems += [f"{dashboard.path.name}: the exception for {panel} is not needed" for panel in needless]
        if allowed is None and not broken:
            problems.append(f"{dashboard.path.name}: the exception is not needed")
    assert not problems, "\n".join(problems)


def test_imported_dashboards_ask_for_their_data_source_and_use_it_everywhere():
    imported = dashboards(GRAFANA)
    assert {d.path.name for d in imported} >= {"overview-dashboard.json", "per-agent-dashboard.json"}
    for dashboard in imported:
        inputs = [(i["name"], i["type"], i["pluginId"]) for i in dashboard.json["__inputs"]]
        assert inputs == [("DS_PROMETHEUS", "datasource", "prometheus")]
        used = [shown["datasource"] for panel in dashboard.panels for shown in (panel.json, *panel.json["targets"])]
        used += [v["datasource"] for v in dashboard.variables if v["type"] == "query"]
        assert all(one == {"type": "prometheus", "uid": "${DS_PROMETHEUS}"} for one in used)
        kinds = {panel.json["type"] for panel in dashboard.panels}
        assert {r["id"] for r in dashboard.json["__requires"] if r["type"] == "panel"} == kinds


def test_both_variants_differ_in_their_data_source_only():
    for imported, provisioned in zip(dashboards(GRAFANA), dashboards(PROVISIONED), strict=True):
        assert imported.path.name == provisioned.path.name
        assert [p.exprs for p in imported.panels] == [p.exprs for p in provisioned.panels]
        assert "__inputs" not in provisioned.json and "DS_PROMETHEUS" not in provisioned.path.read_text()


def test_quantiles_are_taken_of_sums():
    for dashboard in ALL:
        for panel, expr in targets(dashboard):
            quantiles = expr.count("histogram_quantile(")
            sums = len(re.findall(r"histogram_quantile\([\d.]+, sum by \(le\b", expr))
            assert quantiles == sums, f"{panel.where}: several instances would give several lines"


def test_the_overview_shows_what_operators_were_promised():
    titles = [panel.title for panel in next(d for d in ALL if d.json["uid"] == "grantex-overview").panels]
    assert {
        "Token Exchange Rate", "Token Exchange Success Rate", "Token Exchange Latency", "Authorization Latency",
        "Grants Revoked", "Active Grants", "Webhook Deliveries", "Anomalies Detected", "HTTP Error Rate",
    } <= set(titles)


def test_the_agent_dashboard_can_be_asked_for_an_agent():
    dashboard = next(d for d in ALL if d.json["uid"] == "grantex-per-agent")
    assert "agent_id" in dashboard.variable_queries()
    links = [link["url"] for link in dashboard.json["links"] if link["type"] == "link"]
    assert len(links) == 2 and all("${agent_id" in url for url in links), "to its log and to its audit entries"
