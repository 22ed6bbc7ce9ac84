"""The audit hash chain, recomputed from what the API returns, independently of the server's code."""

import hashlib
import json
import math
from decimal import Decimal

ORDER = (
    "id", "agentId", "agentDid", "grantId", "principalId", "developerId", "action", "metadata", "timestamp", "prevHash",
    "status",
)


def canonical(value) -> str:
    """JSON text with members sorted by UTF-16 code units and numbers in ECMAScript's shortest form."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(k)}:{canonical(v)}" for k, v in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return ecmascript_number(value)
    return json.dumps(value, ensure_ascii=False)


def ecmascript_number(value: float) -> str:
    assert math.isfinite(value), "JSON has no such number"
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"


def entry_hash(entry: dict) -> str:
    members = []
    for name in ORDER:
        value = entry["entryId"] if name == "id" else entry.get(name)
        members.append(f"{json.dumps(name)}:{canonical(value)}")
    return hashlib.sha256(("{" + ",".join(members) + "}").encode()).hexdigest()


def check_chain(entries: list[dict], what: str):
    """Asserts that entries, oldest first and complete from the start, are an unbroken chain."""
    previous = None
    for position, entry in enumerate(entries):
        where = f"{what}, entry {position} ({entry['entryId']}, {entry['action']})"
        assert entry.get("prevHash") == previous, f"{where}: prevHash {entry.get('prevHash')} is not {previous}"
        assert entry["hash"] == entry_hash(entry), f"{where}: the hash does not match the content: {entry}"
        previous = entry["hash"]
