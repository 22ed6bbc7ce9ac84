"""The harness itself, against published vectors: a checker that cannot fail proves nothing."""

import time

import httpx
import pytest

from harness.chain import canonical, check_chain, ecmascript_number, entry_hash
from harness.hooks import HookReceiver, Reply

FIRST = {
    "entryId": "alog_00000000000000000000000001", "agentId": "ag_A", "agentDid": "did:grantex:ag_A", "grantId": "grnt_G",
    "principalId": "user-7", "developerId": "dev_D", "action": "invoice.paid", "metadata": {},
    "timestamp": "2030-01-02T03:04:05.006Z", "prevHash": None, "status": "success",
    "hash": "17d744d9dfa3278a676cfdbe090903294bd96e381dad856287276d78698d3948",
}
SECOND = {
    **FIRST, "entryId": "alog_00000000000000000000000002", "action": "file.read", "status": "blocked",
    "metadata": {"z": [1, {"b": True, "a": None}], "path": '/tmp/"q"\n', "amount": 12.50, "é": "ü"},
    "timestamp": "2030-01-02T03:04:05.007Z", "prevHash": FIRST["hash"],
    "hash": "420deff0d44ea146de1e9c0f4419b24bbadae82e3b0d1a19b643e0898d333be9",
}


def test_the_hash_formula_gives_the_known_vectors():
    assert entry_hash(FIRST) == FIRST["hash"]
    assert entry_hash(SECOND) == SECOND["hash"]


def test_a_changed_or_missing_entry_breaks_the_chain():
    check_chain([FIRST, SECOND], "vectors")
    with pytest.raises(AssertionError, match="content"):
        check_chain([{**FIRST, "action": "invoice.unpaid"}, SECOND], "vectors")
    with pytest.raises(AssertionError, match="prevHash"):
        check_chain([SECOND], "vectors")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (12.5, "12.5"), (-0.0, "0"), (1e21, "1e+21"), (1e-7, "1e-7"), (0.00001, "0.00001"), (1.5e-9, "1.5e-9"),
     (123456789012345680000.0, "123456789012345680000")],
)
def test_numbers_are_written_as_ecmascript_does(value, text):
    assert ecmascript_number(value) == text


def test_members_are_sorted_by_utf16_code_units():
    assert canonical({"\U0001f600": 1, "\ufb33": 2, "a": 3}) == '{"a":3,"\U0001f600":1,"\ufb33":2}'


def test_the_webhook_receiver_does_what_it_is_told():
    replies = {
        1: Reply(503, headers={"Retry-After": "7"}, body=b"later"),
        2: Reply(close=True),
        3: Reply(delay=0.3, status=200),
        4: Reply(hang=True),
    }
    receiver = HookReceiver(lambda hook: replies[hook.attempt])

    def post(seconds=10.0):
        return httpx.post(f"{receiver.url}/x", content=b'{"type":"t"}', headers={"Webhook-Id": "evt_1"}, timeout=seconds)

    with receiver:
        first = post()
        assert (first.status_code, first.headers["retry-after"], first.text) == (503, "7", "later")
        with pytest.raises(httpx.RemoteProtocolError):
            post()
        began = time.monotonic()
        assert post().status_code == 200
        assert time.monotonic() - began >= 0.3
        with pytest.raises(httpx.ReadTimeout):
            post(seconds=0.2)
        receiver.answer = lambda hook: 204
        assert post().status_code == 204
        receiver.answer = lambda hook: None
        with pytest.raises(httpx.RemoteProtocolError):
            post()
        assert [hook.attempt for hook in receiver.wait_for(6, "t")] == [1, 2, 3, 4, 5, 6]
        last = receiver.hooks[-1]
        assert (last.path, last.headers["webhook-id"], last.body, last.event) == (
            "/hook/x", "evt_1", b'{"type":"t"}', {"type": "t"},
        )
    # Whoever was kept waiting is let go.
    with pytest.raises(httpx.TransportError):
        post(seconds=5)
