"""Receives Grantex webhooks: verifies who sent them, keeps each event once, and answers at once.

An event is committed to a small database before the answer, because an answer of 2xx means that it never comes again. What it means
to the application is decided afterwards, by a worker that reads the database: a receiver that works before it answers is slow, and
what is slow is sent again. Needs nothing beyond Python.

    WEBHOOK_SECRET=… PORT=8787 INBOX=inbox.db python3 receiver.py

While a secret is being replaced, WEBHOOK_SECRET_PREVIOUS holds the older one.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
import sqlite3
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 300  # seconds that the time of an attempt may be from ours
MAX_BODY = 1024 * 1024  # events are far smaller
PATIENCE = 10  # seconds that a client may take to send a request


class Refused(Exception):
    """The request does not come from the Grantex server, was changed on its way, or is a recorded one."""


def verify(headers, body: bytes, secrets: list[str], now: float) -> None:
    """Raises Refused unless one of the secrets signed these bytes within TOLERANCE of now.

    Two families of headers say the same: the protocol's own are taken when they are there, else those of Standard Webhooks.
    X-Grantex-Signature alone is not taken: it does not cover the time, so that a recorded request would be good for ever.
    """
    if "X-Grantex-Signature-V2" in headers:
        timestamp = fresh(headers.get("X-Grantex-Timestamp"), now)
        expected = ["sha256=" + mac(secret.encode(), timestamp, body).hex() for secret in secrets]
        # While a secret is replaced, the older one signs in a header of its own.
        given = [headers["X-Grantex-Signature-V2"], headers.get("X-Grantex-Signature-V2-Previous", "")]
    else:
        timestamp = fresh(headers.get("webhook-timestamp"), now)
        message = headers.get("webhook-id", "")
        macs = [mac(standard_key(secret), message, timestamp, body) for secret in secrets]
        expected = ["v1," + base64.b64encode(tag).decode() for tag in macs]
        # A list: while a secret is replaced, both sign.
        given = headers.get("webhook-signature", "").split(" ")
    # Compared as bytes: compare_digest takes only ASCII as text.
    if not any(hmac.compare_digest(a.encode(), b.encode()) for a in expected for b in given):
        raise Refused("no signature fits")


def fresh(timestamp: str | None, now: float) -> str:
    if timestamp is None or not re.fullmatch("[0-9]{1,15}", timestamp):
        raise Refused("no timestamp")
    if abs(int(now) - int(timestamp)) > TOLERANCE:
        raise Refused("too old, or from the future")
    return timestamp


def mac(key: bytes, *parts: str | bytes) -> bytes:
    message = b".".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    return hmac.new(key, message, hashlib.sha256).digest()


def standard_key(secret: str) -> bytes:
    """Standard Webhooks: the bytes that the secret encodes. A secret that is no base64 is used as it is."""
    text = secret.removeprefix("whsec_").encode()
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        return text
    return key if base64.b64encode(key) == text else text


class Inbox:
    """Events that were taken, each once, and which of them were handled."""

    def __init__(self, path: str):
        self.database = sqlite3.connect(path, check_same_thread=False)
        self.lock = threading.Lock()
        self.more = threading.Event()
        with self.database:
            self.database.execute(
                "CREATE TABLE IF NOT EXISTS inbox (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
                " event TEXT NOT NULL, handled INTEGER NOT NULL DEFAULT 0)"
            )

    def keep(self, event: dict) -> bool:
        """Commits an event. False: it was there already, since deliveries may come more than once."""
        with self.lock, self.database:
            added = self.database.execute(
                "INSERT INTO inbox (id, event) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", (event["id"], json.dumps(event))
            )
        self.more.set()
        return added.rowcount == 1

    def work(self, handle) -> None:
        """Hands events out in the order in which they came, for ever. One that failed, or was cut short, comes again."""
        while True:
            self.more.wait()
            self.more.clear()
            while row := self.next():
                position, event = row
                try:
                    handle(json.loads(event))
                except Exception as error:
                    say(f"failed: {type(error).__name__}")
                    time.sleep(1)
                    continue
                with self.lock, self.database:
                    self.database.execute("UPDATE inbox SET handled = 1 WHERE position = ?", (position,))

    def next(self):
        with self.lock:
            return self.database.execute(
                "SELECT position, event FROM inbox WHERE handled = 0 ORDER BY position LIMIT 1"
            ).fetchone()


def handle(event: dict) -> None:
    """What an application would do: here it only says so. A type that is not known is passed over; more may come."""
    match event["type"]:
        case "grant.revoked":
            say(f"handled: {event['id']} the grant {event['data']['grantId']} is over")
        case kind:
            say(f"handled: {event['id']} {kind}")


def say(text: str) -> None:
    print(text, flush=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    secrets: list[str]
    inbox: Inbox

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MAX_BODY:
            self.close_connection = True
            return self.answer(413 if length else 411)
        body = self.rfile.read(int(length))
        try:
            verify(self.headers, body, self.secrets, time.time())
        except Refused as reason:
            say(f"refused: {reason}")
            return self.answer(401)
        try:
            event = json.loads(body)
            event_id, kind = event["id"], event["type"]
        except (ValueError, KeyError, TypeError):
            return self.answer(400)
        try:
            say(f"{'taken' if self.inbox.keep(event) else 'known'}: {event_id} {kind}")
        except sqlite3.Error:
            # Whatever is no 2xx is sent again.
            return self.answer(503)
        self.answer(204)

    def answer(self, status: int):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that wait to be taken; 5 by default


def main() -> None:
    # Anybody can sign with an empty key.
    secrets = [os.environ.get(name) for name in ("WEBHOOK_SECRET", "WEBHOOK_SECRET_PREVIOUS")]
    Handler.secrets = [secret for secret in secrets if secret]
    if not Handler.secrets:
        sys.exit("set WEBHOOK_SECRET to the secret that the webhook was made with")
    Handler.inbox = Inbox(os.environ.get("INBOX", "inbox.db"))
    Handler.inbox.more.set()
    threading.Thread(target=Handler.inbox.work, args=(handle,), daemon=True).start()
    server = Server(("127.0.0.1", int(os.environ.get("PORT", "8787"))), Handler)
    say(f"listening: http://127.0.0.1:{server.server_port}")
    server.serve_forever()


if __name__ == "__main__":
    main()
