"""What a showing has come to: its evidence, and the report that was published."""

import hashlib
import json
import pathlib
from typing import Final

from rich.table import Table

from perdure.v1.flows_pb2 import Flow

LEDGER: Final = "ledger.jsonl"
REPORT: Final = "report.md"


def published_report(outbox: pathlib.Path) -> bytes:
    """What readers of the outbox see; empty where there is nothing."""
    report = outbox / REPORT
    return report.read_bytes() if report.exists() else b""


def report_line(outbox: pathlib.Path, approved: str | None) -> str:
    """Where the report is, and whether it is the one that was approved."""
    if approved is None:
        return "Nothing was approved, so nothing was published."
    published, wanted = published_report(outbox), approved.encode()
    if published != wanted:
        return f"{outbox / REPORT} has {len(published)} bytes, and is not the {len(wanted)} bytes that were approved."
    digest = hashlib.sha256(published).hexdigest()
    return f"{outbox / REPORT} is what was approved, byte for byte: {len(published)} bytes, SHA-256 {digest[:16]}…"


def evidence(flow: Flow) -> Table:
    """Each piece of evidence that the playbook requires, and whether the flow has it."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "KIND", "OF", "WHAT IT SHOWS"):
        table.add_column(column)
    for check in flow.contract.checks:
        shown = check.evidence
        table.add_row("✔" if check.passed else "✖", shown.kind, shown.id, shown.description)
    if not flow.contract.checks:
        table.add_row("✖", "", "", "the flow did not succeed, so it was not asked for")
    return table


def others_than_ok(verdict: str) -> str:
    """The rules of a checker's verdict, as JSON, that are not ok; empty where all are."""
    rules = json.loads(verdict)["rules"]
    return ", ".join(f"{rule['rule']} {rule['verdict']}" for rule in rules if rule["verdict"] != "ok")
