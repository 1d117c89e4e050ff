"""One verb a file; `ports` says what they need of the store, and `ls` is the feature list.

A use case reads, verifies and computes first. What it writes is one synchronous body, which the store runs inside one
transaction: nothing else of the store runs between the body's first statement and its last.
"""
