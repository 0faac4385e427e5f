"""What is printed comes out as it is: names and paths are not markup, and obey nothing on a terminal."""

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from inspectd.cli import main
from inspectd.terminal import console, printable, track
from tests.factories import make_toy_bundle
from tests.test_config import GOOD, write

PROJECT = Path(__file__).parents[1]
SOURCES = sorted((*PROJECT.glob("inspectd/**/*.py"), *PROJECT.glob("tools/**/*.py")))
NASTY = ["c18 [/x]", "[v2]", "[red]", "[/]", ":warning:", "[link=file:///]x", "\\[", "[bold", "a]b["]


def on_paper(screen: Console) -> io.StringIO:
    paper = io.StringIO()
    screen.file = paper
    screen.width = 200
    return paper


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_printed_as_it_is_wherever_it_stands(name: str) -> None:
    screen = console()
    paper = on_paper(screen)
    table = Table("a", name, title=f"title {name}", caption=f"caption {name}")
    table.add_row("cell", name)
    screen.print(f"text {name}", table)
    assert paper.getvalue().count(name) == 5


@given(st.text(alphabet=st.characters(), max_size=20))
def test_any_text_is_printed_and_none_is_obeyed(text: str) -> None:
    screen = console()
    paper = on_paper(screen)
    table = Table("a")
    table.add_row(text)
    screen.print(table, text)
    paper.getvalue().encode()
    assert "\x1b" not in paper.getvalue()
    assert printable(printable(text)) == printable(text)


def test_a_bar_takes_its_description_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2], "train [/v2]")) == [1, 2]
    assert "train [/v2]" in capsys.readouterr().out


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name != "terminal.py"], ids=str)
def test_nothing_else_makes_a_console_or_writes_markup(path: Path) -> None:
    source = path.read_text()
    assert not re.search(r"import .*\b(Console|track|TextColumn)\b", "".join(re.findall("from rich.*", source)))
    assert not re.search(r"""["']\[(bold|red|green|yellow|orange|dim)\]""", source)
    assert not re.search("from_markup|rich.markup", source)


@pytest.mark.parametrize("name", ["c18 [/x]", "[red]", "[link=x]", "[v2]"])
def test_commands_take_any_folder(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / name
    make_toy_bundle(folder / "toy [v2]")
    (folder / "damaged [red]").mkdir()
    (folder / "damaged [red]" / "engine.yaml").write_text("name: '[/z]")
    config = write(folder, GOOD | {"engine": "toy [v2]"})
    main(["check", "--config", str(config)])
    assert squeezed(name) in squeezed(capsys.readouterr().out)
    assert main(["engines", "list", str(folder)]) == 1
    listed = squeezed(capsys.readouterr().out)
    assert "[v2]" in listed
    assert "[red]" in listed
    assert main(["engines", "list", str(tmp_path / name / "[/nothing]")]) == 1
    assert "[/nothing]" in squeezed(capsys.readouterr().err)


def squeezed(table: str) -> str:
    """Without the lines and blanks that a narrow table puts between the letters of a cell."""
    return re.sub(r"[│┃\s]+", "", table)


def test_a_path_that_is_no_utf8_ends_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(tmp_path / "\udcff\x1b.yaml")]) == 78
