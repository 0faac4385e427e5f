import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspectd.text.ctc import best_text, log_likelihoods, neighbours

SYMBOLS = 5
TEXTS = st.lists(st.integers(1, SYMBOLS - 1), max_size=5)


@st.composite
def columns(draw: st.DrawFn) -> NDArray[np.float64]:
    """Logarithms of probabilities, from nearly even to nearly certain."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    logits = rng.normal(size=(draw(st.integers(1, 14)), SYMBOLS)) * draw(st.sampled_from([0.3, 3, 15]))
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))


@settings(deadline=None, max_examples=60)
@given(columns(), st.lists(TEXTS, min_size=1, max_size=4))
def test_likelihoods_are_those_of_torch(log_probs: NDArray[np.float64], texts: list[list[int]]) -> None:
    torch = pytest.importorskip("torch")
    losses = [
        torch.nn.functional.ctc_loss(
            torch.tensor(log_probs)[:, None],
            torch.tensor(text, dtype=torch.long)[None],
            (len(log_probs),),
            (len(text),),
            reduction="sum",
        ).item()
        for text in texts
    ]
    assert log_likelihoods(log_probs, texts) == pytest.approx([-loss for loss in losses], rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(columns(), TEXTS)
def test_one_pass_gives_every_text_one_edit_away(log_probs: NDArray[np.float64], text: list[int]) -> None:
    assume(np.isfinite(log_likelihoods(log_probs, [text])[0]))
    near = neighbours(log_probs, text)
    edits = {}
    for index in range(len(text) + 1):
        for symbol in range(1, SYMBOLS):
            edits[*text[:index], symbol, *text[index:]] = near.inserted[index, symbol]
            if index < len(text) and symbol != text[index]:
                edits[*text[:index], symbol, *text[index + 1 :]] = near.substituted[index, symbol]
        if index < len(text):
            edits[*text[:index], *text[index + 1 :]] = near.lost[index]
    assert np.array(list(edits.values())) == pytest.approx(log_likelihoods(log_probs, list(edits)), rel=1e-6, abs=1e-6)


def test_a_long_line_does_not_underflow() -> None:
    log_probs = np.log(np.full((600, SYMBOLS), 1 / SYMBOLS))
    assert np.isfinite(log_likelihoods(log_probs, [[1, 2] * 60])[0])
    assert np.isfinite(neighbours(log_probs, [1, 2] * 60).substituted[0, 3])


def test_characters_are_placed_where_the_network_saw_them() -> None:
    probs = np.full((12, SYMBOLS), 0.01)
    probs[:, 0] = 0.96
    for column, symbol in ((2, 1), (6, 1), (9, 3)):
        probs[column, 0], probs[column, symbol] = 0.01, 0.96
    log_probs = np.log(probs)
    assert best_text(log_probs) == [1, 1, 3]
    assert neighbours(log_probs, [1, 1, 3]).columns.tolist() == [2, 6, 9]
