"""The server's log: one JSON object a line."""

import json
import re
from pathlib import Path

from .waiting import wait_until

LEVELS = {"trace", "debug", "info", "warn", "error"}
TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


class Log:
    def __init__(self, path: Path):
        self.path = path

    def text(self) -> str:
        return self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""

    def mark(self) -> int:
        """Where the log ends now, for `since`."""
        return len(self.text())

    def since(self, mark: int) -> list[dict]:
        """The complete lines after a mark, parsed and checked."""
        complete = self.text()[mark:].rpartition("\n")[0]
        return [parse(line) for line in complete.splitlines()]

    def events(self, mark: int, *names: str) -> list[dict]:
        return [line for line in self.since(mark) if line["msg"] in names]

    def requests(self, mark: int) -> list[dict]:
        return [line for line in self.since(mark) if is_request(line)]

    def wait_for(self, mark: int, count: int, predicate, what: str) -> list[dict]:
        """At least `count` lines for which `predicate` holds; the drain is asynchronous, so they may come late."""

        def found():
            lines = [line for line in self.since(mark) if predicate(line)]
            return lines if len(lines) >= count else None

        try:
            return wait_until(found, f"{count} log line(s): {what}")
        except AssertionError as error:
            tail = "\n".join(json.dumps(line) for line in self.since(mark)[-30:])
            raise AssertionError(f"{error}; the log since then ends with:\n{tail}") from None


def parse(line: str) -> dict:
    try:
        value = json.loads(line)
    except ValueError:
        raise AssertionError(f"a log line is not JSON: {line[:300]!r}") from None
    assert isinstance(value, dict), f"a log line is not one JSON object: {line[:300]!r}"
    missing = {"level", "msg", "timestamp"} - value.keys()
    assert not missing, f"a log line lacks {sorted(missing)}: {line[:300]}"
    assert value["level"] in LEVELS, f"unknown level {value['level']!r}: {line[:300]}"
    assert TIMESTAMP.match(value["timestamp"]), f"timestamp not ISO 8601 in milliseconds: {line[:300]}"
    return value


def is_request(line: dict) -> bool:
    """Whether a line is the one that each response leaves."""
    return "method" in line and "status" in line


def route_of(line: dict) -> str:
    """The route template of a request line, with every parameter written as `*`."""
    return template(str(line.get("path", line.get("route"))))


def template(route: str) -> str:
    return re.sub(r"\{[^}]+\}|:[A-Za-z_]+", "*", route)
