"""A store that cannot be opened, or not now."""


class StoreBroken(Exception):
    """The store cannot be opened. The message is one plain sentence that says what to do."""


class StoreAway(StoreBroken):
    """The store cannot be reached now. It may be there later, with nothing changed here."""
