"""The pages of the documentation and their code blocks.

A block may be marked by an HTML comment in the line above its fence, which no reader sees:

  <!-- runs -->              run it, after the marked blocks before it on the page, in one folder
  <!-- runs slow 400=40 -->  the same, but it needs torch; with 40 in place of 400
  <!-- runs finds -->        the same, but exit code 1 is fine: the command's own finding
  <!-- line config -->       a whole line config; `line config part` is one section of it
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"^(?:<!-- *(.*?) *-->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    line: int
    language: str
    mark: str
    text: str

    @property
    def runs(self) -> bool:
        return self.mark.split()[:1] == ["runs"]

    @property
    def is_slow(self) -> bool:
        return "slow" in self.mark.split()

    @property
    def small(self) -> str:
        """The text with what the mark puts in place of other words."""
        text = f"{self.text.rstrip()} || [ $? = 1 ]\n" if "finds" in self.mark.split() else self.text
        for word in self.mark.split():
            large, is_pair, small = word.partition("=")
            if is_pair:
                text = re.sub(rf"(?<![\w.-]){re.escape(large)}(?![\w.-])", small, text)
        return text

    def commands(self) -> list[str]:
        """One per line; lines that end in a backslash are joined, comments are left out."""
        lines = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        return [
            command
            for line in lines
            for part in line.split("&&")
            if (command := re.sub(r"(^|\s)#.*", "", part).strip())
        ]


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(*languages: str) -> list[Block]:
    found = []
    for path in pages():
        text = path.read_text()
        for match in _BLOCK.finditer(text):
            mark, language, code = match.groups()
            if language in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(str(path.relative_to(ROOT)), line, language, mark or "", code))
    return found
