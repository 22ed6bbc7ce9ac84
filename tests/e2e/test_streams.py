"""Event streams against the real server: what happens arrives, and whoever comes back misses nothing."""

import contextlib
import json
import statistics
import threading
import time

import httpx
import pytest
from grantex import Grantex
from grantex.resources._events import StreamOptions
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from conftest import running_server
from harness.developer import Developer
from harness.postgres import fresh_database
from harness.streams import Stream
from harness.waiting import wait_until


# What it finds would come between what is waited for.
CALM = {"ANOMALY_DETECTION_ENABLED": "false"}


@pytest.fixture(scope="module")
def server(backend, tmp_path_factory, admin_url):
    with running_server(backend, tmp_path_factory.mktemp(backend), admin_url, **CALM) as started:
        yield started


@pytest.fixture
def stream():
    """Opens streams that are closed at the end of the test."""
    opened = []

    def open_stream(developer, **options):
        opened.append(Stream(developer.server, developer.api_key, **options))
        return opened[-1]

    yield open_stream
    for one in opened:
        one.close()


@pytest.fixture
def socket():
    """Opens sockets that are closed at the end of the test."""
    with contextlib.ExitStack() as stack:
        def open_socket(developer, query=""):
            url = developer.server.url.replace("http", "ws", 1) + f"/v1/events/ws{query}"
            headers = {"Authorization": f"Bearer {developer.api_key}"}
            return stack.enter_context(connect(url, additional_headers=headers))

        yield open_socket


def history(developer, **params) -> list[dict]:
    """Every event that is kept, oldest first."""
    events, cursor = [], None
    while True:
        page = {"cursor": cursor} if cursor else {}
        answer = developer.http.get("/v1/events", params={"pageSize": 1000, **params, **page})
        assert answer.status_code == 200, answer.text
        events += answer.json()["events"]
        cursor = answer.json().get("nextCursor")
        if not cursor:
            return events[::-1]


def test_the_published_client_hears_what_happens(sandbox):
    # With a slash at the end the published client asks for //v1/events/stream.
    client = Grantex(api_key=sandbox.api_key, base_url=sandbox.server.url + "/", max_retries=0)
    heard, failures = [], []
    subscription = client.events.subscribe(
        heard.append, StreamOptions(types=["grant.created", "grant.revoked"]), on_error=failures.append
    )
    gauge = lambda: sandbox.server.scrape().value("grantex_event_streams", transport="sse")
    wait_until(lambda: gauge() == 1, "the stream to be open")
    issued = sandbox.issue()
    sandbox.grantex.grants.revoke(issued.grant_id)
    wait_until(lambda: len(heard) == 2, "two events", seconds=5)
    assert [event.type for event in heard] == ["grant.created", "grant.revoked"]
    assert heard[0].data["grantId"] == issued.grant_id == heard[1].data["grantId"]
    told = history(sandbox, types="grant.created,grant.revoked")
    assert [(event.id, event.created_at, event.data) for event in heard] == [
        (event["id"], event["createdAt"], event["data"]) for event in told
    ]
    assert subscription.active and not failures

    iterator = client.events.stream()
    threading.Timer(0.5, sandbox.issue).start()
    assert [next(iterator).type, next(iterator).type] == ["grant.created", "token.issued"]
    iterator.close()
    # The client looks whether it is to stop when something comes.
    threading.Timer(0.5, sandbox.issue).start()
    subscription.unsubscribe()
    assert not subscription.active
    client.close()
    wait_until(lambda: gauge() == 0, "both streams to be closed")


def test_positions_have_no_gaps_and_filters_hold(sandbox, stream):
    every, some = stream(sandbox), stream(sandbox, types="grant.*")
    for _ in range(5):
        sandbox.issue()
    every.wait_for(10)
    some.wait_for(5)
    assert [position for position, _ in every.events] == list(range(1, 11))
    assert set(some.kinds()) == {"grant.created"}
    assert [event for _, event in every.events] == history(sandbox)
    answer = sandbox.http.get("/v1/events/stream", params={"types": "grant.made"})
    assert answer.status_code == 400 and "grant.created" in answer.json()["message"]


