"""A store that cannot be opened."""


class StoreBroken(Exception):
    """The store cannot be opened. The message is one plain sentence that says what to do."""
