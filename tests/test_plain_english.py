"""No text of the project uses a phrase that readers stumble over; each has a usual word in its place."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
TEXTS = ("*.md", "docs/**/*.md", "inspectd/**/*.py", "tools/**/*.py", "config/**/*.yaml", "systemd/*", "Makefile")
USUAL = {
    r"told (apart|from)|tell\w* \w+ (\w+ )?apart": "distinguish, classify correctly",
    r"\b(?<!there) (is|are|was|were) no (?!(more|less|worse|\w+er)\b)\w+": "is not a",
    r"what (\w+ ){1,6}(is|are|was|were|would be) worth": "performance, metrics",
    r"chose nothing": "was not used for any choice",
    r"(can't|can not|cannot|could not|couldn't) be had": "is not available",
    r"\b(hangs?|hung) on\b|depends? of\b": "depends on",
    r"\b(lies|lie|lay) in\b": "is in",
    r"\b(speaks?|spoke) against": "contradicts",
    r"\bstands? in for\b": "replaces, simulates",
    r"\b(examples|images|labels|maps|ms|overlays|photos|rejects|samples|seconds) a (class|image|kind|label|photo|year)\b": "per class, per photo",
    r"\bshots?\b(?! noise)": "frame",
}


def phrases(text: str) -> list[tuple[int, str, str]]:
    """Each phrase to avoid in the text, also where it goes over a line's end: (line, phrase, usual words)."""
    found = []
    for pattern, usual in USUAL.items():
        for match in re.finditer(pattern.replace(" ", r"[\s#*>]+"), text, re.IGNORECASE):
            found.append((text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), usual))
    return sorted(found)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Good labels\nare told\n# apart.", 2),
        ("This is no class.", 1),
        ("a table of what an engine is worth", 1),
        ("16 photos a class", 1),
        ("It hangs on the light.", 1),
    ],
)
def test_a_phrase_to_avoid_is_found(text, line):
    assert [found for found, _, _ in phrases(text)] == [line]


@pytest.mark.parametrize("text", ["There is no camera.", "Run permit is no longer on.", "it gives labels a name"])
def test_usual_words_are_not_refused(text):
    assert phrases(text) == []


def test_every_text_uses_the_usual_words():
    files = sorted({path for pattern in TEXTS for path in PROJECT.glob(pattern) if path.is_file()})
    assert len(files) > 150
    found = [
        f"{path.relative_to(PROJECT)}:{line}: {phrase!r}: write {usual}"
        for path in files
        for line, phrase, usual in phrases(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)
