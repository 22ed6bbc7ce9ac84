"""A webhook receiver that does as it is told, and remembers what it got."""

import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .waiting import wait_until


@dataclass(frozen=True)
class Hook:
    """One request as it came."""

    at: float  # time.time() when its body was there
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    attempt: int = 1  # from 1: how often this receiver has met the message

    @property
    def event(self) -> dict:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer after `delay` seconds; with `close` the connection ends instead; with `hang` nothing comes at all."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    close: bool = False
    hang: bool = False

    @classmethod
    def of(cls, answer) -> "Reply":
        match answer:
            case Reply():
                return answer
            case None:
                return cls(close=True)
            case (status, headers):
                return cls(status, headers)
            case status:
                return cls(status)


# A status, a status and headers, None to close without an answer, or all that a Reply can say.
Answer = int | tuple[int, dict[str, str]] | None | Reply


class HookReceiver:
    """Answers by `answer(hook)`, which may be replaced at any time and is called on many threads at once."""

    def __init__(self, answer: Callable[[Hook], Answer] = lambda hook: 200):
        self.hooks: list[Hook] = []
        self.answer = answer
        self._attempts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                reply = Reply.of(receiver.answer(receiver._record(self.path, self.headers, body)))
                if reply.hang or reply.delay:
                    receiver._closing.wait(None if reply.hang else reply.delay)
                if reply.hang or reply.close:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.status not in (204, 205, 304):
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

            def handle_error(self, *where):
                # A client that gave up is for the test to notice, not for its output.
                if not isinstance(sys.exception(), OSError):
                    super().handle_error(*where)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _record(self, path: str, headers, body: bytes) -> Hook:
        headers = {name.lower(): value for name, value in headers.items()}
        message = headers.get("webhook-id", "")
        with self._lock:
            self._attempts[message] += 1
            hook = Hook(time.time(), path, headers, body, self._attempts[message])
            self.hooks.append(hook)
        return hook

    def events(self) -> list[dict]:
        with self._lock:
            return [hook.event for hook in self.hooks]

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events()]

    def wait_for(self, count: int, *kinds: str, seconds: float = 10.0) -> list[Hook]:
        """At least `count` requests, of certain event types if any are named."""

        def found():
            with self._lock:
                hooks = [hook for hook in self.hooks if not kinds or hook.event["type"] in kinds]
            return hooks if len(hooks) >= count else None

        return wait_until(found, f"{count} webhook request(s) {kinds or ''}", seconds=seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._closing.set()
        self.server.shutdown()
        self.server.server_close()
