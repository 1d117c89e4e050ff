"""What an executor has to work with, put together from its settings."""

import importlib
import importlib.util
import pathlib
from collections.abc import Mapping
from types import ModuleType
from typing import Final

from perdure_executor.node_context import Function

PASSED_ON: Final = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME")
"""Variables of the executor's own environment that commands get; of the others only those that its settings name."""


class VariableMissing(Exception):
    """A variable that commands are to get is not set; the message names it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is to be passed on to commands, and is not set")


FUNCTIONS: Final = "FUNCTIONS"
"""Name in a functions module of the mapping from names to callables."""


class FunctionsInvalid(Exception):
    """A functions module cannot be used; the message says why."""


def load_functions(modules: tuple[str, ...]) -> Mapping[str, Function]:
    """The functions that modules register: each has a mapping FUNCTIONS from names to callables.

    A module is named as an import, or as a path that ends in `.py`.

    Raises FunctionsInvalid where a module cannot be imported, has no such mapping, or repeats a name.
    """
    found: dict[str, Function] = {}
    for name in modules:
        module = _load(name)
        functions = getattr(module, FUNCTIONS, None)
        if not isinstance(functions, Mapping):
            raise FunctionsInvalid(f"the functions module {name!r} has no mapping {FUNCTIONS}")
        for function_name, function in functions.items():
            if not callable(function):
                raise FunctionsInvalid(f"{name}.{FUNCTIONS}[{function_name!r}] cannot be called")
            if function_name in found:
                raise FunctionsInvalid(
                    f"the function {function_name!r} is registered twice, the second time by {name!r}"
                )
            found[function_name] = function
    return found


def _load(name: str) -> ModuleType:
    try:
        return _load_file(pathlib.Path(name)) if name.endswith(".py") else importlib.import_module(name)
    except FunctionsInvalid:
        raise
    except Exception as error:  # a module may raise whatever it likes when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise FunctionsInvalid(f"the functions module {name!r} cannot be imported: {reason}") from error


def _load_file(path: pathlib.Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FunctionsInvalid(f"there is no functions module at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def command_environment(environment: Mapping[str, str], named: tuple[str, ...] = ()) -> dict[str, str]:
    """The variables of the executor's own environment that every command gets: the common ones, and those named.

    Raises VariableMissing where one is named and not set.
    """
    common = {name: value for name, value in environment.items() if name in PASSED_ON or name.startswith("LC_")}
    return common | {name: _value(environment, name) for name in named}


def _value(environment: Mapping[str, str], name: str) -> str:
    if name not in environment:
        raise VariableMissing(name)
    return environment[name]
