"""Remembers secrets and every exchange over HTTP, and looks for secrets where they must not be."""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

import httpx

# What any secret of the service looks like, whether or not the test knows its value.
SHAPES = {
    "an API key": re.compile(r"gx_(live|test)_[A-Za-z0-9_-]{16,}"),
    "a refresh token": re.compile(r"ref_[A-Za-z0-9_-]{20,}"),
    "a JWT": re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
}


@dataclass
class Secret:
    value: str
    shown_by: tuple[str, ...] = ()  # `METHOD /path` of the answers that may contain it, and below


@dataclass
class Canary:
    """An HTTP client that keeps what it saw; `hide` registers a secret."""

    url: str
    secrets: dict[str, Secret] = field(default_factory=dict)
    seen: list[httpx.Response] = field(default_factory=list)

    def __post_init__(self):
        self.client = httpx.Client(base_url=self.url, timeout=30, follow_redirects=False)

    def hide(self, name: str, value: str, *shown_by: str) -> str:
        assert len(value) >= 12, f"{name} is too short to be searched for: {value!r}"
        self.secrets[name] = Secret(value, shown_by)
        return value

    def send(self, method: str, path: str, *expected: int, **request) -> httpx.Response:
        response = self.client.request(method, path, **request)
        self.seen.append(response)
        if expected:
            assert response.status_code in expected, f"{method} {path}: {response.status_code} {response.text[:500]}"
        return response

    def leaks_into(self, where: str, text: str, but: tuple[str, ...] = ()) -> list[str]:
        """Complaints about the secrets in a text, except the named ones."""
        plain = text + "\n" + unquote(text)
        found = [
            f"{where} contains the {name}: …{around(plain, needle)}…"
            for name, secret in self.secrets.items() if name not in but
            for needle in needles(secret.value) if needle in plain
        ]
        return found

    def leaks_in_answers(self) -> list[str]:
        """Secrets in answers other than the ones that hand them out; error answers may contain none."""
        found = []
        for response in self.seen:
            request = f"{response.request.method} {response.request.url.path}"
            allowed = tuple(
                name for name, secret in self.secrets.items()
                if response.status_code < 400 and any(f"{request}/".startswith(f"{route}/") for route in secret.shown_by)
            )
            text = "\n".join([*(f"{k}: {v}" for k, v in response.headers.items()), response.text])
            found += self.leaks_into(f"the {response.status_code} answer to {request[:80]}", text, but=allowed)
        return found

    def driven(self) -> set[tuple[str, str]]:
        return {(r.request.method, r.request.url.path) for r in self.seen}

    def close(self):
        self.client.close()


def needles(value: str) -> set[str]:
    """Forms in which a secret may show: itself, percent-encoded, a JWT's signature alone."""
    forms = {value, quote(value, safe="")}
    if value.count(".") == 2 and value.startswith("eyJ"):
        forms.add(value.rsplit(".", 1)[1])
    return forms


def around(text: str, needle: str) -> str:
    at = text.index(needle)
    return text[max(0, at - 60): at] + "<SECRET>"


def shapes_in(where: str, text: str) -> list[str]:
    return [f"{where} contains {what}: …{around(text, hit.group())}…"
            for what, shape in SHAPES.items() for hit in [shape.search(text)] if hit]
