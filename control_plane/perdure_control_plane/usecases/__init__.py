"""One verb a file: `ls` is the feature list. `ports` says what they need of the store; what several read is in `readings`.

A use case reads, verifies and computes first. What it writes is one synchronous body, which the store runs inside one
transaction: nothing else of the store runs between the body's first statement and its last.
"""
