"""A developer with the published client, and the shortest way to a grant."""

import itertools
from dataclasses import dataclass

import httpx
from grantex import AuthorizeParams, ExchangeTokenParams, Grantex, Permission, SignupParams, ToolManifest
from grantex import AuthorizationRequest, ExchangeTokenResponse
from grantex import Agent

from .server import Server

_numbers = itertools.count(1)

# A tool that reads and one that writes, as an application would declare them.
LEDGER = ToolManifest(connector="ledger", tools={"read_entries": Permission.READ, "post_entry": Permission.WRITE})
READ, WRITE = "tool:ledger:read", "tool:ledger:write"


@dataclass
class Issued:
    """What one trip through authorize, consent and exchange yields."""

    agent: Agent
    request: AuthorizationRequest
    code: str
    tokens: ExchangeTokenResponse
    principal: str

    @property
    def token(self) -> str:
        return self.tokens.grant_token

    @property
    def grant_id(self) -> str:
        return self.tokens.grant_id


class Developer:
    """`grantex` is the client exactly as published; `http` speaks plainly where the client has no method."""

    def __init__(self, server: Server, mode: str, name: str | None = None):
        self.server = server
        answer = Grantex.signup(
            SignupParams(name=name or f"Developer {next(_numbers)}", mode=mode), base_url=server.url
        )
        assert answer.mode == mode, f"signed up for {mode}, got {answer.mode}"
        self.id, self.api_key, self.mode = answer.developer_id, answer.api_key, mode
        # Retries would hide a 5xx.
        self.grantex = Grantex(api_key=self.api_key, base_url=server.url, max_retries=0)
        self.grantex.load_manifest(LEDGER)
        self.http = httpx.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {self.api_key}"}, timeout=30
        )

    def close(self):
        self.grantex.close()
        self.http.close()

    def agent(self, scopes=(READ, WRITE), name: str | None = None) -> Agent:
        return self.grantex.agents.register(name=name or f"Agent {next(_numbers)}", scopes=list(scopes))

    def open_request(self, agent: Agent, principal: str, scopes=(READ, WRITE), **options) -> AuthorizationRequest:
        return self.grantex.authorize(
            AuthorizeParams(agent_id=agent.id, user_id=principal, scopes=list(scopes), **options)
        )

    def approve(self, request_id: str) -> dict:
        """As the consent page does: no credentials, no body."""
        answer = httpx.post(f"{self.server.url}/v1/consent/{request_id}/approve")
        assert answer.status_code == 200, f"approve: {answer.status_code} {answer.text}"
        return answer.json()

    def code(self, agent: Agent, principal: str, scopes=(READ, WRITE), **options) -> tuple[AuthorizationRequest, str]:
        request = self.open_request(agent, principal, scopes, **options)
        if self.mode == "sandbox":
            assert request.code, f"a sandbox request must carry its code at once: {request}"
            return request, request.code
        assert not request.code, f"a live request must not carry a code before consent: {request}"
        return request, self.approve(request.request_id)["code"]

    def issue(self, agent: Agent | None = None, principal: str | None = None, scopes=(READ, WRITE), **options) -> Issued:
        agent = agent or self.agent(scopes)
        principal = principal or f"user-{next(_numbers)}"
        request, code = self.code(agent, principal, scopes, **options)
        tokens = self.grantex.tokens.exchange(ExchangeTokenParams(code=code, agent_id=agent.id))
        return Issued(agent, request, code, tokens, principal)

    def entries(self, chain: str | None = None) -> list[dict]:
        """A whole audit chain, oldest entry first."""
        params = {"pageSize": 1000} | ({"chain": chain} if chain else {})
        answer = self.http.get("/v1/audit/entries", params=params)
        assert answer.status_code == 200, f"audit entries: {answer.status_code} {answer.text}"
        return answer.json()["entries"]
