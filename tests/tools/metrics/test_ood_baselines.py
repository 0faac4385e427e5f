"""Measures of certainty and the guards, on features whose truth is known."""

import re

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from inspectd_tools.metrics.ood_baselines import mahalanobis, max_softmax, nearest_neighbours
from inspectd_tools.training.diagnostics import failures


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 150)
    features = rng.normal(size=(300, 5)) * [1, 0.1, 1, 1, 1] + np.outer(labels, [6, 0, 0, 0, 0])
    return torch.tensor(features, dtype=torch.float32), torch.tensor(labels)


def test_mahalanobis_is_the_textbooks_distance_under_a_shrunk_covariance(known):
    features, labels = known
    certainty = mahalanobis(features, labels)(features).numpy()
    values = features.double().numpy()
    means = np.stack([values[labels == c].mean(0) for c in (0, 1)])
    offsets = np.concatenate([values[labels == c] - means[c] for c in (0, 1)])
    covariance = np.cov(offsets.T, bias=True)
    t, t2, n, d = np.trace(covariance), np.trace(covariance @ covariance), 300, 5
    share = ((1 - 2 / d) * t2 + t**2) / ((n + 1 - 2 / d) * (t2 - t**2 / d))
    inverse = np.linalg.inv((1 - share) * covariance + share * t / d * np.eye(d))
    expected = [min(np.sqrt((x - m) @ inverse @ (x - m)) for m in means) for x in values]
    np.testing.assert_allclose(-certainty, expected, rtol=1e-3)


def test_nearest_neighbours_is_a_loop_over_all(known):
    features, _ = known
    certainty = nearest_neighbours(features)(features[:20]).numpy()
    unit = features.double().numpy() / np.linalg.norm(features.double().numpy(), axis=1, keepdims=True)
    expected = [np.sort(np.linalg.norm(unit - unit[place], axis=1))[9] for place in range(20)]
    np.testing.assert_allclose(-certainty, expected, atol=1e-4)


def test_softmax_of_a_probe_is_unsure_between_the_classes_and_sure_within(known):
    features, labels = known
    certainty = max_softmax(features, labels, 2)
    assert certainty(features).median() > 0.9
    assert certainty(torch.tensor([[3.0, 0, 0, 0, 0]])) < 0.8


def test_distance_sees_an_unknown_that_softmax_is_sure_of(known):
    features, labels = known
    unknown = torch.tensor([[6.0, 3.0, 0, 0, 0]])
    assert max_softmax(features, labels, 2)(unknown) > 0.9
    assert mahalanobis(features, labels)(unknown) < mahalanobis(features, labels)(features).min()


GOOD = torch.tensor([[-0.1, -9.0], [-9.0, -0.1]]).repeat(10, 1)
LABELS = torch.tensor([0, 1]).repeat(10)
NOISE = torch.full((4, 2), -20.0)


@pytest.mark.parametrize(
    ("log_kernel", "noise", "words"),
    [
        (GOOD * torch.tensor([1.0, 0.0]), NOISE, "class crooked: the network cannot separate.*lower lr"),
        (GOOD - 100, NOISE, "K is 0 for all classes on 20 of 20 validation.*length_scale"),
        (GOOD, NOISE / 1000, "certain of images of pure noise.*gp_const"),
    ],
)
def test_a_head_that_fails_silently_is_reported_with_a_hint(log_kernel, noise, words):
    assert failures(GOOD, LABELS, NOISE, ("good", "crooked")) == []
    untrained = failures(log_kernel, LABELS, noise, ("good", "crooked"), is_trained=False)
    assert not any("lr" in hint or "epochs" in hint for hint in untrained)
    assert re.search(words, "\n".join(failures(log_kernel, LABELS, noise, ("good", "crooked"))))


@pytest.mark.parametrize("count", range(1, 6))
def test_few_validation_photos_are_no_reason_to_change_a_setting(count):
    """One photo of a class that is wrong: the AUROC of the class is 0, and means nothing."""
    labels = torch.tensor([0] * 10 + [1] * count)
    log_kernel = torch.cat([GOOD[:1].repeat(10, 1), GOOD[:1].repeat(count, 1) + torch.tensor([0.05, -99.0])])
    (found,) = failures(log_kernel, labels, NOISE, ("good", "torn"))
    assert f"few validation photos; right are: torn 0 of {count}. With fewer than 10 per class" in found
    assert not re.search("AUROC|lr", found)
    few, lost = failures(GOOD[:count] - 100, LABELS[:count], NOISE, ("good", "torn"))
    assert f"right are: good {(count + 1) // 2} of {(count + 1) // 2}, torn {count // 2} of {count // 2}." in few
    assert f"K is 0 for all classes on {count} of {count} validation photos; look at these photos" in lost
