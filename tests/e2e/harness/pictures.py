"""Draws a dashboard as Grafana would show it, from what Prometheus answers."""

import io
import math
from datetime import datetime
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates as dates  # noqa: E402: the back end is chosen first
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patches import FancyBboxPatch, Wedge  # noqa: E402
from PIL import Image  # noqa: E402

from .artefacts import Dashboard, Panel  # noqa: E402

INK, FAINT, PAGE, CARD = "#1f2430", "#8a90a0", "#f3f4f7", "#ffffff"
LEVELS = {"green": "#2e8b57", "orange": "#d9822b", "red": "#c23030", "blue": "#3b6fb6"}
LINES = ["#3b6fb6", "#d9822b", "#2e8b57", "#8e5bb5", "#c23030", "#1f9aa8", "#9c7a3c", "#d1629b", "#5d6b7e", "#7aa52b", "#b0563b", "#4f4fb0"]
# What is good is blue or green, what is not is orange or red, in every panel; all else takes the next of LINES.
MEANING = {
    "success": "#3b6fb6", "valid": "#3b6fb6", "delivered": "#2e8b57", "approved": "#2e8b57", "allow": "#2e8b57", "info": "#3b6fb6",
    "active": "#2e8b57", "p50": "#3b6fb6", "p90": "#d9822b", "p99": "#d9822b", "shown": "#3b6fb6", "denied": "#d9822b", "deny": "#d9822b",
    "error": "#c23030", "failed": "#c23030", "5xx": "#c23030", "critical": "#c23030", "reuse": "#8e5bb5", "reuse_detected": "#8e5bb5",
    "4xx": "#d9822b", "429": "#d9822b", "warn": "#d9822b", "retried": "#d9822b", "invalid_code": "#d9822b", "malformed": "#d9822b",
    "failing": "#d9822b", "disabled": "#c23030", "revoked": "#d9822b", "high": "#d9822b", "medium": "#d1a02b", "low": "#3b6fb6",
}
# A column of Grafana's 24, and a line of its grid, in inches.
COLUMN, LINE, GAP, HEAD = 0.62, 0.30, 0.07, 0.62
DPI = 110


