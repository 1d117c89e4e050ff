"""What an executor is equipped with: a module of functions that cannot be used is refused in a sentence."""

import pathlib

import pytest

from perdure_executor.equipment import FunctionsInvalid, load_functions


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import no_such_module\n", "no_such_module"),
    ],
)
def test_a_file_of_functions_that_cannot_be_imported_is_named(tmp_path: pathlib.Path, text: str, said: str) -> None:
    file = tmp_path / "functions.py"
    file.write_text(text)

    with pytest.raises(FunctionsInvalid, match=said) as refused:
        load_functions((str(file),))

    assert str(file) in str(refused.value)
