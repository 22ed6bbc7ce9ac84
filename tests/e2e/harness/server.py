"""The real server binary: started, watched, stopped."""

import ctypes
import os
import secrets
import signal
import subprocess
from pathlib import Path

import httpx

from .logs import Log
from .metrics import Scrape
from .postgres import ROOT
from .waiting import free_port, wait_until

ADMIN_API_KEY = "e2e-admin-" + secrets.token_hex(16)


def binary() -> Path:
    path = Path(os.environ.get("GRANTEX_SERVER_BIN", ROOT / "target/debug/grantex-server"))
    assert path.is_file(), f"no server binary at {path}; build it with: cargo build -p grantex-server"
    return path


def die_with_parent():
    """So that an interrupted test run leaves no server behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Server:
    """One server process on its own port, directory and database. `restart` keeps all three."""

    def __init__(self, directory: Path, database_url: str, backend: str, **settings: str):
        self.directory = directory
        self.backend = backend
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = Log(directory / "log.jsonl")
        self.stderr_path = directory / "stderr.txt"
        self.process: subprocess.Popen | None = None
        self.environment = {
            "PATH": os.environ["PATH"],
            "RUST_BACKTRACE": "1",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DATABASE_URL": database_url,
            "ADMIN_API_KEY": ADMIN_API_KEY,
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "info",
            "RATE_LIMIT_ENABLED": "false",
            **settings,
        }
        if backend == "postgres":
            self.environment.setdefault("GRANTEX_MASTER_KEY", secrets.token_hex(32))
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def start(self) -> "Server":
        with open(self.log.path, "ab") as out, open(self.stderr_path, "ab") as err:
            self.process = subprocess.Popen(
                [binary()], cwd=self.directory, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=die_with_parent,
            )
        wait_until(self._answers, f"the server on {self.backend} to be ready", seconds=60)
        return self

    def _answers(self) -> bool:
        code = self.process.poll()
        assert code is None, f"the server ended at start with {code}; it said:\n{self.said()}"
        try:
            return self.http.get("/ready", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """A subcommand of the same binary, with the same settings."""
        return subprocess.run(
            [binary(), *arguments], cwd=self.directory, env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 60) -> int:
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end within {seconds:g} s; it said:\n{self.said()}") from None

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self):
        """SIGTERM must end it in order: exit code 0, and a log that is JSON to the last line."""
        if self.process is None or self.process.poll() is not None:
            return
        self.terminate()
        code = self.wait()
        assert code == 0, f"after SIGTERM the exit code was {code}; it said:\n{self.said()}"
        self.log.since(0)

    def said(self, limit: int = 4000) -> str:
        stderr = self.stderr_path.read_text(errors="replace") if self.stderr_path.exists() else ""
        return f"--- stderr\n{stderr[-limit:]}\n--- log\n{self.log.text()[-limit:]}"

    def mark_log(self) -> int:
        """Where the log ends once everything that was asked before is in it: lines are written in order, a moment later."""
        before = self.log.mark()
        answer = self.http.get("/health")
        asked = answer.headers["x-request-id"]
        self.log.wait_for(before, 1, lambda line: line.get("requestId") == asked, "the line of the last request")
        return self.log.mark()

    def scrape(self) -> Scrape:
        answer = self.http.get("/metrics")
        assert answer.status_code == 200, f"GET /metrics: {answer.status_code} {answer.text[:300]}"
        return Scrape(answer.text)

    def close(self):
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()
