"""Very many well-formed requests that mean nothing, over a few connections that do not wait for each answer."""

import json
import random
import socket
import string
from concurrent.futures import ThreadPoolExecutor

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ROUTES = (
    "/v1/agents/{}", "/v1/grants/{}", "/v1/consent/{}", "/v1/webhooks/{}", "/v1/audit/{}", "/{}", "/v1/{}", "/metrics/{}", "/.well-known/{}",
)
WINDOW = 50


class Flood:
    """Random paths, methods, agent ids and header values; all of them hold the marker."""

    def __init__(self, address: tuple[str, int], api_key: str, marker: str, seed: int):
        self.address, self.api_key, self.marker = address, api_key, marker
        self.random = random.Random(seed)

    def send(self, count: int, connections: int = 4):
        with ThreadPoolExecutor(max_workers=connections) as threads:
            batches = [[self._request() for _ in range(count // connections)] for _ in range(connections)]
            answered = sum(threads.map(self._send, batches))
        assert answered == count // connections * connections, f"{count - answered} requests were not answered"

    def _send(self, requests: list[bytes]) -> int:
        answered = 0
        with socket.create_connection(self.address, timeout=60) as connection:
            for start in range(0, len(requests), WINDOW):
                batch = requests[start:start + WINDOW]
                connection.sendall(b"".join(batch))
                seen, rest = 0, b""
                while seen < len(batch):
                    part = connection.recv(1 << 16)
                    if not part:
                        return answered + seen
                    text = rest + part
                    seen += text.count(b"HTTP/1.1 ")
                    # Of a status line that was cut in two.
                    rest = text[-8:] if b"HTTP/1.1 " not in text[-8:] else b""
                answered += seen
        return answered

    def _text(self, alphabet: str = string.ascii_letters + string.digits, most: int = 24) -> str:
        return self.marker + "".join(self.random.choices(alphabet, k=self.random.randint(1, most)))

    def _request(self) -> bytes:
        method = self.random.choice((*METHODS, self._text(string.ascii_uppercase, 12).upper()))
        path = self.random.choice(ROUTES).format(self._text()) + self.random.choice(("", "?x=" + self._text()))
        headers = {
            "Host": "localhost", "X-Request-Id": self._text(), "User-Agent": self._text(), "Traceparent": self._text(),
            "Idempotency-Key": self._text(), "Origin": "https://" + self._text(),
        }
        body = b""
        if self.random.random() < 0.3:
            method, path = "POST", self.random.choice(("/v1/authorize", "/v1/token", "/v1/token/refresh", "/v1/tokens/verify"))
            agent = "ag_" + "".join(self.random.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=26))
            body = json.dumps({
                "agentId": self.random.choice((agent, self._text())), "principalId": self._text(), "scopes": [self._text()],
                "code": self._text(), "refreshToken": self._text(), "token": self._text(),
            }).encode()
            headers |= {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
        headers["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
