"""Compiles `protos/` into `perdure/v1`, as a build hook and as a program (`make proto`).

Where `protos/` is absent, as in a source distribution that already carries the stubs, the hook does nothing.
"""

import os
import pathlib
import shutil
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = pathlib.Path(__file__).resolve().parent
PROTOS = HERE.parent.parent / "protos"


def generate(into: pathlib.Path = HERE) -> list[pathlib.Path]:
    """Writes `perdure/v1/*_pb2*` below `into` and returns the proto files it compiled."""
    import grpc_tools
    from grpc_tools import protoc

    sources = sorted(PROTOS.glob("perdure/v1/*.proto"))
    for stale in (into / "perdure" / "v1").glob("*_pb2*"):
        stale.unlink()
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{well_known}",
        f"--python_out={into}",
        f"--grpc_python_out={into}",
        f"--mypy_out=quiet:{into}",
        f"--mypy_grpc_out=quiet:{into}",
        *(f"--plugin={name}={_plugin(name)}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
        *map(str, sources),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its messages are above")
    return sources


def _plugin(name: str) -> str:
    # An environment that is used without being activated has its programs beside its interpreter, not on the path.
    places = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(name, path=places)
    if found is None:
        raise SystemExit(f"{name} is missing; it comes with mypy-protobuf")
    return found


class StubsHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's configuration type is not public
    """Generates the stubs before a wheel, an sdist or an editable install is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling; `version` says which kind of build, and all kinds need the stubs."""
        if PROTOS.is_dir():
            generate()


def stale() -> list[str]:
    """Names of stubs in the package that are missing, left over, or not what the protos give now."""
    with tempfile.TemporaryDirectory() as fresh:
        generate(pathlib.Path(fresh))
        wanted = {path.name: path.read_bytes() for path in (pathlib.Path(fresh) / "perdure" / "v1").glob("*_pb2*")}
    found = {path.name: path.read_bytes() for path in (HERE / "perdure" / "v1").glob("*_pb2*")}
    return sorted(name for name in wanted | found if wanted.get(name) != found.get(name))


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(f"stale stubs, run `make proto`: {', '.join(names)}" if (names := stale()) else 0)
    print(f"compiled {len(generate())} proto files")
