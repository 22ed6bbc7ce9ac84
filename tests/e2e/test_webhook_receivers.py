"""Receivers as people write them: the examples of docs/webhooks.md, the published client, and the Standard Webhooks library."""

import contextlib
import hashlib
import hmac
import time

import httpx
import pytest
from grantex import verify_webhook, verify_webhook_signature
from standardwebhooks import Webhook, WebhookVerificationError

from conftest import running_server
from harness.hooks import Hook, HookReceiver
from harness.programs import PROGRAMS, Program
from harness.waiting import wait_until

OLD, NEW = "whsec_b2xkLXNlY3JldC1vZi10aGUtcmVjZWl2ZXI=", "whsec_bmV3LXNlY3JldC1vZi10aGUtcmVjZWl2ZXI="
OWN = ("x-grantex-signature", "x-grantex-timestamp", "x-grantex-signature-v2", "x-grantex-signature-v2-previous")
STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Allows receivers on this machine, over http."""
    flags = {"WEBHOOK_ALLOW_PRIVATE_HOSTS": "true", "WEBHOOK_ALLOW_INSECURE_URLS": "true"}
    with running_server("sqlite", tmp_path_factory.mktemp("webhooks"), None, **flags) as started:
        yield started


@pytest.fixture
def recorder():
    with HookReceiver() as receiver:
        yield receiver


@pytest.fixture(params=sorted(PROGRAMS))
def program(request, tmp_path):
    """Starts the example receiver of one language."""
    with contextlib.ExitStack() as stack:
        def start(secret: str, previous: str = "", name: str = "receiver") -> Program:
            return stack.enter_context(contextlib.closing(Program(request.param, tmp_path / name, secret, previous)))

        yield start


def subscribe(developer, url: str, secret: str = OLD, events=("*",)) -> str:
    answer = developer.http.post("/v1/webhooks", json={"url": url, "events": list(events), "secret": secret})
    assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
    assert answer.json()["secret"] == secret
    return answer.json()["id"]


def rotate(developer, webhook: str, secret: str, **options):
    answer = developer.http.post(f"/v1/webhooks/{webhook}/secret", json={"secret": secret, **options})
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"


def deliveries(developer, webhook: str) -> list[dict]:
    answer = developer.http.get(f"/v1/webhooks/{webhook}/deliveries")
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    return answer.json()["deliveries"]


def replay(program: Program, hook: Hook, body: bytes | None = None, only=OWN + STANDARD, **changes: str) -> int:
    """Sends a recorded request again: with another body, with some of its headers, or with changed ones."""
    headers = {name: value for name, value in hook.headers.items() if name in only}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    headers["content-type"] = "application/json"
    return httpx.post(program.url, content=hook.body if body is None else body, headers=headers).status_code


def signed(hook: Hook, at: int, secret: str = OLD) -> dict[str, str]:
    """The protocol's headers as they would be at another time."""
    tag = hmac.new(secret.encode(), f"{at}.".encode() + hook.body, hashlib.sha256).hexdigest()
    return {"x_grantex_timestamp": str(at), "x_grantex_signature_v2": f"sha256={tag}"}


def test_a_receiver_takes_each_event_once_and_in_order(program, sandbox):
    receiver = program(OLD)
    webhook = subscribe(sandbox, receiver.url)
    issued = sandbox.issue()
    sandbox.grantex.grants.revoke(issued.grant_id)

    taken = wait_until(lambda: receiver.said("taken")[2:] and receiver.said("taken"), "three events to be taken")
    assert [line.split()[1] for line in taken] == ["grant.created", "token.issued", "grant.revoked"]
    wait_until(lambda: {d["status"] for d in deliveries(sandbox, webhook)} == {"delivered"}, "the server to know")
    listed = deliveries(sandbox, webhook)
    assert [f"{d['eventId']} {d['eventType']}" for d in reversed(listed)] == taken
    assert [(d["attempts"], d["lastStatusCode"], d["lastError"]) for d in listed] == [(1, 204, None)] * 3

    # On demand a delivery comes again, and the receiver knows it.
    again = sandbox.http.post(f"/v1/webhooks/{webhook}/deliveries/{listed[0]['id']}/redeliver")
    assert again.status_code == 202, again.text
    assert wait_until(lambda: receiver.said("known"), "the event to come again") == taken[2:]
    assert receiver.said("taken") == taken and not receiver.said("refused")


def test_a_receiver_refuses_what_is_forged_or_stale(program, recorder, sandbox):
    receiver = program(OLD)
    subscribe(sandbox, recorder.url)
    sandbox.issue()
    hook = recorder.wait_for(1, "grant.created")[0]

    assert replay(receiver, hook) == 204
    assert replay(receiver, hook) == 204, "what it knows is welcome too"
    assert (len(receiver.said("taken")), len(receiver.said("known"))) == (1, 1)
    assert replay(receiver, hook, only=STANDARD) == 204
    assert replay(receiver, hook, only=OWN) == 204

    tampered = hook.body.replace(b"grant.created", b"grant.revoked")
    assert tampered != hook.body
    for family in (OWN, STANDARD, OWN + STANDARD):
        assert replay(receiver, hook, body=tampered, only=family) == 401, family
        assert replay(receiver, hook, body=b"", only=family) == 401, family
    # A replaced timestamp breaks the signature, for it is signed as well.
    later = str(int(hook.headers["x-grantex-timestamp"]) + 1)
    assert replay(receiver, hook, x_grantex_timestamp=later) == 401
    assert replay(receiver, hook, only=STANDARD, webhook_timestamp=later) == 401
    assert replay(receiver, hook, only=STANDARD, webhook_id="evt_another") == 401
    # The signature of the body alone is no proof: it has no time.
    assert replay(receiver, hook, only=("x-grantex-signature",)) == 401
    assert replay(receiver, hook, only=()) == 401

    # A recorded request that was genuine once. The margin is for the time that the test takes.
    now = int(time.time())
    assert replay(receiver, hook, **signed(hook, now - 290)) == 204
    for at in (now - 301, now + 330, 0):
        assert replay(receiver, hook, **signed(hook, at)) == 401, at
    assert replay(receiver, hook, **signed(hook, now, secret=NEW)) == 401
    assert len(receiver.said("taken")) == 1


