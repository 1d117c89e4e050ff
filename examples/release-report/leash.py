"""Starts a program that ends when whoever started it is gone, however it went: leash.py PARENT PROGRAM ARGUMENT...

The promise is Linux's own. Elsewhere the program is started without it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it went before the promise was made
            sys.exit(1)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
