"""Which bundle each line uses. The repository has it as a signed file."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field

from inspectd.section import Section

TARGET: Final = "assignments.json"
"""Its name in the repository."""
FORMAT: Final = 1
BundleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}-[0-9]+\.[0-9]+\.[0-9]+$", max_length=100)]
"""Name and version of a bundle, such as filter-label-2.0.1. It is also the name of its folder."""
LineName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,40}$")]
"""`name` in the line's config."""
Kind = Literal["engine", "reader"]
KINDS: tuple[Kind, ...] = ("engine", "reader")
MANIFESTS: dict[Kind, str] = {"engine": "engine.yaml", "reader": "reader.yaml"}


class Assigned(Section):
    """The bundles of a line; null: none is assigned."""

    engine: BundleName | None = None
    reader: BundleName | None = None

    def get(self, kind: Kind) -> str | None:
        return self.engine if kind == "engine" else self.reader


class Assignments(Section):
    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    """Version of the file's layout."""
    all_lines: Assigned = Assigned()
    """For every line that has no bundle of its own."""
    lines: dict[LineName, Assigned] = Field(default_factory=dict)
    """Lines with bundles of their own."""

    def of(self, line: str) -> Assigned:
        """What a line uses."""
        own = self.lines.get(line, Assigned())
        return Assigned(engine=own.engine or self.all_lines.engine, reader=own.reader or self.all_lines.reader)

    def assign(self, kind: Kind, bundle: str, lines: tuple[str, ...]) -> Self:
        """With `bundle` for these lines; without lines, for all that have no other bundle of their own.

        A line whose own bundle is the one of all lines has no longer one of its own.
        """
        all_lines, own = self.all_lines, dict(self.lines)
        if lines:
            own |= {line: own.get(line, Assigned()).model_copy(update={kind: bundle}) for line in lines}
        else:
            all_lines = all_lines.model_copy(update={kind: bundle})
        return self._tidied(all_lines, own)

    def follow(self, lines: tuple[str, ...]) -> Self:
        """Without bundles of their own for these lines."""
        return self._tidied(self.all_lines, {name: each for name, each in self.lines.items() if name not in lines})

    def _tidied(self, all_lines: Assigned, own: dict[str, Assigned]) -> Self:
        left = {
            name: Assigned(
                engine=None if each.engine == all_lines.engine else each.engine,
                reader=None if each.reader == all_lines.reader else each.reader,
            )
            for name, each in own.items()
        }
        lines = {name: each for name, each in sorted(left.items()) if each != Assigned()}
        return self.model_copy(update={"all_lines": all_lines, "lines": lines})
