"""Every mutant can be planted, and the tests that must find it exist. `make mutants` plants them and runs those tests."""

import ast
import pathlib

import pytest

from tests.mutants.planting import COPIED, ROOT, Change, DoesNotApply, Mutant, mutants

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
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in names


def test_there_are_enough_and_each_is_another_bug() -> None:
    assert len(ALL) >= 10
    assert len({mutant.title for mutant in ALL}) == len(ALL)


@pytest.mark.parametrize("source", ["x = 2\n", "x = 1\ny = x = 1\n"])
def test_a_text_that_is_gone_or_stands_twice_is_no_place_to_plant(tmp_path: pathlib.Path, source: str) -> None:
    (tmp_path / "module.py").write_text(source)

    with pytest.raises(DoesNotApply, match=r"module\.py"):
        Change("module.py", "x = 1\n", "x = 2\n").apply(tmp_path)
