"""Threads that work against a server until it is killed, and remember what they were answered."""

import threading
from dataclasses import dataclass, field

import httpx


@dataclass
class Remembered:
    """Answered requests: what a crash must not lose. Appending to a list is atomic, so threads share them freely."""

    grants: list[dict] = field(default_factory=list)      # answers to exchanges, with their code
    entries: list[dict] = field(default_factory=list)     # answers to audit writes
    refreshed: list[dict] = field(default_factory=list)   # answers to refreshes, with the token they used up
    agents: list[str] = field(default_factory=list)
    unanswered_codes: list[dict] = field(default_factory=list)  # sent for exchange, no answer seen
    unexpected: list[str] = field(default_factory=list)


class Load:
    """Each thread registers an agent, then authorizes, exchanges, refreshes and audits in turn."""

    def __init__(self, url: str, api_key: str, threads: int = 8):
        self.url, self.api_key = url, api_key
        self.remembered = Remembered()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(timeout=40)
            assert not thread.is_alive(), "a request hangs although the server is gone"

    def _work(self, number: int):
        with httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.api_key}"}, timeout=30
        ) as http:
            try:
                agent = self._send(http, "/v1/agents", {"name": f"Agent {number}"})["agentId"]
                self.remembered.agents.append(agent)
                while not self.stopping.is_set():
                    self._round(http, agent, f"user-{number}")
            except (httpx.TransportError, Unexpected):
                pass  # The server was killed, or answered what `unexpected` now holds.

    def _round(self, http: httpx.Client, agent: str, principal: str):
        kept = self.remembered
        code = self._send(
            http, "/v1/authorize", {"agentId": agent, "principalId": principal, "scopes": ["read"]}
        )["code"]
        attempt = {"code": code, "agentId": agent}
        kept.unanswered_codes.append(attempt)
        tokens = self._send(http, "/v1/token", attempt)
        kept.grants.append(tokens | attempt)
        kept.unanswered_codes.remove(attempt)
        renewed = self._send(
            http, "/v1/token/refresh", {"refreshToken": tokens["refreshToken"], "agentId": agent}
        )
        kept.refreshed.append({"used": tokens["refreshToken"], "agentId": agent} | renewed)
        kept.entries.append(self._send(http, "/v1/audit/log", {
            "agentId": agent, "agentDid": f"did:grantex:{agent}", "grantId": tokens["grantId"],
            "principalId": principal, "action": "load.step",
        }))

    def _send(self, http: httpx.Client, path: str, body: dict) -> dict:
        answer = http.post(path, json=body)
        if answer.status_code != 201:
            self.remembered.unexpected.append(f"{path}: {answer.status_code} {answer.text[:200]}")
            raise Unexpected
        return answer.json()


class Unexpected(Exception):
    """An answer that a healthy server does not give."""
