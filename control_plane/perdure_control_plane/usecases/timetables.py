"""The times of schedules: cron expressions and intervals."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from perdure_control_plane.domain.errors import field_invalid
from perdure_control_plane.domain.limits import SECOND
from perdure_control_plane.domain.schedule import Schedule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def next_time(schedule: Schedule, after: int) -> int:
    """The first time of a schedule after a moment, in microseconds since 1970; 0 where none is within 50 years.

    A cron time that a clock skips when it goes forward comes right after that; one that a clock shows twice when it goes
    back comes once, but for expressions that name every hour, or every minute.
    """
    if schedule.interval:
        passed = (after - schedule.created_at) // schedule.interval + 1
        return schedule.created_at + max(1, passed) * schedule.interval
    moment = (EPOCH + timedelta(microseconds=after)).astimezone(ZoneInfo(schedule.time_zone))
    found = next(CronSim(schedule.cron, moment), None)
    return 0 if found is None else round((found.astimezone(UTC) - EPOCH) / timedelta(microseconds=1))


def check_cron(cron: str, time_zone: str) -> None:
    """Raises FieldInvalid where the expression or the zone is none."""
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise field_invalid("schedule.time_zone", f"{time_zone!r} is no time zone, such as Europe/Vienna") from error
    if len(cron.split()) != 5:
        raise field_invalid("schedule.cron", "has five fields: minute, hour, day of the month, month, day of the week")
    try:
        CronSim(cron, EPOCH.astimezone(zone))
    except CronSimError as error:
        raise field_invalid("schedule.cron", f"{cron!r} is no cron expression: {error}") from error


MIN_INTERVAL = SECOND
MAX_INTERVAL = 366 * 24 * 3600 * SECOND
