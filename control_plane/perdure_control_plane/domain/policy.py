"""What an environment demands of a playbook version before flows may start from it."""

from collections.abc import Iterator
from dataclasses import dataclass

from perdure_control_plane.domain.errors import PolicyForbids
from perdure_control_plane.domain.playbook import Release


@dataclass(frozen=True, slots=True)
class Policy:
    """The demands; none where nobody has made any."""

    block_warnings: bool = False
    blocked_warnings: tuple[str, ...] = ()
    require_review: bool = False
    require_approval: bool = False
    updated_at: int = 0
    updated_by: str = ""
    reason: str = ""

    @property
    def words(self) -> str:
        """What is demanded, in words of its own."""
        rules = ("block_warnings", "require_review", "require_approval")
        demanded = [rule for rule in rules if getattr(self, rule)]
        return ",".join([*demanded, *self.blocked_warnings]) or "none"

    def check(self, version: Release, *, acts_unasked: bool) -> None:
        """Raises PolicyForbids where a version does not meet a demand.

        `acts_unasked` says that an effect of it must not be repeated, and that nobody is asked in it.
        """
        broken = list(self._broken(version, acts_unasked))
        if broken:
            rules, reasons = zip(*broken, strict=True)
            raise PolicyForbids(version.name, rules, "; ".join(reasons))

    def _broken(self, version: Release, acts_unasked: bool) -> Iterator[tuple[str, str]]:
        warnings = [code for code in version.warnings if code in self.blocked_warnings]
        if self.block_warnings and version.warnings:
            yield "block_warnings", f"it has warnings: {', '.join(version.warnings)}"
        elif warnings:
            yield "blocked_warnings", f"it has warnings that are blocked: {', '.join(warnings)}"
        if self.require_review and not version.is_reviewed:
            yield "require_review", "no publication of it names evidence of the kind review"
        if self.require_approval and acts_unasked:
            yield "require_approval", "an effect of it must not be repeated, and no approval node asks a person"
