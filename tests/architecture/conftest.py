"""The project's own sources, parsed: what the architecture tests read, and small trees in which faults are planted."""

import ast
import importlib.util
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = ("clients/python", "control_plane", "executor", "services")
"""Where our packages lie; a module's dotted name is its path below one of these."""

GENERATED = "_pb2"
"""What the name of a module that protoc wrote has in it."""


@dataclass(frozen=True)
class Import:
    """One name that a module imports. `name` goes down to the member: `from a import b` imports `a.b`."""

    importer: str
    name: str
    place: str
    in_function: bool

    def __str__(self) -> str:
        return f"{self.place}: {self.importer} imports {self.name}"


@dataclass(frozen=True)
class Module:
    """One of our files of Python."""

    name: str
    path: str
    """Relative to the root, with forward slashes."""
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @cached_property
    def docstrings(self) -> set[ast.AST]:
        """Every text that stands alone as a statement: those of modules, classes, functions and constants."""
        return {node.value for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}

    def texts(self) -> Iterator[tuple[ast.Constant, str]]:
        """Every text in the code, docstrings left out."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in self.docstrings:
                yield node, node.value

    def at(self, node: ast.AST) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}"

    def imports(self) -> Iterator[Import]:
        """Everything it imports, for types only or not, at its top or not, and by name through importlib."""
        inside = {
            inner
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for inner in ast.walk(node)
        }
        for node in ast.walk(self.tree):
            for name in self._names(node):
                yield Import(self.name, name, self.at(node), node in inside)

    def _names(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                relative = "." * node.level + (node.module or "")
                package = self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]
                origin = importlib.util.resolve_name(relative, package) if node.level else relative
                yield from (origin if alias.name == "*" else f"{origin}.{alias.name}" for alias in node.names)
            case ast.Call(args=[ast.Constant(value=str(name)), *_]):
                called = ast.unparse(node.func)
                if called in ("__import__", "importlib.import_module", "import_module"):
                    yield name


class SourceTree:
    """All files below a root."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root

    @cached_property
    def modules(self) -> list[Module]:
        """Our own packages, without what protoc wrote."""
        return [module for folder in FOLDERS for module in self._below(folder)]

    @cached_property
    def tests(self) -> list[Module]:
        return list(self._below("tests"))

    @cached_property
    def imports(self) -> list[Import]:
        return [found for module in self.modules for found in module.imports()]

    def files(self, *patterns: str) -> Iterator[tuple[str, str]]:
        """Path and text of other files, such as `protos/**/*.proto`."""
        for pattern in patterns:
            for path in sorted(self.root.glob(pattern)):
                if path.is_file():
                    yield path.relative_to(self.root).as_posix(), path.read_text(errors="replace")

    def _below(self, folder: str) -> Iterator[Module]:
        base = self.root / folder
        for path in sorted(base.rglob("*.py")):
            if GENERATED in path.name:
                continue
            parts = path.relative_to(base).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield Module(name, path.relative_to(self.root).as_posix(), path.read_text())


@pytest.fixture(scope="session")
def project() -> SourceTree:
    """This project."""
    return SourceTree(ROOT)


@pytest.fixture
def planted(folder_of: Callable[[dict[str, str]], pathlib.Path]) -> Callable[[dict[str, str]], SourceTree]:
    """Makes a tree of its own from paths and texts, for faults to be found in."""
    return lambda files: SourceTree(folder_of(files))