def test_whoever_comes_back_goes_on(sandbox, stream):
    first = stream(sandbox)
    sandbox.issue()
    first.wait_for(2)
    first.close()
    for _ in range(3):
        sandbox.issue()
    by_header = stream(sandbox, last_event_id=first.position)
    by_query = stream(sandbox, lastEventId=first.events[-1][1]["id"])
    assert by_header.wait_for(6) == by_query.wait_for(6) == history(sandbox)[2:]
    for position, status in [("99", 400), ("x", 400), ("evt_01ARZ3NDEKTSV4RRFFQ69G5FAV", 410)]:
        answer = sandbox.http.get("/v1/events/stream", headers={"Last-Event-ID": position})
        assert answer.status_code == status, answer.text


def test_a_killed_server_costs_no_event(own_server, stream):
    server = own_server(**CALM)
    developer = Developer(server, "sandbox")
    agent = developer.agent()
    stopping = threading.Event()

    def work():
        worker = httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {developer.api_key}"}, timeout=5)
        while not stopping.is_set():
            try:
                asked = {"agentId": agent.id, "principalId": "user-1", "scopes": ["tool:ledger:read"]}
                code = worker.post("/v1/authorize", json=asked).json()["code"]
                worker.post("/v1/token", json={"code": code, "agentId": agent.id})
            except (httpx.TransportError, KeyError, ValueError):
                time.sleep(0.05)  # The server is away; it comes back.
        worker.close()

    parts = [stream(developer)]
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(2):
        parts[-1].wait_for(20, seconds=30)
        server.kill()
        parts[-1].wait_for_end()
        server.start()
        parts.append(stream(developer, last_event_id=parts[-1].position))
    parts[-1].wait_for(20, seconds=30)
    stopping.set()
    for worker in workers:
        worker.join(timeout=30)
    told = history(developer)
    received = lambda: [event for part in parts for _, event in part.events]
    wait_until(lambda: len(received()) >= len(told), "every event")
    positions = [position for part in parts for position, _ in part.events]
    assert positions == list(range(1, len(told) + 1)), "nothing is missing, nothing came twice"
    assert received() == told
    developer.close()


def test_draining_ends_streams_in_order(own_server, stream, socket):
    server = own_server(SHUTDOWN_DELAY="1s", **CALM)
    developer = Developer(server, "sandbox")
    mark = server.log.mark()
    events, ws = stream(developer), socket(developer)
    developer.issue()
    events.wait_for(2)
    assert json.loads(ws.recv(timeout=10)) == events.events[0][1]
    began = time.monotonic()
    server.terminate()
    events.wait_for_end()
    assert events.comments[-1] == "ended: draining"
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            ws.recv(timeout=10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "draining")
    assert server.wait() == 0
    assert time.monotonic() - began < 10, "open streams do not hold up the end"
    lines = server.log.events(mark, "event_stream.ended")
    assert {(line["transport"], line["reason"], line["events"]) for line in lines} == {
        ("sse", "draining", 2), ("websocket", "draining", 2)
    }
    developer.close()
    # What a client does next: the same position, at the server that took over.
    server.start()
    again = Developer.__new__(Developer)
    again.server, again.api_key = server, developer.api_key
    assert stream(again, last_event_id=events.position).status == 200


