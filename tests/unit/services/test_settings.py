"""Settings of the programs: what is not acceptable is refused by its name before anything starts."""

from typing import Any

import pytest

from perdure_services.settings import SettingsInvalid, load_executor


@pytest.mark.parametrize(
    ("flags", "named"),
    [({"name": "a b"}, "name"), ({"queues": ("ok", "q" * 129)}, "queues"), ({"queues": ("q",) * 101}, "queues")],
)
def test_an_executor_is_not_started_under_a_name_that_no_server_takes(flags: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{named}"):
        load_executor(None, flags)
