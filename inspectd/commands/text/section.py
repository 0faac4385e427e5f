"""Write proposed fields as the section `text` of a line's config, with remarks for the person who completes it."""

import json
from collections.abc import Sequence
from pathlib import Path

from inspectd.commands.text.proposal import Proposal


def text_section(proposals: Sequence[Proposal], reader: Path | None, font: str | None) -> str:
    """YAML. Without reader or font the lines of text are not complete, and a remark says so."""
    lines = ["text:"]
    has_text = any(proposal.symbology is None for proposal in proposals)
    if has_text:
        lines.append(
            f"  reader: {_quoted(str(reader))}"
            if reader
            else "  # reader: FOLDER   # commission the printer's font first"
        )
    lines.append("  fields:")
    for proposal in proposals:
        lines += [f"    # {remark}" for remark in proposal.remarks]
        lines.append(f"    {proposal.name}:")
        lines += [f"      {line}" for line in _field(proposal, font)]
    return "\n".join(lines) + "\n"


def _field(proposal: Proposal, font: str | None) -> list[str]:
    if proposal.symbology is None:
        lines = ["kind: text", f"font: {_quoted(font)}" if font else "# font: NAME   # one of the reader's fonts"]
    else:
        lines = ["kind: code", f"symbology: {proposal.symbology}"]
    lines.append(f"box: [{', '.join(map(str, proposal.box))}]")
    if proposal.pattern is not None:
        lines.append(f"pattern: {_quoted(proposal.pattern)}")
    expect = ", ".join(f"{key}: {_plain(key, value)}" for key, value in proposal.expect.items())
    lines.append(f"expect: {{{expect}}}")
    return lines


def _plain(key: str, value: str) -> str:
    return value if key in ("from", "field") else _quoted(value)


def _quoted(text: str) -> str:
    """In double quotes, as JSON and YAML both read it."""
    return json.dumps(text, ensure_ascii=False)
