"""Traffic beyond tokens: webhooks, event streams, policies, anomalies, as far as the server has the routes."""

import threading

import httpx

from .developer import READ, Developer
from .hooks import HookReceiver


class Extras:
    """Subscribes, listens, sets a policy and looks for anomalies, on the account of a developer with traffic."""

    def __init__(self, developer: Developer, agent: str):
        self.developer, self.agent = developer, agent
        self.stopping = threading.Event()
        self.threads: list[threading.Thread] = []
        self.hooks: HookReceiver | None = None
        offered = developer.http.get("/openapi.json").json()["paths"]
        for path, use in (
            ("/v1/webhooks", self._subscribe), ("/v1/policies", self._allow),
            ("/v1/events/stream", self._listen), ("/v1/anomalies/detect", self._detect),
        ):
            if path in offered:
                use()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(timeout=30)
        if self.hooks is not None:
            self.hooks.close()

    def _subscribe(self):
        self.hooks = HookReceiver()
        events = ["grant.created", "grant.revoked", "token.issued"]
        self._post("/v1/webhooks", {"url": self.hooks.url, "events": events})

    def _allow(self):
        self._post("/v1/policies", {"name": "Reading is fine", "effect": "allow", "agentId": self.agent, "scopes": [READ]})

    def _post(self, path: str, body: dict):
        answer = self.developer.http.post(path, json=body)
        assert answer.status_code == 201, f"{path}: {answer.status_code} {answer.text}"

    def _listen(self):
        """Streams that are opened, listened to for a while, and closed."""

        def listen(http: httpx.Client):
            with http.stream("GET", "/v1/events/stream") as stream:
                for heard, _ in enumerate(stream.iter_lines()):
                    if heard > 60 or self.stopping.is_set():
                        break

        self._again(1, listen)

    def _detect(self):
        self._again(3, lambda http: http.post("/v1/anomalies/detect"))

    def _again(self, pause: float, step):
        headers = {"Authorization": f"Bearer {self.developer.api_key}"}

        def work():
            with httpx.Client(base_url=self.developer.server.url, headers=headers, timeout=10) as http:
                while not self.stopping.wait(pause):
                    try:
                        step(http)
                    except httpx.HTTPError:
                        self.stopping.wait(0.5)

        self.threads.append(threading.Thread(target=work, daemon=True))
        self.threads[-1].start()
