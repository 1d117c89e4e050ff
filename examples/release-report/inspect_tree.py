"""Says what git knows about the work tree it is started in, as a JSON object. Reads only."""

import json
import os
import pathlib
import subprocess

FORMAT = "%h%x00%cs%x00%an%x00%s"


def main() -> None:
    commit, committed, author, subject = git("log", "-1", f"--format={FORMAT}").split("\0")
    found = {
        "name": pathlib.Path(git("rev-parse", "--show-toplevel")).name,
        "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
        "commit": commit,
        "committed": committed,
        "author": author,
        "subject": subject,
        "commits": int(git("rev-list", "--count", "HEAD")),
        "changed": git("status", "--porcelain").splitlines()[:50],
    }
    print(json.dumps(found))


def git(*arguments: str) -> str:
    # Without the variable `git status` would write down what it has found out, and this program only reads.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(["git", *arguments], env=environment, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode(errors="replace").strip()


if __name__ == "__main__":
    main()