def test_a_socket_filters_and_answers(sandbox, socket):
    ws = socket(sandbox)
    ws.send(json.dumps({"types": ["grant.revoked"]}))
    ws.send("nonsense")
    ws.send(b"\x00")
    assert ws.ping().wait(timeout=10), "a ping is answered, after everything before it was read"
    issued = sandbox.issue()
    sandbox.grantex.grants.revoke(issued.grant_id)
    event = json.loads(ws.recv(timeout=10))
    assert (event["type"], event["data"]["grantId"]) == ("grant.revoked", issued.grant_id)
    ws.send(json.dumps({"types": ["*"]}))
    assert ws.ping().wait(timeout=10)
    sandbox.issue()
    assert json.loads(ws.recv(timeout=10))["type"] == "grant.created"

    created = history(sandbox, types="grant.created")
    behind = socket(sandbox, f"?types=grant.created&lastEventId={created[0]['id']}")
    assert json.loads(behind.recv(timeout=10)) == created[1]
    wrong = socket(sandbox)
    wrong.send(json.dumps({"types": ["grant.made"]}))
    with pytest.raises(ConnectionClosed) as closed:
        wrong.recv(timeout=10)
    assert closed.value.rcvd.code == 1008


def test_a_silent_socket_is_pinged(own_server, stream, socket):
    server = own_server(EVENT_STREAM_KEEPALIVE="1s", **CALM)
    developer = Developer(server, "sandbox")
    events, ws = stream(developer), socket(developer)
    wait_until(lambda: events.comments.count("keepalive") >= 3, "three signs of life", seconds=20)
    # The client answered every ping by itself, or it would be closed by now.
    developer.issue()
    assert json.loads(ws.recv(timeout=10))["type"] == "grant.created"
    developer.close()


def test_seats_are_limited_and_come_back(sandbox, stream, socket):
    opened = [stream(sandbox) for _ in range(5)]
    sockets = [socket(sandbox) for _ in range(5)]
    answer = sandbox.http.get("/v1/events/stream")
    assert (answer.status_code, answer.json()["code"]) == (429, "TOO_MANY_CONNECTIONS")
    with pytest.raises(InvalidStatus) as refused:
        socket(sandbox)
    assert refused.value.response.status_code == 429
    before = sandbox.server.scrape()
    assert before.value("grantex_event_streams", transport="sse") == 5
    assert before.value("grantex_event_streams", transport="websocket") == 5
    for one in opened:
        one.close()
    for one in sockets:
        one.socket.close()  # Without a close frame.

    def changes():
        return sandbox.server.scrape().changes_since(before, "grantex_event_streams_ended_total")

    wait_until(lambda: changes() == {'grantex_event_streams_ended_total{reason="client"}': 10}, "ten ends", seconds=20)
    assert sandbox.server.scrape().value("grantex_event_streams", transport="sse") == 0
    assert sandbox.server.scrape().value("grantex_http_requests_in_flight") == 1, "the scrape itself"
    assert all(stream(sandbox).status == 200 for _ in range(5))


def test_a_replaced_key_ends_its_streams(sandbox, stream):
    events = stream(sandbox)
    answer = sandbox.http.post("/v1/keys/rotate")
    assert answer.status_code == 200
    events.wait_for_end(seconds=5)
    assert events.comments[-1] == "ended: key_changed"


def test_what_happens_on_one_server_reaches_the_streams_of_another(tmp_path, admin_url, stream):
    with fresh_database(admin_url) as url:
        key = "5a" * 32
        with (
            running_server("postgres", tmp_path / "a", admin_url, url, GRANTEX_MASTER_KEY=key, **CALM) as one,
            running_server("postgres", tmp_path / "b", admin_url, url, GRANTEX_MASTER_KEY=key, **CALM) as two,
        ):
            developer = Developer(one, "sandbox")
            elsewhere = Stream(two, developer.api_key)
            agent = developer.agent()
            delays = []
            for round_ in range(1, 11):
                developer.issue(agent=agent)
                committed = time.monotonic()
                elsewhere.wait_for(2 * round_, seconds=10)
                delays.append(time.monotonic() - committed)
            assert statistics.median(delays) < 1, delays
            elsewhere.close()
            developer.close()
