"""A client of event streams that keeps what came, and how it ended."""

import contextlib
import json
import socket
import threading

import httpx

from .waiting import wait_until


class Stream:
    """Reads server-sent events in a thread of its own. `position` is what a browser would repeat as Last-Event-ID."""

    def __init__(self, server, api_key: str, last_event_id: str | None = None, **params: str):
        self.events: list[tuple[int, dict]] = []
        self.comments: list[str] = []
        self.position: str | None = last_event_id
        self.status: int | None = None
        self.is_over = False
        self._id: str | None = None
        self._data: str | None = None
        headers = {"Authorization": f"Bearer {api_key}"} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        self._http = httpx.Client(base_url=server.url, headers=headers, timeout=httpx.Timeout(10, read=None))
        self._response: httpx.Response | None = None
        self._thread = threading.Thread(target=self._read, args=(params,), daemon=True)
        self._thread.start()
        wait_until(lambda: self.is_over or self.status and (self.status != 200 or self.position), "the stream to begin")

    def _read(self, params):
        try:
            with self._http.stream("GET", "/v1/events/stream", params=params) as response:
                self._response, self.status = response, response.status_code
                for line in response.iter_lines():
                    self._take(line)
        except (httpx.TransportError, httpx.StreamError):
            pass  # The server was killed, or this end was closed.
        finally:
            self.is_over = True

    def _take(self, line: str):
        if line.startswith("id: "):
            self._id = line[4:]
        elif line.startswith("data: "):
            self._data = line[6:]
        elif line.startswith(":"):
            self.comments.append(line[1:].strip())
        elif not line:
            # Only now: a connection may be cut anywhere, and half a message does not count.
            self.position = self._id or self.position
            if self._data:
                self.events.append((int(self.position), json.loads(self._data)))
            self._data = None

    def kinds(self) -> list[str]:
        return [event["type"] for _, event in self.events]

    def wait_for(self, count: int, seconds: float = 10) -> list[dict]:
        wait_until(lambda: len(self.events) >= count, f"{count} events on the stream", seconds)
        return [event for _, event in self.events]

    def wait_for_end(self, seconds: float = 10):
        wait_until(lambda: self.is_over, "the end of the stream", seconds)

    def close(self):
        """Goes away without a word; nothing is read any more afterwards."""
        if self._response is not None:
            with contextlib.suppress(OSError):
                self._response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        assert not self._thread.is_alive(), "the stream cannot be closed"
        self._http.close()
