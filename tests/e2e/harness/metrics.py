"""Scrapes of /metrics and the difference between two."""

from prometheus_client.parser import text_string_to_metric_families

from .logs import template


class Scrape:
    """Samples by name and labels. Route labels have every parameter written as `*`."""

    def __init__(self, text: str):
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for family in self.families.values():
            for sample in family.samples:
                labels = {k: template(v) if k == "route" else v for k, v in sample.labels.items()}
                self.samples[(sample.name, tuple(sorted(labels.items())))] = sample.value

    def value(self, name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        assert key in self.samples, f"/metrics has no {name}{labels or ''}; of that name: {sorted(self.labels_of(name))}"
        return self.samples[key]

    def labels_of(self, name: str) -> list[tuple[tuple[str, str], ...]]:
        return [labels for sample, labels in self.samples if sample == name]

    def changes_since(self, before: "Scrape", *names: str) -> dict[str, float]:
        """What changed in the named metrics, as `{'name{label="x"}': difference}`; zeros are left out."""
        changes = {}
        for (name, labels), value in self.samples.items():
            difference = value - before.samples.get((name, labels), 0.0)
            if name in names and difference:
                changes[series(name, **dict(labels))] = difference
        return changes


def series(name: str, **labels: str) -> str:
    inner = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
    return f"{name}{{{inner}}}" if inner else name
