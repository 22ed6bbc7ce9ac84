"""Ordinary traffic: what applications, agents and people do all day."""

import threading
import time

import httpx

from .developer import READ, WRITE, Developer
from .server import Server


class Traffic:
    """Threads that do everything ordinary again and again, and forgive a server that is away."""

    def __init__(self, server: Server, threads: int = 3, pause: float = 0.15):
        self.server, self.pause = server, pause
        self.rounds = 0
        self.told = 0
        self.failures: list[str] = []
        self.stopping = threading.Event()
        self.sandbox = Developer(server, "sandbox", "Ordinary")
        self.live = Developer(server, "live", "Ordinary, with people")
        self.agents = [self.sandbox.agent(name=f"Agent {n}").id for n in range(4)]
        self.live_agent = self.live.agent().id
        # So few agents do so much so fast that it is none of the ordinary.
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
        for developer in (self.sandbox, self.live):
            answer = developer.http.post("/v1/anomaly/mutes", json={"endsAt": ends, "reason": "ordinary traffic in a hurry"})
            assert answer.status_code == 201, answer.text
        self.threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(timeout=60)
        self.sandbox.close()
        self.live.close()

    def _work(self, number: int):
        with httpx.Client(base_url=self.server.url, timeout=15) as http:
            while not self.stopping.is_set():
                try:
                    self._round(http, number)
                    self.rounds += 1
                except (httpx.TransportError, Refused) as problem:
                    self.failures.append(repr(problem))
                    self.stopping.wait(0.5)
                self.stopping.wait(self.pause)

    def _round(self, http: httpx.Client, number: int):
        agent = self.agents[(self.rounds + number) % len(self.agents)]
        helper = self.agents[(self.rounds + number + 1) % len(self.agents)]
        principal = f"user-{number}"
        send = Sender(http, self.sandbox.api_key).send
        code = send("POST", "/v1/authorize", {"agentId": agent, "principalId": principal, "scopes": [READ, WRITE]})["code"]
        tokens = send("POST", "/v1/token", {"code": code, "agentId": agent})
        renewed = send("POST", "/v1/token/refresh", {"refreshToken": tokens["refreshToken"], "agentId": agent})
        for _ in range(3):
            send("POST", "/v1/tokens/verify", {"token": renewed["grantToken"]})
        child = send("POST", "/v1/grants/delegate", {
            "parentGrantToken": renewed["grantToken"], "subAgentId": helper, "scopes": [READ],
        })
        send("POST", "/v1/grants/verify", {"token": child["grantToken"]})
        send("POST", "/v1/audit/log", {
            "agentId": agent, "agentDid": f"did:grantex:{agent}", "grantId": tokens["grantId"], "principalId": principal,
            "action": "ledger.read",
        })
        send("GET", "/v1/grants?pageSize=5")
        send("GET", f"/v1/revocations/status?grantId={tokens['grantId']}")
        if self.rounds % 3 == 0:
            send("POST", "/v1/tokens/revoke", {"jti": child.get("tokenId") or token_id(child["grantToken"])})
        if self.rounds % 4 == 0:
            send("DELETE", f"/v1/grants/{tokens['grantId']}")
            # As a client of the feed does that has just refused because of it.
            self.told = send("GET", f"/v1/revocations?since={self.told}")["cursor"]
            send("POST", "/v1/revocations/refusals", {"refusals": [{"seq": self.told, "millisecondsAgo": 0}]})
        if self.rounds % 2 == 0:
            self._person(http, number)
        for path in ("/health", "/ready", "/.well-known/jwks.json", "/nowhere"):
            http.get(path)

    def _person(self, http: httpx.Client, number: int):
        """Somebody is asked, looks at the page, and mostly approves."""
        send = Sender(http, self.live.api_key).send
        asked = send("POST", "/v1/authorize", {
            "agentId": self.live_agent, "principalId": f"person-{number}", "scopes": [READ],
        })["authRequestId"]
        http.get(f"/consent?req={asked}")
        if self.rounds % 10 == 0:
            Sender(http).send("POST", f"/v1/consent/{asked}/deny")
            return
        code = Sender(http).send("POST", f"/v1/consent/{asked}/approve")["code"]
        send("POST", "/v1/token", {"code": code, "agentId": self.live_agent})


class Sender:
    def __init__(self, http: httpx.Client, api_key: str | None = None):
        self.http = http
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def send(self, method: str, path: str, body: dict | None = None) -> dict:
        answer = self.http.request(method, path, json=body, headers=self.headers)
        if not answer.is_success:
            raise Refused(f"{method} {path.split('?')[0]}: {answer.status_code} {answer.text[:200]}")
        return answer.json() if answer.content else {}


class Refused(Exception):
    """An answer that a healthy server does not give to ordinary traffic."""


def token_id(token: str) -> str:
    """The `jti` of a token, which its bearer can read."""
    import jwt

    return jwt.decode(token, options={"verify_signature": False})["jti"]
