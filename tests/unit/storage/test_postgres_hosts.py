"""Addresses of a database with a standby, in each of the forms that people write."""

import pytest

from perdure_control_plane.storage.postgres_hosts import PostgresHosts, database_url


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:hidden@one,two:5433/d", "postgresql://u@one:5432,two:5433/d"),
        ("postgresql://u:hidden@/d?host=one:1&host=two:2", "postgresql://u@one:1,two:2/d"),
        ("postgresql://u:hidden@/d?host=one,two&port=1,2", "postgresql://u@one:1,two:2/d"),
        ("postgresql://one,two/d?ssl=require", "postgresql://one:5432,two:5432/d"),
        ("postgres://u:hidden@one/d", "postgresql://u:***@one/d"),
    ],
)
def test_every_host_is_shown_and_no_password(address: str, shown: str) -> None:
    assert str(PostgresHosts(database_url(address))) == shown
