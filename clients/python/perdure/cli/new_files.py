"""Files that a command makes: never in the place of one that is there."""

import contextlib
import pathlib
from collections.abc import Iterator

from perdure.cli.exit_codes import ExitCode
from perdure.cli.failures import Refused


@contextlib.contextmanager
def new_file(path: pathlib.Path) -> Iterator[None]:
    """What is done inside makes a file. Raises Refused where there is one, or it cannot be made."""
    try:
        if path.exists():
            raise FileExistsError
        yield
    except FileExistsError:
        step = "name another, or move that one away"
        raise Refused(ExitCode.CONFLICT, "EXISTS", f"{path} is there already", step) from None
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise Refused(ExitCode.USAGE, "NOT_WRITABLE", message, "name a file that can be made") from error
