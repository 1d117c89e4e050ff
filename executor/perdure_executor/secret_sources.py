"""Where secrets come from: the references that a node has in its places for secrets are resolved when its work begins."""

import functools
import os
import pathlib
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.encryption.codec import CannotDecrypt, Codec
from perdure.secrets.encrypted import is_encrypted
from perdure.secrets.paths import replaced
from perdure.secrets.references import Reference, ReferenceInvalid, is_reference, reference
from perdure_executor.redaction import FEWEST_CHARACTERS, Redaction

MOST_BYTES: Final = 64 * 1024
"""Of a secret."""

# A pipe that takes the file's place is not waited for. Links are followed by the system: a secret that is mounted is one.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class SecretUnavailable(Exception):
    """A secret cannot be had; the message names the reference and why, and never the value."""

    def __init__(self, named: str, why: str) -> None:
        super().__init__(f"{named}: {why}")


class SecretVariableMissing(Exception):
    """A variable that playbooks may refer to is not set; the message names it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is named in secret_variables, and is not set")


@dataclass(frozen=True, slots=True)
class SecretSources:
    """What the playbooks that an executor works on may refer to: nothing, unless its settings say so."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: pathlib.Path | None = None
    """Below it are the files."""
    redaction: Redaction = field(default_factory=Redaction)
    """What is known to be secret: all that was read from here, and what others have added."""

    def opened(self, value: Any, places: Iterable[Sequence[str]], codec: Codec) -> Any:
        """The value, with secrets in place of the references, and of what is encrypted, at these places.

        Raises SecretUnavailable.
        """
        for keys in places:
            value = replaced(value, keys, functools.partial(self._opened, codec, ".".join(keys)))
        return value

    def _opened(self, codec: Codec, place: str, found: Any) -> Any:
        if found is None:
            return None
        if is_encrypted(found):
            return self._decrypted(codec, place, found)
        if not is_reference(found):
            raise SecretUnavailable(place, "it is no reference to a secret")
        try:
            return self.value(reference(found))
        except ReferenceInvalid as invalid:
            raise SecretUnavailable(place, f"it is no reference to a secret: {invalid}") from invalid

    def _decrypted(self, codec: Codec, place: str, text: str) -> str:
        try:
            found = codec.open(text)
        except CannotDecrypt as error:
            raise SecretUnavailable(place, str(error)) from error
        if not isinstance(found, str):
            raise SecretUnavailable(place, "what was encrypted is no text")
        return self._known(place, found)

    def value(self, named: Reference) -> str:
        """What a reference refers to, as it is now. Raises SecretUnavailable."""
        return self._known(str(named), self._variable(named) if named.source == "env" else self._file(named))

    def _known(self, named: str, value: str) -> str:
        if len(value) < FEWEST_CHARACTERS:
            raise SecretUnavailable(named, f"it has fewer than {FEWEST_CHARACTERS} characters")
        if "\0" in value:
            raise SecretUnavailable(named, "it holds a NUL character")
        self.redaction.add(value)
        return value

    def _variable(self, named: Reference) -> str:
        if named.name not in self.variables:
            why = f"this executor does not allow it; name {named.name} in its setting secret_variables"
            raise SecretUnavailable(str(named), why)
        return self.variables[named.name]

    def _file(self, named: Reference) -> str:
        if self.folder is None:
            raise SecretUnavailable(
                str(named), "this executor has no files of secrets; give it the setting secrets_dir"
            )
        try:
            content = _content(self.folder.resolve(strict=True), named.name)
        except OSError as error:
            raise SecretUnavailable(str(named), f"the file cannot be read: {error.strerror}") from error
        except ValueError as refused:
            raise SecretUnavailable(str(named), str(refused)) from refused
        # An editor, and much else, ends a file with a line feed that nobody means.
        return content.removesuffix("\n").removesuffix("\r")


def secret_variables(environment: Mapping[str, str], named: Sequence[str]) -> dict[str, str]:
    """The variables that playbooks may refer to. Raises SecretVariableMissing where one is not set."""
    for name in named:
        if name not in environment:
            raise SecretVariableMissing(name)
    return {name: environment[name] for name in named}


def _content(folder: pathlib.Path, name: str) -> str:
    """A file's text. Raises OSError, or ValueError with what is wrong with it."""
    real = (folder / name).resolve(strict=True)
    if not real.is_relative_to(folder):
        raise ValueError("it leads out of the directory of secrets")
    with os.fdopen(os.open(real, _OPEN_FLAGS), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("it is no file")
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
