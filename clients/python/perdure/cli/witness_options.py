"""Options that name files in which others have written down what they saw."""

import pathlib
from typing import Annotated

import typer

Acknowledgements = Annotated[
    list[pathlib.Path] | None,
    typer.Option(
        "--acks",
        metavar="FILE",
        help="What was acknowledged: an executor's log (--log-format json --log-level debug), or lines of "
        '{"run": ..., "sequence": ...}; repeat for more.',
    ),
]
Launches = Annotated[
    list[pathlib.Path] | None,
    typer.Option(
        "--launches",
        metavar="FILE",
        help='What the target of guarded commands saw: lines of {"key": ..., "node": ...}, the key from '
        "PERDURE_IDEMPOTENCY_KEY. Complete, and of runs that stand still; repeat for more.",
    ),
]
