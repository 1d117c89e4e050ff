"""`perdure status`: what is not well is named, and what would mend it."""

import pytest

from perdure.cli.runtime import Runtime
from perdure.cli.status import Held, Standing, show_standing
from perdure.v1.identities_pb2 import Identity
from perdure.v1.roles_pb2 import ROLE_OPERATOR
from perdure.v1.server_pb2 import AUTHENTICATION_REQUIRED, Executor, ServerInfo

WELL = dict.fromkeys(("server", "store", "journal", "queue", "executors"), "SERVING")
LIVE = Executor(name="executors/one", state=Executor.STATE_LIVE, slots=16)


def standing(health: dict[str, str], *executors: Executor) -> Standing:
    return Standing(health, Runtime(ServerInfo(), executors), Held(0, 0, (), 0, True))


def test_a_server_without_executors_is_not_said_to_be_well(capsys: pytest.CaptureFixture[str]) -> None:
    without = standing(WELL)

    show_standing(without)

    told = capsys.readouterr()
    assert without.ill == ["executors"]
    assert told.out.startswith("health:     executors do not serve\nserver: ")
    assert told.err == "executors: nothing runs without an executor; start one: perdure-server executor\n"


def test_an_executor_that_has_just_come_counts(capsys: pytest.CaptureFixture[str]) -> None:
    show_standing(standing(WELL | {"executors": "NOT_SERVING"}, LIVE))

    assert capsys.readouterr().out.startswith("health:     well\n")


def test_a_server_that_asks_who_calls_says_whom_it_takes_the_caller_for(capsys: pytest.CaptureFixture[str]) -> None:
    server = ServerInfo(authentication=AUTHENTICATION_REQUIRED)
    caller = Identity(principal="keys/ci", authenticated=True, role=ROLE_OPERATOR)

    show_standing(Standing(WELL, Runtime(server, (LIVE,)), Held(0, 0, (), 0, True), caller))
    show_standing(standing(WELL, LIVE))

    told = capsys.readouterr().out
    assert told.count("callers must say who they are; you are keys/ci, operator") == 1
    assert told.count("open to everybody who reaches it") == 1


def test_while_the_database_is_away_nobody_is_told_to_add_executors(capsys: pytest.CaptureFixture[str]) -> None:
    show_standing(standing(WELL | dict.fromkeys(("store", "journal", "queue"), "NOT_SERVING"), LIVE))

    told = capsys.readouterr()
    assert [line.split()[1] for line in told.out.splitlines() if "not serve" in line] == ["store", "journal", "queue"]
    assert [line.partition(":")[0] for line in told.err.splitlines()] == ["store"]
