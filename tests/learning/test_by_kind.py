"""A part counts once, with its worst photo."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inspectd.learning.by_kind import ByKind

NAMES = ("crooked", "no_fail", "half", "unknown_oil", "unknown_blank")
CROOKED, GOOD, HALF, OIL, BLANK = range(5)


def by_kind(*photos: tuple[int, int, float]) -> ByKind:
    """Of (label, part, certainty)."""
    labels, parts, certainty = zip(*photos, strict=True)
    return ByKind.of(np.array(certainty, np.float32), np.array(labels), np.array(parts), NAMES, "no_fail")


def test_each_class_and_kind_gets_its_parts():
    kinds = by_kind((CROOKED, 0, 0.25), (GOOD, 1, 0.5), (OIL, 2, 0.75), (GOOD, 3, 1), (CROOKED, 4, 0))
    assert sorted(kinds.good) == [0.5, 1]
    assert {name: sorted(values) for name, values in kinds.faulty.items()} == {"crooked": [0, 0.25], "half": []}
    assert {name: list(values) for name, values in kinds.unknown.items()} == {
        "unknown_oil": [0.75],
        "unknown_blank": [],
    }


def test_the_most_dangerous_photo_of_a_part_counts():
    kinds = by_kind(*((CROOKED, 7, certainty) for certainty in (0.25, 0.75, 0.5)))
    assert kinds.all_faulty.tolist() == [0.75]
    kinds = by_kind(*((OIL, 7, certainty) for certainty in (0.25, 0.75, 0.5)))
    assert kinds.all_unknown.tolist() == [0.75]


def test_a_good_part_counts_with_the_photo_that_is_rejected_first():
    assert by_kind(*((GOOD, 7, certainty) for certainty in (0.5, 0.25, 0.75))).good.tolist() == [0.25]


def test_a_part_with_two_faults_counts_once_and_for_the_first():
    kinds = by_kind((HALF, 3, 0.75), (CROOKED, 3, 0.25), (HALF, 4, 0.5))
    assert {name: values.tolist() for name, values in kinds.faulty.items()} == {"crooked": [0.75], "half": [0.5]}
    assert len(kinds.all_faulty) == 2


def test_a_part_that_is_good_in_one_photo_and_faulty_in_another_counts_on_both_sides():
    kinds = by_kind((GOOD, 3, 0.75), (CROOKED, 3, 0.25))
    assert (kinds.good.tolist(), kinds.all_faulty.tolist()) == ([0.75], [0.25])


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.floats(0, 1, width=32)), min_size=1, max_size=60),
    st.randoms(use_true_random=False),
)
def test_order_copies_and_numbers_of_parts_do_not_matter(photos, random):
    kinds = by_kind(*photos)
    copied = photos + random.choices(photos, k=20)
    random.shuffle(copied)
    again = by_kind(*((label, 9 - part, certainty) for label, part, certainty in copied))
    for ours, theirs in (({"good": kinds.good}, {"good": again.good}), (kinds.faulty, again.faulty)):
        assert {name: sorted(values) for name, values in ours.items()} == {
            name: sorted(values) for name, values in theirs.items()
        }
    assert len(kinds.all_unknown) == len({part for label, part, _ in photos if label in (OIL, BLANK)})
    assert max(kinds.all_faulty, default=-1) == max(
        (c for label, _, c in photos if label in (CROOKED, HALF)), default=-1
    )