def test_a_receiver_knows_either_secret_while_one_is_replaced(program, recorder, sandbox):
    receiver = program(NEW, previous=OLD)
    webhook = subscribe(sandbox, receiver.url)
    recorded = subscribe(sandbox, recorder.url)
    sandbox.issue()
    before = recorder.wait_for(2)[0]
    for each in (webhook, recorded):
        rotate(sandbox, each, NEW)
    sandbox.issue()
    during = recorder.wait_for(4)[2]
    for each in (webhook, recorded):
        rotate(sandbox, each, NEW, overlap="0s")
    sandbox.issue()
    after = recorder.wait_for(6)[4]

    # At least once: on a busy machine one may come twice.
    wait_until(lambda: len(set(receiver.said("taken"))) == 6, "six events")
    assert not receiver.said("refused"), "whoever knows both never misses an event"

    old, new = program(OLD, name="old"), program(NEW, name="new")
    for family in (OWN, STANDARD):
        answers = [[replay(each, hook, only=family) for each in (old, new, receiver)] for hook in (before, during, after)]
        assert answers == [[204, 401, 204], [204, 204, 204], [401, 204, 204]], family


def test_a_refused_delivery_waits_for_the_next_attempt(program, sandbox):
    receiver = program(NEW)
    webhook = subscribe(sandbox, receiver.url, secret=OLD, events=["grant.created"])
    sandbox.issue()
    first = wait_until(lambda: [d for d in deliveries(sandbox, webhook) if d["attempts"]], "an attempt")[0]
    assert (first["status"], first["lastStatusCode"], first["deliveredAt"]) == ("pending", 401, None)
    assert first["lastError"] == "the receiver answered 401"
    assert first["nextAttemptAt"] is not None and first["maxAttempts"] == 10
    assert receiver.said("refused") and not receiver.said("taken")


@pytest.mark.parametrize("secret", [None, OLD, "any text of sixteen characters"])
def test_the_published_client_verifies_deliveries(secret, recorder, sandbox):
    if secret is None:
        made = sandbox.grantex.webhooks.create(url=recorder.url, events=["token.issued"])
        assert [each.id for each in sandbox.grantex.webhooks.list().webhooks] == [made.id]
        webhook, secret = made.id, made.secret
    else:
        webhook = subscribe(sandbox, recorder.url, secret=secret)
    sandbox.issue()
    hook = recorder.wait_for(1, "token.issued")[0]
    timestamp, signature = hook.headers["x-grantex-timestamp"], hook.headers["x-grantex-signature-v2"]
    assert verify_webhook(hook.body, signature, timestamp, secret)
    assert verify_webhook_signature(hook.body, hook.headers["x-grantex-signature"], secret)
    assert not verify_webhook(hook.body + b" ", signature, timestamp, secret)
    assert not verify_webhook(hook.body, signature, str(int(timestamp) - 301), secret)
    assert not verify_webhook(hook.body, signature, timestamp, "another secret!!")
    sandbox.grantex.webhooks.delete(webhook)
    assert webhook not in [each.id for each in sandbox.grantex.webhooks.list().webhooks]


def test_the_published_client_verifies_either_secret_while_one_is_replaced(recorder, sandbox):
    webhook = subscribe(sandbox, recorder.url)
    rotate(sandbox, webhook, NEW, overlap="1h")
    sandbox.issue()
    headers, body = (hook := recorder.wait_for(1)[0]).headers, hook.body
    timestamp = headers["x-grantex-timestamp"]
    assert verify_webhook(body, headers["x-grantex-signature-v2"], timestamp, NEW)
    assert verify_webhook(body, headers["x-grantex-signature-v2-previous"], timestamp, OLD)
    assert verify_webhook_signature(body, headers["x-grantex-signature"], NEW)
    assert verify_webhook_signature(body, headers["x-grantex-signature-previous"], OLD)


def test_the_library_of_standard_webhooks_verifies_deliveries(recorder, sandbox):
    made = sandbox.grantex.webhooks.create(url=recorder.url, events=["token.issued"])
    rotated = subscribe(sandbox, recorder.url, events=["grant.created"])
    rotate(sandbox, rotated, NEW)
    sandbox.issue()

    hook = recorder.wait_for(1, "token.issued")[0]
    event = Webhook(made.secret).verify(hook.body, hook.headers)
    assert event == hook.event and event["id"] == hook.headers["webhook-id"]
    for broken in (hook.body + b" ", hook.body.replace(b"token", b"taken")):
        with pytest.raises(WebhookVerificationError):
            Webhook(made.secret).verify(broken, hook.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(hook.body, hook.headers)
    stale = hook.headers | {"webhook-timestamp": str(int(hook.headers["webhook-timestamp"]) - 301)}
    with pytest.raises(WebhookVerificationError):
        Webhook(made.secret).verify(hook.body, stale)

    both = recorder.wait_for(1, "grant.created")[0]
    assert Webhook(OLD).verify(both.body, both.headers) == Webhook(NEW).verify(both.body, both.headers) == both.event
