"""What `inspectd text teach` proposes: boxes around text and codes, patterns, and a section that can be used."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.commands.text.layout import FoundCode, Layout, find_layout
from inspectd.commands.text.picture import write_picture
from inspectd.commands.text.proposal import Proposal, corrected, propose
from inspectd.commands.text.section import text_section
from inspectd.errors import ConfigError
from inspectd.files.yaml_file import parse_yaml
from inspectd.section import checked
from inspectd.text.config import TextConfig
from inspectd.text.pattern import Pattern
from inspectd_tools.synthetic.render.label_text import texts_of_jobs
from inspectd_tools.synthetic.render.printing import HEIGHT_PX, MODULE_PX, WIDTH_PX, draw_print

LEFT, TOP = 25, 24
"""Of the label box in the straightened print."""
SEEDS = st.integers(0, 2**32 - 1)
BOX = (10, 10, 200, 30)


def prints(font: str, jobs: int, count: int = 8) -> tuple[list[np.ndarray], list[tuple[int, int, int, int]]]:
    """Straightened prints, and the box of each line of text: left, top, right, bottom."""
    rng = np.random.default_rng(1)
    images, edges = [], np.array([[999, 999, 0, 0]] * 4)
    for text in texts_of_jobs(count, jobs, rng):
        label = draw_print(text.lines, text.code, font)
        ink = np.zeros((HEIGHT_PX + 2 * TOP, WIDTH_PX + 2 * LEFT), np.float32)
        ink[TOP : TOP + HEIGHT_PX, LEFT : LEFT + WIDTH_PX] = cv2.GaussianBlur(label.ink, (0, 0), 1.2)
        light = np.linspace(0.9, 1.1, ink.shape[1], dtype=np.float32)
        image = 190 * light * (1 - 0.6 * ink) + rng.normal(0, 2, ink.shape)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        areas = [area for _, area in label.lines]
        found = [(a.left + LEFT, a.top + TOP, a.left + a.width + LEFT, a.top + a.height + TOP) for a in areas]
        edges[:, :2] = np.minimum(edges[:, :2], np.array(found)[:, :2])
        edges[:, 2:] = np.maximum(edges[:, 2:], np.array(found)[:, 2:])
    return images, [tuple(line) for line in edges.tolist()]


@pytest.mark.parametrize("jobs", [1, 8])
@pytest.mark.parametrize("font", ["dots", "small_dots", "sans", "stroke"])
def test_the_boxes_are_around_the_lines_and_the_code_and_nothing_else(font, jobs):
    images, lines = prints(font, jobs)
    layout = find_layout(images)
    assert len(layout.lines) == len(lines) == 4
    for (left, top, width, height), edges in zip(layout.lines, lines, strict=True):
        margins = np.abs(np.array(edges) - (left, top, left + width, top + height))
        assert margins.max() <= 16, "a box is little larger than its text"
        assert (np.array((left, top)) <= edges[:2] + np.array((4, 8))).all()
        assert (np.array((left + width, top + height)) >= edges[2:] - np.array((4, 8))).all()
    assert layout.lines[0][0] > LEFT + 50, "the maker's mark is not text"
    (code,) = layout.codes
    left, top, width, height = code.box
    assert code.symbology == "data_matrix"
    assert left < LEFT + WIDTH_PX - 18 * MODULE_PX < left + 6 * MODULE_PX
    assert all(content is not None and content.startswith("01") for content in code.contents)


def test_nothing_is_found_on_bare_labels():
    rng = np.random.default_rng(2)
    bare = [np.clip(rng.normal(180, 4, (200, 300)), 0, 255).astype(np.uint8) for _ in range(5)]
    assert find_layout(bare) == Layout([], [])


@given(
    st.lists(st.sampled_from(("A", "7", " ", "-", ".", "[", "{", "\\", "3479", "ACEH")), min_size=1, max_size=12), SEEDS
)
def test_every_text_that_was_seen_fits_the_proposed_pattern(places, seed):
    """The characters are none of those that are mistaken for each other."""
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list(place)) for place in places) for _ in range(12)]
    (proposal,) = propose(Layout([BOX], []), [texts])
    if proposal.expect["from"] == "constant":
        assert set(texts) == {proposal.expect["value"]}
    else:
        assert all(Pattern(proposal.pattern).matches(text) for text in texts)


def proposal_of(*texts: str, contents: list[str | None] | None = None) -> Proposal:
    codes = [] if contents is None else [FoundCode(BOX, "data_matrix", contents)]
    return propose(Layout([BOX], codes), [texts])[0]


def test_a_letter_that_was_sometimes_read_as_a_digit_is_no_variation():
    proposal = proposal_of("LOT 1", "L0T 7", "LOT 3", "LoT 4", "LOT 9")
    assert (proposal.name, proposal.pattern) == ("lot", "LOT [0-9]")


def test_similar_characters_are_put_right():
    said = ["LOT 10", "L0T 2O", "LoT 3B", "LOT 47", "", "LOT 999"]
    assert corrected(said) == ["LOT 10", "LOT 20", "LOT 38", "LOT 47", "", "LOT 999"]
    assert corrected([]) == []
    assert corrected(["12:03 s2", "12:04 s2", "12:05 S2"]) == ["12:03 S2", "12:04 S2", "12:05 S2"]
    assert corrected(["Charge s2", "Charge s3"]) == ["Charge s2", "Charge s3"]


def test_what_is_the_same_everywhere_is_a_constant():
    proposal = proposal_of("09G 325 429 A", "09G 325 429 A", "O9G 325 429 A")
    assert proposal.expect == {"from": "constant", "value": "09G 325 429 A"}
    assert proposal.pattern == "09G 325 429 A", "so that a 0 that is printed like an O is accepted"
    assert proposal_of("MADE", "MADE").pattern is None


def test_a_date_is_never_a_constant_and_a_time_may_be_anything():
    date = proposal_of(*["28.02.2027"] * 9)
    assert (date.name, date.pattern, date.expect) == ("date", r"[0-9]{2}\.[0-9]{2}\.[0-9]{4}", {"from": "given"})
    assert '"%d.%m.%Y"' in date.remarks[-1]
    time = proposal_of(*["12:03 S2"] * 9)
    assert (time.name, time.pattern, time.expect) == ("time", "[0-9]{2}:[0-9]{2} S[0-9]", {"from": "pattern"})


def test_a_text_that_repeats_an_element_of_the_code_comes_from_the_code():
    lots = ["7481-83", "7481-83", "6600-12", "6600-12", "1234-55"]
    contents = [f"01095212345000181126022810{lot}" for lot in lots]
    said = ["LOT 7481-83", "L0T 7481-83", "LOT 6600-12", "LOT 6600-12", "LOT 1234-55"]
    assert proposal_of(*said, contents=contents).expect == {
        "from": "code",
        "field": "code",
        "ai": "10",
        "printed": "LOT {}",
    }
    assert proposal_of(*said, contents=[*contents[:1], None, *contents[:3]]).expect == {"from": "given"}


def test_texts_of_different_lengths_get_no_pattern():
    assert proposal_of("A1", "A12", "A123", "A1234").pattern is None
    assert proposal_of("", "", "A1").pattern is None


def test_the_section_can_be_copied_into_a_config(tmp_path: Path):
    contents: list[str | None] = ['a "code"\n#: {}', None, None, None, None]
    layout = Layout([BOX, BOX, BOX], [FoundCode(BOX, "qr_code", contents)])
    said = [["[1] \\ {x}"] * 5, ["2026-01-31"] * 5, ["A1", "A2", "A3", "A4", "A7"]]
    proposals = propose(layout, said)
    section = text_section(proposals, tmp_path / "the reader", "dots")
    config = checked(TextConfig, parse_yaml(section)["text"], tmp_path / "line.yaml")
    assert [*config.fields] == [proposal.name for proposal in proposals] == ["line_1", "date", "line_2", "code"]
    assert config.reader == tmp_path / "the reader"
    assert config.fields["line_1"].expect.value == "[1] \\ {x}"
    assert config.fields["line_2"].pattern == "A[0-9]"
    assert {field.box for field in config.fields.values()} == {BOX}


def test_without_a_reader_the_section_says_what_is_missing(tmp_path: Path):
    section = text_section([proposal_of("A1", "A2")], None, None)
    assert "# reader: FOLDER" in section
    assert "# font: NAME" in section
    with pytest.raises(ConfigError, match="font: missing"):
        checked(TextConfig, parse_yaml(section)["text"], tmp_path / "line.yaml")


def test_the_picture_frames_each_field(tmp_path: Path):
    print_ = np.full((60, 240), 180, np.uint8)
    write_picture(tmp_path / "text.png", print_, [Proposal("lot", BOX, {"from": "given"})])
    picture = cv2.imread(str(tmp_path / "text.png"))
    red = (picture == (0, 0, 200)).all(axis=2)
    assert picture.shape == (120, 480, 3)
    assert red[20, 200:400].all()
    assert red[30:79, 20].all()
    assert not red[90:].any()
