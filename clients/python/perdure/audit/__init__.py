"""The audit trail: who did what, when and from where, as a server keeps it.

`events` what an audit event is, and of which types there are any.

Nothing here does I/O or reads a clock.
"""