def draw(dashboard: Dashboard, answers: dict[str, list[list[dict]]], start: float, end: float, path: Path):
    """Writes a picture; `answers` holds, by the panel's title, a range answer for each of its queries."""
    lines = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard.json["panels"])
    width, height = 24 * COLUMN + 2 * GAP, lines * LINE + HEAD
    figure = plt.figure(figsize=(width, height), dpi=DPI, facecolor=PAGE)
    figure.text(2 * GAP / width, 1 - 0.3 / height, dashboard.title, fontsize=16, color=INK, weight="bold", va="center")
    canvas = figure.add_axes((0, 0, 1, 1))
    canvas.set(xlim=(0, width), ylim=(height, 0))
    canvas.axis("off")
    panels = {panel.title: panel for panel in dashboard.panels}
    for shown in dashboard.json["panels"]:
        place = shown["gridPos"]
        left, top = place["x"] * COLUMN + GAP, HEAD + place["y"] * LINE
        wide, high = place["w"] * COLUMN, place["h"] * LINE
        if shown["type"] == "row":
            canvas.text(left + 0.08, top + high / 2 + 0.03, shown["title"], fontsize=11, color=INK, weight="bold", va="center")
            continue
        box = FancyBboxPatch((left + GAP / 2, top + GAP / 2), wide - GAP, high - GAP, boxstyle="round,pad=0,rounding_size=0.05",
                             facecolor=CARD, edgecolor="#dde0e6", linewidth=0.8)
        canvas.add_patch(box)
        canvas.text(left + 0.14, top + 0.2, shown["title"], fontsize=9, color=INK, va="center")
        inside = (left + 0.14, top + 0.36, wide - 0.28, high - 0.5)
        PAINTERS[shown["type"]](figure, (width, height), inside, panels[shown["title"]], answers[shown["title"]], (start, end))
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = io.BytesIO()
    figure.savefig(whole, facecolor=PAGE)
    plt.close(figure)
    # A palette is enough for lines and text, and a third of the size.
    Image.open(whole).convert("RGB").quantize(96, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


def colors(shown: list[str]) -> list[str]:
    """A color for each name, none twice as long as there are enough."""
    meant = [next((MEANING[word] for word in name.split(", ") if word in MEANING), None) for name in shown]
    free = [color for color in LINES if color not in meant] or LINES
    taken: set[str] = set()
    chosen = []
    for color in meant:
        if color is None or color in taken:
            color = free[len(chosen) % len(free)]
        taken.add(color)
        chosen.append(color)
    return chosen


def axes(figure, size, inside, left=0.0, bottom=0.0, right=0.0):
    """Axes at a place given in inches from the top left."""
    (width, height), (x, y, w, h) = size, inside
    return figure.add_axes(((x + left) / width, 1 - (y + h - bottom) / height, (w - left - right) / width, (h - bottom) / height))


def points(series: dict) -> tuple[list[float], list[float]]:
    """Times and values, with NaN where there was nothing."""
    times, values = [], []
    for at, value in series["values"]:
        if times and at - times[-1] > 2.5:
            times.append(times[-1] + 1)
            values.append(math.nan)
        times.append(float(at))
        values.append(float(value))
    return times, values


def newest(answer: list[dict]) -> float | None:
    values = [value for series in answer for value in points(series)[1] if not math.isnan(value)]
    return values[-1] if values else None


def unit(panel: Panel) -> str:
    return panel.json["fieldConfig"]["defaults"]["unit"]


def number(value: float, unit: str) -> str:
    """A value as Grafana would write it."""
    if unit == "percentunit":
        return f"{value * 100:,.0f} %" if abs(value) >= 10 else f"{value * 100:.3g} %"
    if unit == "s":
        for factor, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= factor:
                return f"{value / factor:.3g} {name}"
        return "0 s"
    if unit == "bytes":
        for factor, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(value) >= factor:
                return f"{value / factor:.3g} {name}"
    after = {"ops": "/s", "opm": "/min"}.get(unit, "")
    if abs(value) >= 1000:
        return f"{value / 1000:.3g} k{after}"
    return f"{value:.3g}{after}"


def rounded(panel: Panel, value: float) -> float:
    decimals = panel.json["fieldConfig"]["defaults"].get("decimals")
    return value if decimals is None else round(value, decimals)


def level(panel: Panel, value: float) -> str:
    color = "blue"
    for step in panel.json["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return LEVELS[color]


def legend(target: dict, series: dict) -> str:
    text = target["legendFormat"]
    for label, value in series["metric"].items():
        text = text.replace("{{" + label + "}}", value)
    return text


def empty(figure, size, inside, panel: Panel):
    text = panel.json["fieldConfig"]["defaults"].get("noValue", "no data")
    axis = axes(figure, size, inside)
    axis.axis("off")
    axis.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, fontsize=10)


def stat(figure, size, inside, panel, answers, span):
    value = newest(answers[0])
    if value is None:
        return empty(figure, size, inside, panel)
    axis = axes(figure, size, inside)
    color = level(panel, value)
    for series in answers[0][:1]:
        at, values = points(series)
        finite = [v for v in values if not math.isnan(v)]
        axis.fill_between(at, values, min(finite) - 1e-12, color=color, alpha=0.12, linewidth=0)
        axis.plot(at, values, color=color, alpha=0.5, linewidth=1)
        room = (max(finite) - min(finite)) or 1
        axis.set(xlim=span, ylim=(min(finite) - 0.05 * room, max(finite) + 1.6 * room))
    axis.axis("off")
    axis.text(0.5, 0.6, number(rounded(panel, value), unit(panel)), transform=axis.transAxes, ha="center", va="center", fontsize=21, color=color, weight="bold")


def gauge(figure, size, inside, panel, answers, span):
    value = newest(answers[0])
    if value is None:
        return empty(figure, size, inside, panel)
    axis = axes(figure, size, inside)
    axis.set(xlim=(-1.15, 1.15), ylim=(-0.25, 1.1), aspect="equal")
    axis.axis("off")
    axis.add_patch(Wedge((0, 0), 1, 0, 180, width=0.25, color="#e8eaef"))
    axis.add_patch(Wedge((0, 0), 1, 180 - 180 * min(max(value, 0), 1), 180, width=0.25, color=level(panel, value)))
    axis.text(0, 0.05, number(value, unit(panel)), ha="center", va="center", fontsize=17, color=INK, weight="bold")


def is_idle(values: list[float]) -> bool:
    return not any(value for value in values if not math.isnan(value))


def timeseries(figure, size, inside, panel, answers, span):
    shown = [(legend(target, series), *points(series))
             for target, answer in zip(panel.json["targets"], answers, strict=True) for series in answer]
    shown = [(name, at, values) for name, at, values in shown if any(not math.isnan(v) for v in values)]
    if not shown:
        return empty(figure, size, inside, panel)
    # The busiest first, so that a long legend names what can be seen, and at the bottom of a stack.
    shown.sort(key=lambda each: (is_idle(each[2]), -sum(v for v in each[2] if not math.isnan(v)), each[0]))
    palette = colors([name for name, _, _ in shown])
    idle = sum(is_idle(values) for _, _, values in shown)
    axis = axes(figure, size, inside, left=0.62, bottom=0.42, right=0.05)
    is_stacked = panel.json["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    if is_stacked:
        grid = sorted({t for _, at, _ in shown for t in at})
        below = [0.0] * len(grid)
        for n, (_, at, values) in enumerate(shown[: len(shown) - idle]):
            by_time = dict(zip(at, values, strict=True))
            above = [b + (0 if math.isnan(v := by_time.get(t, 0.0)) else v) for t, b in zip(grid, below, strict=True)]
            times = [datetime.fromtimestamp(t) for t in grid]
            axis.fill_between(times, below, above, color=palette[n], alpha=0.55, linewidth=0, zorder=2)
            axis.plot(times, above, color=palette[n], linewidth=0.7, zorder=3)
            below = above
    else:
        # What is largest lies behind.
        for n, (_, at, values) in enumerate(shown):
            axis.plot([datetime.fromtimestamp(t) for t in at], values, color=palette[n], linewidth=1.3, zorder=2 + n / 100)
    axis.set_xlim(*(datetime.fromtimestamp(t) for t in span))
    top = axis.get_ylim()[1]
    for step in panel.json["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is not None and step["value"] <= 1.5 * top:
            axis.axhline(step["value"], color=LEVELS[step["color"]], linewidth=0.8, linestyle="--")
    lowest = min(v for _, _, values in shown for v in values if not math.isnan(v))
    highest = max(axis.get_ylim()[1], 1e-9) if idle < len(shown) else 1
    axis.set_ylim(bottom=min(0, lowest), top=highest)
    # Whole things are not counted in halves.
    is_whole = all(v == int(v) for _, _, values in shown for v in values if math.isfinite(v))
    axis.yaxis.set_major_locator(plt.MaxNLocator(4, integer=is_whole and unit(panel) in ("short", "none")))
    axis.set_axisbelow(True)
    axis.yaxis.set_major_formatter(lambda value, _: number(value, unit(panel)))
    axis.xaxis.set_major_locator(dates.AutoDateLocator(minticks=3, maxticks=5))
    axis.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
    axis.tick_params(labelsize=7, colors=FAINT, length=2)
    axis.grid(axis="y", color="#eceef2", linewidth=0.7)
    for side in axis.spines.values():
        side.set_visible(False)
    names(axis, [name for name, _, _ in shown], palette, idle, inside[2])


def names(axis, shown: list[str], palette: list[str], idle: int, wide: float):
    """The legend below a graph: what is not always 0, as far as there is room; the rest is counted."""
    def say(x: float, text: str):
        axis.text(x, -0.27, text, transform=axis.transAxes, fontsize=7.5, color=FAINT, va="center")

    listed = shown[: len(shown) - idle] or shown
    x, room = -0.55 / wide, 1.0
    for n, name in enumerate(listed):
        part = (len(name) * 0.072 + 0.28) / wide
        if room - part < (0.9 / wide if n + 1 < len(shown) else 0):
            return say(x, f"+ {len(shown) - n} more")
        axis.plot([x, x + 0.1 / wide], [-0.27, -0.27], transform=axis.transAxes, color=palette[n], linewidth=2.5, clip_on=False)
        axis.text(x + 0.14 / wide, -0.27, name, transform=axis.transAxes, fontsize=7.5, color=INK, va="center")
        x, room = x + part, room - part
    if len(listed) < len(shown):
        say(x, f"{idle} at 0")


def table(figure, size, inside, panel, answers, span):
    rows = []
    for series in answers[0]:
        value = newest([series])
        if value is not None:
            rows.append((value, [v for k, v in sorted(series["metric"].items()) if k != "__name__"]))
    if not rows:
        return empty(figure, size, inside, panel)
    rows.sort(key=lambda row: -row[0])
    axis = axes(figure, size, inside)
    axis.set(xlim=(0, 1), ylim=(0, inside[3]))
    axis.axis("off")
    for n, (value, labels) in enumerate(rows[: int(inside[3] / 0.2)]):
        y = inside[3] - 0.12 - n * 0.2
        if n % 2:
            axis.axhspan(y - 0.1, y + 0.1, color="#f6f7f9")
        axis.text(0.01, y, "   ".join(labels), fontsize=8, color=INK, va="center")
        axis.text(0.99, y, number(value, unit(panel)), fontsize=8, color=INK, va="center", ha="right")


PAINTERS = {"stat": stat, "gauge": gauge, "timeseries": timeseries, "table": table}
