"""Every mutant can be planted, and the tests that must find it exist. `make mutants` plants them and runs those tests."""

import ast
import dataclasses
import pathlib

import pytest

from tests.mutants.planting import COPIED, ROOT, Change, DoesNotApply, Mutant, mutants
from tests.mutants.rules import RULES
from tests.mutants.trials import NothingRan, Outcome, Verdicts, run_tests

ALL = mutants()


def source_of(change: Change) -> str:
    return (ROOT / change.file).read_text()


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_its_text_stands_in_the_source_and_what_replaces_it_is_a_program(
    mutant: Mutant, tmp_path: pathlib.Path
) -> None:
    for change in mutant.changes:
        assert change.file.startswith(COPIED)
        (tmp_path / change.file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / change.file).write_text(source_of(change))

    mutant.plant(tmp_path)

    for change in mutant.changes:
        bent = (tmp_path / change.file).read_text()
        assert ast.dump(ast.parse(bent)) != ast.dump(ast.parse(source_of(change)))


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_the_tests_that_must_find_it_exist(mutant: Mutant) -> None:
    assert mutant.tests or mutant.seeds
    for test in mutant.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in names


def test_a_bug_is_planted_against_every_rule() -> None:
    assert {mutant.rule for mutant in ALL} == set(RULES)


def test_a_mutant_that_the_simulation_was_to_find_and_did_not_is_not_caught() -> None:
    sought = dataclasses.replace(ALL[0], seeds=10)

    assert not Outcome(sought, red=sought.tests).caught
    assert Outcome(sought, red=sought.tests, found="seed 7").caught


def test_there_are_enough_and_each_is_another_bug() -> None:
    assert len(ALL) >= 40
    assert len({mutant.title for mutant in ALL}) == len(ALL)


@pytest.mark.parametrize("source", ["x = 2\n", "x = 1\ny = x = 1\n"])
def test_a_text_that_is_gone_or_stands_twice_is_no_place_to_plant(tmp_path: pathlib.Path, source: str) -> None:
    (tmp_path / "module.py").write_text(source)

    with pytest.raises(DoesNotApply, match=r"module\.py"):
        Change("module.py", "x = 1\n", "x = 2\n").apply(tmp_path)


TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError

@pytest.fixture
def left_behind():
    yield
    raise OSError

def test_green(): pass
def test_red(): assert False
@pytest.mark.parametrize("case", [1, 2])
def test_red_once(case): assert case == 1
def test_set_up(broken): pass
def test_taken_down(left_behind): pass
@pytest.mark.skip
def test_skipped(): pass
"""


async def test_only_a_test_that_ran_and_passed_is_fit_to_find_a_bug(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_few.py").write_text(TESTS)

    verdicts = await run_tests(tmp_path, ["test_few.py"])

    red = frozenset(f"test_few.py::{name}" for name in ("test_red", "test_red_once", "test_set_up", "test_taken_down"))
    assert verdicts == Verdicts(red, frozenset({"test_few.py::test_green"}))


async def test_tests_that_cannot_be_collected_find_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_few.py").write_text("import gone\n")

    with pytest.raises(NothingRan, match="gone"):
        await run_tests(tmp_path, ["test_few.py"])


def test_a_mutant_whose_tests_are_red_without_it_is_not_caught() -> None:
    assert Outcome(ALL[0], red=ALL[0].tests).caught
    assert not Outcome(ALL[0], green=ALL[0].tests).caught
    assert not Outcome(ALL[0], unfit=ALL[0].tests).caught
