import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inspectd_tools.text.texts import (
    ALPHABET,
    all_confused,
    near_misses,
    random_date,
    random_text,
    wrong_dates,
)

SEEDS = st.integers(0, 2**32 - 1)


def changes(text: str, other: str) -> int:
    """How many characters must be replaced, lost or inserted (Levenshtein)."""
    row = list(range(len(other) + 1))
    for place, character in enumerate(text):
        before, row[0] = row[0], place + 1
        for end, wanted in enumerate(other):
            before, row[end + 1] = row[end + 1], min(row[end] + 1, row[end + 1] + 1, before + (character != wanted))
    return row[-1]


@given(SEEDS, st.integers(2, 20))
def test_a_near_miss_is_another_text_and_nearly_the_same(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    text = random_text(rng, length)
    assert set(text) <= set(ALPHABET + " ")
    for kind, other in near_misses(text, rng).items():
        assert other.replace(" ", "") != text.replace(" ", ""), kind
        assert changes(text, other) <= (2 if kind == "swapped" else 1), kind
    assert all(changes(text, other) == 1 for other in all_confused(text))


@given(SEEDS)
def test_a_wrong_date_is_another_date(seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = random_date(rng)
    wrong = wrong_dates(text, rng)
    assert text not in wrong.values()
    assert {"yesterday", "tomorrow", "last year", "confused"} <= set(wrong)
    assert all(len(other) == len(text) for other in wrong.values())


def test_the_same_seed_gives_the_same_text() -> None:
    assert random_text(np.random.default_rng(3), 12) == random_text(np.random.default_rng(3), 12)
