"""Prometheus, Alertmanager, the receiver of alerts, and a target whose series a test chooses."""

import json
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import yaml

from .artefacts import ALERTMANAGER_CONFIG
from .server import die_with_parent
from .waiting import free_port, wait_until


class Process:
    """A program that serves HTTP on a port of its own, in a directory of its own."""

    program: str

    def __init__(self, directory: Path):
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def start(self):
        path = shutil.which(self.program)
        assert path, f"{self.program} is missing; run scripts/install-deps"
        with open(self.directory / f"{self.program}.log", "ab") as log:
            self.process = subprocess.Popen(
                [path, *self.arguments()], cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )
        wait_until(self._is_ready, f"{self.program} to be ready", seconds=30)
        return self

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"{self.program} ended at start:\n{self.said()}"
        try:
            return self.http.get("/-/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def said(self) -> str:
        return (self.directory / f"{self.program}.log").read_text(errors="replace")[-4000:]

    def stop(self):
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=10)


class Prometheus(Process):
    """Scrapes the targets that `set_targets` names as the job grantex, each second, and evaluates the given rules as often."""

    program = "prometheus"

    def __init__(self, directory: Path, rule_files: list[Path], alertmanager: "Alertmanager | None" = None):
        super().__init__(directory)
        self.set_targets([])
        labels = {"cluster": "test", "grantex_runbooks": "https://git.example", "grantex_grafana": "https://grafana.example"}
        drop = {"action": "labeldrop", "regex": "grantex_(runbooks|grafana)"}
        managers = [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}] if alertmanager else []
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s", "external_labels": labels},
            "rule_files": [str(path) for path in rule_files],
            "scrape_configs": [
                {"job_name": "grantex", "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}]}
            ],
            "alerting": {"alert_relabel_configs": [drop], "alertmanagers": managers},
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))

    def arguments(self):
        return [
            "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{self.port}",
            "--rules.alert.resend-delay=1s", "--log.level=warn",
        ]

    def set_targets(self, addresses: list[str]):
        groups = [{"targets": addresses}]
        draft = self.directory / "targets.json.new"
        draft.write_text(json.dumps(groups))
        draft.rename(self.directory / "targets.json")

    def _get(self, path: str, **params):
        answer = self.http.get(f"/api/v1/{path}", params=params)
        body = answer.json()
        assert body["status"] == "success", f"{path} {params}: {body}"
        return body["data"]

    def query(self, expr: str) -> list[dict]:
        return self._get("query", query=expr)["result"]

    def range(self, expr: str, start: float, end: float, step: float = 1.0) -> list[dict]:
        return self._get("query_range", query=expr, start=start, end=end, step=step)["result"]

    def series(self, selector: str) -> list[dict[str, str]]:
        return self._get("series", **{"match[]": selector})

    def alerts(self) -> list[dict]:
        return self._get("alerts")["alerts"]

    def rule_problems(self) -> list[str]:
        groups = self._get("rules")["groups"]
        return [f"{rule['name']}: {rule['lastError']}" for group in groups for rule in group["rules"] if rule.get("lastError")]

    def is_up(self, address: str) -> bool:
        return any(s["value"][1] == "1" for s in self.query(f'up{{instance="{address}"}}'))


class Alertmanager(Process):
    """The shipped configuration, told to a receiver of the test at once instead of after a while."""

    program = "prometheus-alertmanager"

    def __init__(self, directory: Path, receiver: "AlertReceiver | None" = None, mutes: bool = True):
        super().__init__(directory)
        config = yaml.safe_load(ALERTMANAGER_CONFIG.read_text())
        for route in (config["route"], *config["route"]["routes"]):
            route |= {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
            # Each alert by itself, so that a group's rhythm does not hide when one of them arrived.
            route["group_by"] = ["..."]
        for each in config["receivers"]:
            for hook in each["webhook_configs"]:
                hook["url"] = f"{receiver.url if receiver else 'http://127.0.0.1:9'}/{each['name']}"
                hook["send_resolved"] = True
        if not mutes:
            config["inhibit_rules"] = []
        (directory / "alertmanager.yml").write_text(yaml.safe_dump(config))

    def arguments(self):
        return [
            "--config.file=alertmanager.yml", "--storage.path=data", f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=", "--log.level=error",
        ]

    def post(self, *alerts: dict[str, str]):
        ends = (datetime.now(timezone.utc) + timedelta(minutes=5)).isoformat()
        answer = self.http.post("/api/v2/alerts", json=[{"labels": labels, "endsAt": ends} for labels in alerts])
        assert answer.status_code == 200, answer.text

    def alert(self, labels: dict[str, str]) -> dict | None:
        return next((alert for alert in self.http.get("/api/v2/alerts").json() if alert["labels"] == labels), None)


@dataclass
class Told:
    """What the receiver was told of one alert."""

    receiver: str
    labels: dict[str, str]
    annotations: dict[str, str]
    fired_at: float | None = None
    cleared_at: float | None = None


@dataclass
class AlertReceiver:
    """Takes notifications of Alertmanager and keeps when each alert fired and cleared."""

    told: list[Told] = field(default_factory=list)

    def __post_init__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer._take(self.path.strip("/"), body["alerts"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.lock = threading.Lock()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _take(self, receiver: str, alerts: list[dict]):
        with self.lock:
            for alert in alerts:
                known = next((t for t in self.told if t.labels == alert["labels"] and t.receiver == receiver), None)
                if known is None:
                    known = Told(receiver, alert["labels"], alert["annotations"])
                    self.told.append(known)
                if alert["status"] == "firing":
                    if known.fired_at is None or known.cleared_at is not None:
                        known.fired_at = time.monotonic()
                    known.cleared_at = None
                else:
                    known.cleared_at = time.monotonic()

    def find(self, **labels: str) -> list[Told]:
        with self.lock:
            return [told for told in self.told if labels.items() <= told.labels.items()]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Exposition:
    """A target that exports what `render` gives."""

    def __init__(self, text: str = ""):
        self.render = lambda: text
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = outer.render().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
