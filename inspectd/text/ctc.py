"""What a network's symbol probabilities say about a whole text: connectionist temporal classification.

Graves et al., Connectionist Temporal Classification, ICML 2006. The network gives one probability per symbol and column of the
line. A text's likelihood is the sum over all ways to lay its characters along the columns, with blanks between them. Symbol 0
is the blank.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Text = Sequence[int]
"""Symbols, none of them the blank."""

BLANK = 0
_SCALED_EVERY = 4
"""Columns. A probability of a column is above e^-60, so nothing that counts is lost in between."""


def log_likelihoods(log_probs: NDArray[np.floating], texts: Sequence[Text]) -> Floats:
    """(T, symbols) -> (texts,): the natural logarithm of each text's likelihood; -inf if it has no room."""
    if not texts:
        return np.empty(0)
    probs = np.exp(np.asarray(log_probs, np.float64))
    alphas, log_scales = _forward(probs, texts)
    ends = np.array([2 * len(text) + 2 for text in texts])
    rows = np.arange(len(texts))
    last = alphas[-1]
    reached = last[rows, ends] + np.where(ends > 2, last[rows, ends - 1], 0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(reached) + log_scales[-1])


def best_text(log_probs: NDArray[np.floating]) -> list[int]:
    """(T, symbols) -> the text of the most probable symbol of each column."""
    best = np.asarray(log_probs).argmax(axis=1)
    first = np.concatenate([[True], best[1:] != best[:-1]])
    return [int(symbol) for symbol in best[first & (best != BLANK)]]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The logarithm of the likelihood of each text that is one edit away from a text of L characters."""

    substituted: Floats
    """(L, symbols): the character at this place replaced. -inf for the blank and for the text itself."""
    inserted: Floats
    """(L + 1, symbols): one more character before this place. -inf for the blank."""
    lost: Floats
    """(L,): without the character at this place."""
    columns: NDArray[np.int64]
    """(L,): the column where the character at this place most probably is, from 0."""


def neighbours(log_probs: NDArray[np.floating], text: Text) -> Neighbours:
    """(T, symbols) and a text that has room -> all texts that are one edit away, from one forward and one backward pass.

    Each way to lay a changed text enters the changed character once, from the characters before it, and leaves it once, to the
    characters after it. The passes have the likelihood of both.
    """
    probs = np.exp(np.asarray(log_probs, np.float64))
    edge = np.eye(1, probs.shape[1], BLANK)
    probs = np.concatenate(
        [edge, probs, edge]
    )  # two sure blanks: so every change has a column before it and one after it
    length = len(text)
    alphas, before_scale = (array[:, 0] for array in _forward(probs, [text]))
    betas, after_scale = (array[::-1, 0] for array in _forward(probs[::-1], [text[::-1]]))
    alphas, betas = alphas[:, 2:], np.concatenate([betas[:, :1:-1], np.zeros((len(probs), 2))], axis=1)
    places = np.arange(length + 1)
    passes = _Passes(probs, alphas, betas, before_scale, after_scale, np.asarray(text, np.int64))
    substituted = passes.changed(places[:-1], places[:-1] + 1)
    substituted[places[:-1], list(text)] = -np.inf
    inserted = passes.changed(places, places)
    occupied = (alphas[:, 1::2] * betas[:, 1:-2:2] / np.maximum(probs[:, list(text)], 1e-300))[1:-1]
    scale = (before_scale + after_scale)[1:-1, None]
    columns = np.argmax(occupied * np.exp(scale - scale.max()), axis=0)
    return Neighbours(substituted, inserted, passes.lost(), columns)


@dataclass(frozen=True, slots=True)
class _Passes:
    """`alphas` (T, states): a text laid up to a column, which ends in the state there; `betas` (T, states + 2): one that begins in
    the state there, laid to the end. Both times e to their scale (T,). State 2i is the blank before character i, state 2i + 1
    is character i.
    """

    probs: Floats
    alphas: Floats
    betas: Floats
    before_scale: Floats
    after_scale: Floats
    text: NDArray[np.int64]

    def changed(self, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Floats:
        """(n, symbols): with any symbol in place of the characters from `begins` (n,) up to `ends` (n,)."""
        symbols = np.arange(self.probs.shape[1])
        text = self.text
        before_is_other = (begins > 0)[:, None] & (np.append(text, -1)[begins - 1][:, None] != symbols)
        after_is_other = (ends < len(text))[:, None] & (np.append(text, -1)[ends][:, None] != symbols)
        enter = np.where(before_is_other, self.alphas[:, 2 * begins - 1, None], 0) + self.alphas[:, 2 * begins, None]
        leave = np.where(after_is_other, self.betas[:, 2 * ends + 1, None], 0) + self.betas[:, 2 * ends, None]
        grown = np.exp(self.before_scale[:-1] - self.before_scale[1:])
        here = np.zeros((len(self.probs), len(begins), len(symbols)))
        for column in range(1, len(here)):
            here[column] = (here[column - 1] + enter[column - 1]) * (self.probs[column] * grown[column - 1])
        logs = self._joined(here[:-1], leave[1:])
        logs[:, BLANK] = -np.inf
        return logs

    def lost(self) -> Floats:
        """(L,): without the character at each place."""
        text, places = self.text, np.arange(len(self.text))
        is_between = (places > 0) & (places < len(text) - 1)
        is_other = is_between & (np.roll(text, 1) != np.roll(text, -1))
        enter = self.alphas[:, 2 * places] + np.where(is_other, self.alphas[:, 2 * places - 1], 0)
        logs = self._joined(enter[:-1], self.betas[1:, 2 * places + 3])
        if len(text):  # nothing is after the last one but the blank at the edge
            with np.errstate(divide="ignore"):
                logs[-1] = np.log(self.alphas[-1, -3]) + self.before_scale[-1]
        return logs

    def _joined(self, before: Floats, after: Floats) -> Floats:
        """The logarithm of the sum over the columns of `before` there times `after` in the next one."""
        scale = self.before_scale[:-1] + self.after_scale[1:]
        weight = np.exp(scale - scale.max())
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.einsum("t,t...,t...->...", weight, before, after)) + scale.max())


def _forward(probs: Floats, texts: Sequence[Text]) -> tuple[Floats, Floats]:
    """(T, symbols) -> (T, texts, 2 + states), (T, texts): the likelihood of each text up to each column, by the state it ends in,
    and the logarithm of the factor that was taken out. The first two states are always 0, so that a step can look two back.
    """
    states = 2 * max(map(len, texts)) + 1
    symbols = np.zeros((len(texts), states), np.int64)
    reachable = np.zeros((len(texts), states))
    for row, text in enumerate(texts):
        symbols[row, 1 : 2 * len(text) : 2] = text
        reachable[row, : 2 * len(text) + 1] = 1
    skips = np.zeros((len(texts), states))
    skips[:, 3::2] = symbols[:, 3::2] != symbols[:, 1:-2:2]
    emitted = probs[:, symbols] * reachable
    alphas = np.zeros((len(probs), len(texts), states + 2))
    log_scales = np.zeros((len(probs), len(texts)))
    alphas[0, :, 2:4] = emitted[0, :, :2]
    scale = np.zeros(len(texts))
    for column in range(1, len(probs)):
        before, now = alphas[column - 1], alphas[column, :, 2:]
        np.multiply(before[:, :-2], skips, out=now)
        now += before[:, 1:-1]
        now += before[:, 2:]
        now *= emitted[column]
        if column % _SCALED_EVERY == 0:
            total = now.sum(axis=1)
            total[total == 0] = 1
            now /= total[:, None]
            scale = scale + np.log(total)
        log_scales[column] = scale
    return alphas, log_scales
