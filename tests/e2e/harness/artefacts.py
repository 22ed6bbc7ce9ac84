"""The monitoring artefacts of the repository, as data: dashboards, rules, runbooks, the documented metrics."""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from .postgres import ROOT

GRAFANA = ROOT / "deploy/grafana"
PROVISIONED = GRAFANA / "provisioning/dashboards/grantex"
RULES = ROOT / "deploy/prometheus/rules"
RULE_TESTS = ROOT / "deploy/prometheus/tests"
PROMETHEUS_CONFIG = ROOT / "deploy/prometheus/prometheus.yml"
ALERTMANAGER_CONFIG = ROOT / "deploy/alertmanager/alertmanager.yml"
RUNBOOKS = ROOT / "docs/runbooks"
METRICS = ROOT / "docs/metrics.md"

# Metrics that Prometheus makes of a scrape, and of alerts.
OF_PROMETHEUS = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS"}


@dataclass(frozen=True)
class Query:
    """An expression and where it stands."""

    where: str
    expr: str


@dataclass
class Panel:
    dashboard: str
    title: str
    json: dict

    @property
    def where(self) -> str:
        return f"{self.dashboard} / {self.title}"

    @property
    def exprs(self) -> list[str]:
        return [target["expr"] for target in self.json["targets"]]


@dataclass
class Dashboard:
    path: Path
    json: dict

    @property
    def title(self) -> str:
        return self.json["title"]

    @property
    def is_imported(self) -> bool:
        """Whether Grafana asks for the data source when it is imported."""
        return "__inputs" in self.json

    @property
    def panels(self) -> list[Panel]:
        return [Panel(self.title, panel["title"], panel) for panel in self.json["panels"] if panel["type"] != "row"]

    @property
    def variables(self) -> list[dict]:
        return self.json["templating"]["list"]

    def variable_queries(self) -> dict[str, str]:
        return {v["name"]: v["query"]["query"] for v in self.variables if v["type"] == "query"}


@dataclass
class Rule:
    file: str
    group: str
    json: dict

    @property
    def alert(self) -> str | None:
        return self.json.get("alert")

    @property
    def severity(self) -> str:
        return self.json["labels"]["severity"]

    @property
    def where(self) -> str:
        return f"{self.file} / {self.alert or self.json['record']}"


@functools.cache
def dashboards(directory: Path = PROVISIONED) -> list[Dashboard]:
    return [Dashboard(path, json.loads(path.read_text())) for path in sorted(directory.glob("*.json"))]


@functools.cache
def rules() -> list[Rule]:
    return [
        Rule(path.name, group["name"], rule)
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if rule.alert]


@functools.cache
def recorded() -> set[str]:
    return {rule.json["record"] for rule in rules() if not rule.alert}


def label_values(query: str) -> tuple[str, str]:
    """The selector and the label of a variable's query."""
    match = re.fullmatch(r"label_values\((.+), *(\w+)\)", query)
    assert match, f"not label_values(selector, label): {query}"
    return match.group(1), match.group(2)


@functools.cache
def documented_metrics() -> dict[str, str]:
    """The names in docs/metrics.md with their types."""
    table = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|", METRICS.read_text(), re.MULTILINE)
    assert table, f"{METRICS} lists no metrics"
    return dict(table)


def family_of(series: str, histograms: set[str]) -> str:
    """The metric that a series belongs to: that of `x_bucket` is `x` when `x` is a histogram."""
    name = re.sub(r"_(bucket|count|sum)$", "", series)
    return name if name in histograms else series
