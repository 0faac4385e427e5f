"""The DUQ head against an independent reference in NumPy, written from the paper's formulas."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from inspectd_tools.networks.double_backward import differentiate_twice
from inspectd_tools.networks.duq import DuqHead, FoldedDuqHead, duq_loss, duq_loss_of_kernel, gradient_penalty

FEATURES, CLASSES, SIZE, SCALE, GAMMA = 20, 3, 8, 0.4, 0.9


@pytest.fixture
def head():
    torch.manual_seed(0)
    return DuqHead(FEATURES, CLASSES, SIZE, SCALE, GAMMA)


def reference_kernel(head: DuqHead, features: np.ndarray) -> np.ndarray:
    """K_c = exp(-mean((W_c f - m_c / N_c)^2) / (2 sigma^2)), equation 1, with explicit loops."""
    weight, sums, counts = (tensor.detach().double().numpy() for tensor in (head.weight, head.sums, head.counts))
    kernel = np.zeros((len(features), CLASSES))
    for n, feature in enumerate(features):
        for c in range(CLASSES):
            offset = weight[:, c] @ feature - sums[:, c] / counts[c]
            kernel[n, c] = np.exp(-np.mean(offset**2) / (2 * SCALE**2))
    return kernel


def test_kernel_is_that_of_the_paper(head):
    features = torch.randn(16, FEATURES) * 0.2
    expected = reference_kernel(head, features.double().numpy())
    assert expected.max() > 0.3
    np.testing.assert_allclose(head(features).exp().detach().numpy(), expected, atol=1e-5)


def test_the_exported_form_is_equal_to_1e_5(head):
    features = torch.randn(64, FEATURES)
    np.testing.assert_allclose(
        FoldedDuqHead(head)(features).detach().numpy(), reference_kernel(head, features.double().numpy()), atol=1e-5
    )


def test_centroids_are_moving_averages_of_their_own_class(head):
    features = torch.randn(12, FEATURES)
    labels = torch.tensor([0] * 5 + [1] * 7)
    one_hot = functional.one_hot(labels, CLASSES).float()
    sums, counts = head.sums.clone().numpy(), head.counts.clone().numpy()
    head.update_centroids(features, one_hot)
    weight = head.weight.detach().numpy()
    for c in range(CLASSES):
        own = features[labels == c].numpy()
        expected_sum = GAMMA * sums[:, c] + (1 - GAMMA) * (own @ weight[:, c].T).sum(axis=0)
        np.testing.assert_allclose(head.counts[c], GAMMA * counts[c] + (1 - GAMMA) * len(own), rtol=1e-6)
        np.testing.assert_allclose(head.sums[:, c], expected_sum, atol=1e-5)


def test_centroids_can_be_moved_to_the_means_of_their_classes(head):
    features = torch.randn(12, FEATURES)
    labels = torch.tensor([0] * 4 + [1] * 5 + [2] * 3)
    before = head.weight.detach().clone()
    head.fit_means(features, labels)
    assert torch.equal(head.weight, before)
    for c in range(CLASSES):
        expected = (features[labels == c].numpy() @ before[:, c].numpy().T).mean(axis=0)
        np.testing.assert_allclose(head.centroids[:, c], expected, atol=1e-5)


def test_centroids_travel_with_the_weights(head):
    other = DuqHead(FEATURES, CLASSES, SIZE, SCALE, GAMMA)
    other.load_state_dict(head.state_dict())
    features = torch.randn(4, FEATURES)
    assert torch.equal(other(features), head(features))
    assert {"sums", "counts", "weight", "log_length_scale"} == head.state_dict().keys()


@settings(max_examples=50)
@given(st.lists(st.floats(-60, -1e-4), min_size=CLASSES, max_size=CLASSES), st.integers(0, CLASSES - 1))
def test_loss_is_binary_cross_entropy_where_that_can_be_computed(log_values, label):
    log_kernel = torch.tensor([log_values], dtype=torch.float64)
    one_hot = functional.one_hot(torch.tensor([label]), CLASSES).double()
    expected = functional.binary_cross_entropy(log_kernel.exp(), one_hot)
    torch.testing.assert_close(duq_loss(log_kernel, one_hot).mean(), expected, rtol=1e-6, atol=1e-9)


def test_loss_still_teaches_where_every_kernel_underflows():
    log_kernel = torch.full((1, CLASSES), -500.0, requires_grad=True)
    loss = duq_loss(log_kernel, functional.one_hot(torch.tensor([1]), CLASSES).float()).mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert log_kernel.grad[0, 1] < -0.1


def test_loss_of_the_kernel_is_the_same_but_leaves_alone_what_is_too_far_away():
    """The gradient of binary cross-entropy by hand: (K - y) / (1 - K) with respect to log K."""
    near = torch.tensor([[-0.2, -3.0, -9.0]], requires_grad=True)
    one_hot = functional.one_hot(torch.tensor([1]), CLASSES).float()
    loss = duq_loss_of_kernel(near, one_hot).mean()
    loss.backward()
    kernel = np.exp(near.detach().double().numpy())
    y = one_hot.numpy()
    assert loss.item() == pytest.approx(-np.mean(y * np.log(kernel) + (1 - y) * np.log(1 - kernel)), rel=1e-5)
    np.testing.assert_allclose(near.grad, (kernel - y) / (1 - kernel) / CLASSES, rtol=1e-4)
    far = torch.full((1, CLASSES), -60.0, requires_grad=True)
    duq_loss_of_kernel(far, one_hot).mean().backward()
    assert far.grad.abs().max() < 1e-12


def test_loss_is_finite_at_certainty_1():
    log_kernel = torch.zeros((1, CLASSES), requires_grad=True)
    loss = duq_loss(log_kernel, functional.one_hot(torch.tensor([1]), CLASSES).float()).mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(log_kernel.grad).all()


def test_gradient_penalty_is_that_of_finite_differences(head):
    head = head.double()
    inputs = (torch.randn(2, FEATURES, dtype=torch.float64) * 0.2).requires_grad_()
    found = gradient_penalty(head(inputs), inputs)
    norms = []
    for row in range(2):
        slopes = []
        for column in range(FEATURES):
            step = torch.zeros_like(inputs)
            step[row, column] = 1e-5
            slope = (head(inputs + step).exp().sum() - head(inputs - step).exp().sum()) / 2e-5
            slopes.append(slope.item())
        norms.append(np.linalg.norm(slopes))
    assert found.item() == pytest.approx(np.mean((np.array(norms) - 1) ** 2), rel=1e-4)


def shrunk_covariances(features: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Each class's covariance towards that within classes, itself towards a ball; written from the papers' formulas."""
    d = features.shape[1]
    offsets = np.concatenate([features[labels == c] - features[labels == c].mean(0) for c in np.unique(labels)])
    within = offsets.T @ offsets / len(offsets)
    t, t2 = np.trace(within), np.trace(within @ within)
    share = min(1, ((1 - 2 / d) * t2 + t**2) / ((len(offsets) + 1 - 2 / d) * (t2 - t**2 / d)))
    within = (1 - share) * within + share * t / d * np.eye(d)
    found = []
    for c in np.unique(labels):
        own = features[labels == c]
        a = d / (d + len(own))
        covariance = (1 - a) * np.cov(own.T) + a * within
        found.append(covariance + 1e-3 * np.trace(covariance) / d * np.eye(d))
    return found


