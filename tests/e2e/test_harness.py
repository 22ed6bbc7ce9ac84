"""The harness itself, against published vectors: a checker that cannot fail proves nothing."""

import pytest

from harness.chain import canonical, check_chain, ecmascript_number, entry_hash

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
