"""What a PromQL expression asks for: metrics, matchers, ranges, labels."""

import functools
from dataclasses import dataclass
from datetime import timedelta

import promql_parser as promql

OPERATORS = ((promql.MatchOp.Equal, "="), (promql.MatchOp.NotEqual, "!="), (promql.MatchOp.Re, "=~"), (promql.MatchOp.NotRe, "!~"))


def operator(op: promql.MatchOp) -> str:
    return next(text for known, text in OPERATORS if known == op)


@dataclass(frozen=True)
class Selector:
    """One series selector, with the functions around it, innermost first."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    range: timedelta | None
    inside: tuple[str, ...]

    def __str__(self):
        return self.metric + "{" + ",".join(f'{label}{op}"{value}"' for label, op, value in self.matchers) + "}"


@functools.cache
def selectors(expr: str) -> list[Selector]:
    """Every selector of an expression; raises ValueError when it does not parse."""
    found: list[Selector] = []
    around: list[str] = []
    ranges: list[timedelta] = []

    def enter(node):
        if isinstance(node, promql.Call):
            around.append(node.func.name)
        elif isinstance(node, promql.MatrixSelector):
            ranges.append(node.range)
        elif isinstance(node, promql.VectorSelector):
            matchers = tuple((m.name, operator(m.op), m.value) for m in node.matchers.matchers)
            found.append(Selector(node.name, matchers, ranges[-1] if ranges else None, tuple(reversed(around))))
        return True

    def leave(node):
        if isinstance(node, promql.Call):
            around.pop()
        elif isinstance(node, promql.MatrixSelector):
            ranges.pop()
        return True

    promql.walk(promql.parse(expr), enter, leave)
    return found


def grouping_labels(expr: str) -> set[str]:
    """The labels that an expression groups by or matches on."""
    labels: set[str] = set()

    def enter(node):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            labels.update(node.modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and node.modifier is not None and node.modifier.matching is not None:
            labels.update(node.modifier.matching.labels)
        return True

    promql.walk(promql.parse(expr), enter)
    return labels
