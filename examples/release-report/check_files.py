"""Reads every file that git tracks in the work tree it is started in, and says which are not what they should be.

Python must compile, JSON and TOML must parse, text must hold no mark of an unfinished merge. What it finds is one JSON
object on standard output; how far it is goes to standard error. It reads only.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
import tomllib
import warnings

MARKS = ("<<<<<<< ", ">>>>>>> ")
MOST_BYTES = 16 * 1024 * 1024
"""What a file may have to be parsed."""

MOST_FAULTS = 20
"""Faults that are named one by one."""

STEPS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks the tracked files of a git work tree.")
    parser.add_argument("--seconds", type=float, default=0.0, help="take at least so long, so that one can watch it")
    pause = parser.parse_args().seconds / STEPS
    warnings.simplefilter("ignore")  # a file's own warnings are not what is looked for
    paths = tracked_files()
    faults = []
    for step in range(STEPS):
        part = paths[step * len(paths) // STEPS : (step + 1) * len(paths) // STEPS]
        faults += [f"{path}: {fault}" for path in part if (fault := fault_in(path))]
        time.sleep(pause)
        say(f"{(step + 1) * len(paths) // STEPS} of {len(paths)} files read, {len(faults)} with a fault")
    print(json.dumps({"files": len(paths), "faults": len(faults), "first_faults": faults[:MOST_FAULTS]}))


def tracked_files() -> list[pathlib.Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], stdout=subprocess.PIPE, check=True).stdout
    paths = [pathlib.Path(name) for name in listed.decode(errors="surrogateescape").split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def fault_in(path: pathlib.Path) -> str:
    """What is wrong with a file, on one line; empty where nothing is."""
    if path.stat().st_size > MOST_BYTES:
        return ""
    content = path.read_bytes()
    if b"\0" in content[:8192]:
        return ""  # not text, so there is nothing to parse
    try:
        match path.suffix:
            case ".py":
                compile(content, str(path), "exec", dont_inherit=True)
            case ".json":
                json.loads(content)
            case ".toml":
                tomllib.loads(content.decode())
    except (SyntaxError, ValueError, RecursionError) as error:
        return " ".join(str(error).split())[:200]
    lines = content.decode(errors="replace").splitlines()
    marked = next((number for number, line in enumerate(lines, 1) if line.startswith(MARKS)), 0)
    return f"line {marked} is the mark of an unfinished merge" if marked else ""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
