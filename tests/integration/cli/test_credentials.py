"""`perdure credentials`: which secrets there are, and nothing of what they are."""

import json
from typing import Any


def test_secrets_are_told_by_purpose_and_age_and_never_by_value(perdure: Any) -> None:
    keys = json.loads((perdure.server.data_dir / "keys.json").read_text())
    text = perdure.done("keys", "create", "ci", "--role", "viewer")["text"]

    document = perdure.done("credentials", "inventory")
    table = perdure("credentials", "inventory").out

    told = {one["purpose"]: one for one in document["server_credentials"]}
    assert set(told) == {f"PURPOSE_{word}" for word in ("APPROVAL_TOKENS", "PAGE_TOKENS", "CALLER_KEYS", "AUDIT_HEADS")}
    assert all(one["present"] and one["current"] and one["write_time"] for one in told.values())
    assert told["PURPOSE_APPROVAL_TOKENS"]["key_id"] == keys["current"]
    assert told["PURPOSE_AUDIT_HEADS"]["key_id"] == perdure.done("audit", "head")["public_key"]
    assert document["providers"] == [{"provider": "builtin", "executors": 1}]
    assert document["caller_keys"]["live"] == 1
    for secret in (*keys["approvals"].values(), keys["pages"], keys["callers"], keys["audit"], text):
        assert secret not in json.dumps(document)
        assert secret not in table
