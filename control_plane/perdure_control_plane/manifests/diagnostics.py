"""Faults and doubts in a manifest."""

from dataclasses import dataclass
from typing import Final

WARNINGS: Final = frozenset(
    {
        "EFFECT_REPEATED",
        "EFFECT_UNSTATED",
        "EVIDENCE_UNKNOWN",
        "INPUT_UNKNOWN",
        "NAME_UNKNOWN",
        "NODE_MAY_BE_ABSENT",
        "NO_ACCEPTANCE_CRITERIA",
        "NO_PHASES",
        "NUL_CHARACTER",
        "OUTPUT_UNKNOWN",
        "SECRET_UNRESOLVED",
    }
)
"""Codes of doubts: a document that has them is accepted, unless an environment's policy blocks them."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Where in the document, what kind of fault (a stable word in capitals), and why it is one."""

    path: str
    code: str
    reason: str
