"""What a run's log means: pure functions over events, shared by everyone who reads or walks a run.

`states` the states and their transitions · `instances` addresses · `head` what scheduling needs, folded · `plans` a plan,
indexed · `walk` what walking needs, folded, of each node (`node_walk`) and of the `inbox` · `interpreter` what comes next,
as `intents` · `bindings` what a node sees · `effects` derived keys and ids · `checkpoints` positions · `recovery` how to
go on · `checker` whether a log obeys the rules.

Nothing here does I/O, reads a clock, or evaluates an expression.
"""

from typing import Final

FOLD_VERSION: Final = 1
"""Version of the rules in this package. A run is folded by the version it was created with, or refused."""
