"""The shipped rules, made sixty times faster, so that a test can wait for them.

What is changed, and nothing else:

- Every range `[5m]` and every `for: 5m` is divided by 60. A range is at least 4 s, which holds four scrapes, and a `for` at least 1 s;
  both are at most 15 s, so that hours and days can be waited for too. An interval of a group is divided likewise.
- The numbers of seconds and of failures that `LITERALS` names. Each must occur as often as it says.
"""

import re
from pathlib import Path

from .artefacts import RULES

SPEED = 60
SHORTEST_RANGE, SHORTEST_FOR, LONGEST = 4, 1, 15
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# By file: what is replaced by what. Ages in seconds, and failures of jobs, which keep their rhythm of 5 to 15 s.
LITERALS = {
    "database.yml": [
        ('{task="keys"} > 60', '{task="keys"} > 8'),
        ("> 0) > 300", "> 0) > 20"),
        ("> 0) > 3600", "> 0) > 10"),
        ('{status="error"}[15m])) > 2', '{status="error"}[15m])) > 0'),
    ],
    "webhooks.yml": [
        ("(grantex_webhook_oldest_pending_seconds) > 300", "(grantex_webhook_oldest_pending_seconds) > 3"),
        ("(grantex_webhook_oldest_pending_seconds) > 3600", "(grantex_webhook_oldest_pending_seconds) > 6"),
    ],
}


def seconds(duration: str) -> int:
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))


def faster(duration: str, shortest: int) -> str:
    return f"{min(max(round(seconds(duration) / SPEED), shortest), LONGEST)}s"


def fast_forward(name: str, text: str) -> str:
    """A rule file, sixty times faster."""
    for slow, fast in LITERALS.get(name, []):
        # At the end of a line, since one threshold may be the beginning of another.
        pattern = re.escape(slow) + r"$"
        assert len(re.findall(pattern, text, re.MULTILINE)) == 1, f"{name} does not hold {slow!r} exactly once; change LITERALS"
        text = re.sub(pattern, lambda _: fast, text, flags=re.MULTILINE)
    text = re.sub(r"\[(\d+[smhd])\]", lambda m: f"[{faster(m[1], SHORTEST_RANGE)}]", text)
    text = re.sub(r"^( +for: )(\w+)$", lambda m: m[1] + faster(m[2], SHORTEST_FOR), text, flags=re.MULTILINE)
    return re.sub(r"^( +interval: )(\w+)$", lambda m: m[1] + faster(m[2], SHORTEST_FOR), text, flags=re.MULTILINE)


def fast_rules(directory: Path) -> list[Path]:
    """Writes the fast copies of all rule files and returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for source in sorted(RULES.glob("*.yml")):
        path = directory / source.name
        path.write_text(fast_forward(source.name, source.read_text()))
        written.append(path)
    return written
