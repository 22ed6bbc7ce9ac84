"""Fresh databases on the test cluster, and a private cluster that can be frozen."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from .waiting import free_port, wait_until

ROOT = Path(__file__).resolve().parents[3]


def run_sql(url: str, sql: str) -> str:
    """The output of one statement, unaligned."""
    done = subprocess.run(
        ["psql", url, "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, f"psql failed on {sql!r}: {done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def fresh_database(admin_url: str):
    """The URL of a new, empty database; it is dropped afterwards."""
    name = f"e2e_{secrets.token_hex(6)}"
    run_sql(admin_url, f"CREATE DATABASE {name}")
    try:
        yield admin_url.rsplit("/", 1)[0] + f"/{name}"
    finally:
        run_sql(admin_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class Cluster:
    """A PostgreSQL of its own, so that stopping it disturbs no other test."""

    def __init__(self):
        # Not pytest's directory: PostgreSQL's own account must be able to enter it.
        self.directory = Path(tempfile.mkdtemp(prefix="grantex-pg-", dir="/var/tmp"))
        self.directory.chmod(0o755)
        self.environment = {
            **os.environ,
            "GRANTEX_PG_DIR": str(self.directory / "cluster"),
            "GRANTEX_PG_PORT": str(free_port()),
        }
        self.frozen: list[int] = []
        self.url = self._control("start")

    def freeze(self):
        """Stops every process of the cluster in its tracks: connections stay open and nothing answers."""
        postmaster = int(self._control("pid"))

        def all_stopped():
            alive = [postmaster, *children_of(postmaster)]
            fresh = [pid for pid in alive if pid not in self.frozen]
            for pid in fresh:
                os.kill(pid, signal.SIGSTOP)
            self.frozen.extend(fresh)
            return not fresh

        wait_until(all_stopped, "the cluster to be frozen")

    def thaw(self):
        while self.frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.frozen.pop(), signal.SIGCONT)

    def destroy(self):
        self.thaw()
        self._control("destroy")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _control(self, command: str) -> str:
        # Output goes to a file: the daemon would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [ROOT / "scripts" / "pg", command],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=120,
            )
            output.seek(0)
            text = output.read().strip()
        assert done.returncode == 0, f"scripts/pg {command} failed: {text}"
        return text


def children_of(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == parent and fields[0] != "Z":
                    found.append(int(entry.name))
    return found
