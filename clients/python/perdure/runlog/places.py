"""Places of runs among those of one key."""

from enum import IntEnum


class Place(IntEnum):
    """Where a run stands that needs a place among those of one key. The numbers are stored."""

    NONE = 0
    """It needs none."""
    WANTED = 1
    """It is handed out when one is free."""
    HELD = 2
    """It has one until its end, whatever it waits for."""
    GIVEN_BACK = 3
    """It has ended. Continued, it wants one again."""
