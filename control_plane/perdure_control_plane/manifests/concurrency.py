"""The key by which a playbook's runs are counted: text, and fields of the input."""

from collections.abc import Iterator

from perdure.expressions.templates import TemplateInvalid, expressions
from perdure_control_plane.domain.concurrency import FIELD
from perdure_control_plane.manifests.diagnostics import Diagnostic
from perdure_control_plane.manifests.model import Manifest

PATH = "concurrency.key"


def concurrency_faults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Faults of the key. It is evaluated at the start, by the server, which evaluates nothing but fields of the input."""
    if manifest.concurrency is None:
        return
    key = manifest.concurrency.key
    if not key.isprintable():
        yield Diagnostic(PATH, "FIELD_VALUE", "a key is one line of printable text")
    try:
        sources = expressions(key)
    except TemplateInvalid as error:
        yield Diagnostic(PATH, "EXPRESSION_INVALID", str(error))
        return
    known = {given.name for given in manifest.inputs} if isinstance(manifest.inputs, list) else None
    for source in sources:
        field = FIELD.fullmatch(source)
        if field is None:
            reason = f"{source!r} is more than a field of the input, such as inputs.environment"
            yield Diagnostic(PATH, "EXPRESSION_INVALID", reason)
        elif known is not None and field[1] not in known:
            yield Diagnostic(PATH, "EXPRESSION_INVALID", f"{source!r} reads an input that is not declared")
