"""The page that names the functions on a label's way names functions that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "development" / "label-walk.md"
STEPS = sorted(set(re.findall(r"`(inspectd/[\w/]+\.py):([\w.]+)`", PAGE.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(("file", "function"), STEPS, ids=map(":".join, STEPS))
def test_each_step_names_a_function_that_exists(file: str, function: str) -> None:
    names = set()
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        names.add(getattr(node, "name", ""))
        names |= {f"{node.name}.{each.name}" for each in getattr(node, "body", []) if hasattr(each, "name")}
    assert function in names


def test_the_walk_is_whole():
    assert len(STEPS) > 30
