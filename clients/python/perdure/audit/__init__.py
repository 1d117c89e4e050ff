"""The audit trail: who did what, when and from where, as a server keeps it.

`events` what an audit event is, and of which types there are any · `chain` how they are bound to each other · `signing`
signatures of heads · `checker` whether a chain is whole · `lines` exports as lines of JSON.

Nothing here does I/O or reads a clock. `signing` needs `cryptography`.
"""
