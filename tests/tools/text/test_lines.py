from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.errors import ConfigError
from inspectd.text.crop import HEIGHT
from inspectd_tools.synthetic.render import printing
from inspectd_tools.text import faces
from inspectd_tools.text.lines import blank, erase_part, render
from inspectd_tools.text.texts import ALPHABET

SANS = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
FACES = {
    "outline": faces.outline(SANS),
    "drops": faces.dots(SANS, 9),
    "strokes": faces.strokes(0, 0.1),
    **{name: faces.printer(name) for name in ("dots", "small_dots", "sans", "stroke")},
}


@pytest.mark.parametrize("name", FACES)
def test_every_character_of_a_face_has_ink_of_its_own_within_its_edges(name: str) -> None:
    seen = set()
    characters = FACES[name].characters(ALPHABET)
    for character in characters:
        drawn = FACES[name].draw(f"8{character}8", 30)
        left, right = (round(edge) for edge in drawn.edges[1:3])
        seen.add(drawn.ink[:, left:right].tobytes())
    assert len(seen) == len(characters)


def test_of_two_characters_that_a_face_prints_alike_only_one_is_used() -> None:
    assert set(ALPHABET) - set(FACES["dots"].characters(ALPHABET)) == {"Q"}  # the tail of its O is below the drops
    assert FACES["sans"].characters(ALPHABET) == ALPHABET


def test_drops_of_a_printer_are_those_of_the_rendered_labels() -> None:
    drawn = FACES["dots"].draw("LOT 7481-83", 28)
    left, right = round(drawn.edges[0]), round(drawn.edges[-1])
    label = printing.draw_print(["0", "LOT 7481-83", "0", "0"], "(10)7481-83", "dots")
    _, area = label.lines[1]
    assert drawn.ink[:, left:right].shape[0] == area.height
    assert drawn.ink[:, left:right].mean() == pytest.approx(label.ink[area.slices].mean(), rel=0.02)


def test_a_line_of_a_given_width_has_as_much_text_as_has_room() -> None:
    line = render("LOT 7481-83 LOT 7481-83 LOT 7481-83", FACES["outline"], 128, np.random.default_rng(1))
    assert line.crop.shape == (HEIGHT, 128)
    assert "LOT 7481-83 LOT 7481-83 LOT 7481-83".startswith(line.text)
    assert 0 < len(line.text) < 20


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(FACES)), st.text(ALPHABET, min_size=1, max_size=12), st.integers(0, 999))
def test_a_box_that_fits_shows_the_whole_text(name: str, text: str, seed: int) -> None:
    line = render(text, FACES[name], 0, np.random.default_rng(seed), fit=True)
    assert (line.text, line.damaged) == (text, None)
    assert line.crop.shape[0] == HEIGHT
    assert line.crop.shape[1] % 8 == 0


@pytest.mark.parametrize("name", FACES)
def test_a_damaged_character_loses_ink(name: str) -> None:
    rng = np.random.default_rng(5)
    for way in range(5):
        ink = FACES[name].draw("B", 30).ink
        before = ink.sum()
        erase_part(ink, 0.5, way, rng)
        assert 0.05 * before < ink.sum() < 0.95 * before, way
    assert render("BBBBB", FACES[name], 0, rng, fit=True, damage=True).damaged in range(5)


def test_a_blank_line_says_nothing() -> None:
    line = blank(96, np.random.default_rng(0))
    assert (line.text, line.crop.shape) == ("", (HEIGHT, 96))


def test_a_font_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "font.ttf").write_bytes(b"no font")
    with pytest.raises(ConfigError, match=r"font\.ttf: can't be read as a TTF or OTF font"):
        faces.outline(tmp_path / "font.ttf")
    with pytest.raises(ConfigError, match="3 rows of drops; 5 to 32 are allowed"):
        faces.dots(SANS, 3)
