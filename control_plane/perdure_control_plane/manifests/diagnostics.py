"""Faults and doubts in a manifest."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Where in the document, what kind of fault (a stable word in capitals), and why it is one."""

    path: str
    code: str
    reason: str