@pytest.mark.parametrize("per_class", [8, 400])
def test_a_covariance_head_measures_mahalanobis_distance(per_class):
    """With as many components as features nothing is reduced, so the distance is the textbook's."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), per_class)
    shapes = rng.normal(size=(CLASSES, 6, 6))
    features = np.stack([shapes[label] @ rng.normal(size=6) + 3 * label for label in labels])
    head = DuqHead(6, CLASSES, 6, SCALE, GAMMA)
    head.fit_covariance(torch.tensor(features, dtype=torch.float32), torch.tensor(labels))
    log_kernel = head(torch.tensor(features, dtype=torch.float32)).detach().numpy()
    for c, covariance in enumerate(shrunk_covariances(features, labels)):
        offset = features - features[labels == c].mean(axis=0)
        mahalanobis = np.einsum("ij,jk,ik->i", offset, np.linalg.inv(covariance), offset)
        np.testing.assert_allclose(log_kernel[:, c], np.log(0.9) * mahalanobis / 6, rtol=1e-3, atol=1e-3)
    if per_class == 400:
        typical = np.exp([log_kernel[labels == c, c].mean() for c in range(CLASSES)])
        assert typical == pytest.approx(0.9, abs=0.02)


def test_a_covariance_head_of_fewer_images_than_components_knows_new_images_of_its_classes():
    """Ten images a class, 200 features, 64 components: without shrinkage every new image would be an unknown."""
    rng = np.random.default_rng(2)
    means = rng.normal(size=(2, 200)) * 3

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = np.repeat([0, 1], count)
        return torch.tensor(means[labels] + rng.normal(size=(2 * count, 200)), dtype=torch.float32), torch.tensor(
            labels
        )

    head = DuqHead(200, 2, 64, SCALE, GAMMA)
    head.fit_covariance(*draw(10))
    features, labels = draw(100)
    kernel = head(features).exp().detach()
    assert (kernel.argmax(1) == labels).all()
    unknown = head(torch.tensor(rng.normal(size=(200, 200)) * 3, dtype=torch.float32)).exp().max(1).values
    assert kernel.max(1).values.quantile(0.05) > unknown.quantile(0.95)


def test_a_covariance_head_sees_what_the_classes_do_not_differ_in():
    """Two classes apart along one axis; the unknown lies between their means in it and far off in another."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 300)
    features = rng.normal(scale=[1, 0.1, 0.1, 1], size=(600, 4)) + np.outer(labels, [10, 0, 0, 0])
    head = DuqHead(4, 2, 4, SCALE, GAMMA)
    head.fit_covariance(torch.tensor(features, dtype=torch.float32), torch.tensor(labels))
    unknown = torch.tensor([[0.0, 2.0, 0.0, 0.0]])
    assert head(unknown).exp().max() < 0.01
    assert head(torch.tensor([[0.0, 0.0, 0.0, 0.0]])).exp().max() > 0.8


