"""The receivers of examples/webhooks, as processes."""

import os
import subprocess
import sys
from pathlib import Path

from .postgres import ROOT
from .server import die_with_parent
from .waiting import wait_until

PROGRAMS = {
    "python": lambda: [sys.executable, str(ROOT / "examples/webhooks/python/receiver.py")],
    "rust": lambda: [os.environ.get("WEBHOOK_RECEIVER_BIN", str(ROOT / "target/debug/webhook-receiver"))],
}


class Program:
    """One of the receivers of examples/webhooks, as a process."""

    def __init__(self, kind: str, directory: Path, secret: str, previous: str = ""):
        directory.mkdir(parents=True, exist_ok=True)
        self.out = directory / "out.txt"
        with open(self.out, "ab") as out:
            self.process = subprocess.Popen(
                PROGRAMS[kind](), cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={"PATH": os.environ["PATH"], "PORT": "0", "INBOX": str(directory / "inbox.kept"),
                     "WEBHOOK_SECRET": secret, "WEBHOOK_SECRET_PREVIOUS": previous},
                preexec_fn=die_with_parent,
            )
        self.url = wait_until(self._address, f"the {kind} receiver to listen")

    def _address(self) -> str | None:
        code = self.process.poll()
        assert code is None, f"the receiver ended at start with {code}; it said:\n{self.out.read_text()}"
        addresses = self.said("listening")
        return addresses[-1] if addresses else None

    def said(self, word: str) -> list[str]:
        """What it said about something, in order: the rest of the complete lines that begin with `WORD: `."""
        complete = self.out.read_text().rpartition("\n")[0]
        return [line.removeprefix(f"{word}: ") for line in complete.splitlines() if line.startswith(f"{word}: ")]

    def close(self):
        self.process.kill()
        self.process.wait(timeout=10)
