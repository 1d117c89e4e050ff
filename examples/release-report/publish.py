"""Publishes the report it is given on standard input: copies it into the outbox, part by part.

Before anything else it writes its idempotency key into the outbox's ledger. The ledger is the witness from outside: it
shows how often a publishing was begun, whatever anybody's log says.
"""

import argparse
import json
import os
import pathlib
import sys
import time

PARTS = 8
LEDGER = "ledger.jsonl"
REPORT = "report.md"


def main() -> None:
    parser = argparse.ArgumentParser(description="Publishes a report.")
    parser.add_argument("outbox", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=0.0, help="take at least so long, so that one can watch it")
    chosen = parser.parse_args()
    report = sys.stdin.buffer.read()
    chosen.outbox.mkdir(parents=True, exist_ok=True)
    note_launch(chosen.outbox / LEDGER)
    copy(report, chosen.outbox / REPORT, chosen.seconds / PARTS)


def note_launch(ledger: pathlib.Path) -> None:
    launch = {"key": os.environ["PERDURE_IDEMPOTENCY_KEY"], "node": os.environ["PERDURE_NODE"]}
    with ledger.open("a") as file:
        file.write(json.dumps(launch) + "\n")
        file.flush()
        os.fsync(file.fileno())


def copy(report: bytes, place: pathlib.Path, pause: float) -> None:
    """Readers see every part as it is written: that is why this is not to be done twice without asking."""
    with place.open("wb") as file:
        for part in range(1, PARTS + 1):
            file.write(report[len(report) * (part - 1) // PARTS : len(report) * part // PARTS])
            file.flush()
            os.fsync(file.fileno())
            print(f"part {part} of {PARTS} is out", flush=True)
            time.sleep(pause)


if __name__ == "__main__":
    main()