def derivatives(norm: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """First derivatives by x, then those of a loss with a penalty on them: by x, weight and bias."""
    x = x.clone().requires_grad_()
    outputs = norm(x)
    (first,) = torch.autograd.grad(torch.tanh(outputs).sum(), x, create_graph=True)
    loss = outputs.square().mean() + (first.flatten(1).norm(dim=1) - 1).square().mean()
    return [outputs, first, *torch.autograd.grad(loss, [x, norm.weight, norm.bias])]


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.booleans(), st.integers(0, 2**32 - 1))
def test_batch_normalisation_is_torchs_to_the_second_derivative(count, height, width, is_last, seed):
    torch.manual_seed(seed)
    x = torch.randn(count + 1, 3, height, width, dtype=torch.double) * 2 + 5
    x = x.contiguous(memory_format=torch.channels_last if is_last else torch.contiguous_format)
    plain, ours = torch.nn.BatchNorm2d(3).double(), torch.nn.BatchNorm2d(3).double()
    with torch.no_grad():
        plain.weight.uniform_(-2, 2)
        plain.bias.uniform_(-2, 2)
    ours.load_state_dict(plain.state_dict())
    differentiate_twice(ours)
    for expected, found in zip(derivatives(plain, x), derivatives(ours, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value)


def test_a_covariance_head_sees_what_no_image_shows():
    """New images of the classes are known; the same with something in 100 of the 300 features that were always empty are not."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 40)
    means = np.concatenate([rng.normal(size=(2, 200)) * 3, np.zeros((2, 100))], axis=1)
    spread = np.repeat([1.0, 0.05], [200, 100])

    def draw() -> np.ndarray:
        return means[labels] + rng.normal(size=(80, 300)) * spread

    head = DuqHead(300, 2, 128, SCALE, GAMMA)
    head.fit_covariance(torch.tensor(draw(), dtype=torch.float32), torch.tensor(labels))
    new = draw()
    strange = draw() + 4 * np.repeat([0.0, 1.0], [200, 100])
    known, unknown = (head(torch.tensor(f, dtype=torch.float32)).exp().max(1).values.detach() for f in (new, strange))
    assert known.quantile(0.05) > 0.8
    assert unknown.max() < known.quantile(0.05) - 0.1
