"""Measures against references written another way, and what `score` says of sets whose answer is known."""

import json
from itertools import product

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file
from scipy.linalg import sqrtm

from inspectd.errors import ConfigError
from inspectd_tools.networks.torchvision_compat import torchvision
from inspectd_tools.synthetic import cli as synthesize
from inspectd_tools.synthetic.quality.features import FeatureSpace
from inspectd_tools.synthetic.quality.similarity import fid, kid, precision, recall

CLASSES = ("bar", "disc")


def gaussians(n, d, seed, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def kid_by_loops(first, second):
    def kernel(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    def within(items):
        n = len(items)
        return sum(kernel(items[i], items[j]) for i, j in product(range(n), range(n)) if i != j) / (n * (n - 1))

    across = np.mean([kernel(x, y) for x, y in product(first, second)])
    return within(first) + within(second) - 2 * across


def test_kid_is_that_of_two_loops_over_the_definition():
    first, second = gaussians(9, 5, 1), gaussians(12, 5, 2, shift=0.4)
    assert kid(first, second).value == pytest.approx(kid_by_loops(first, second), rel=1e-9)


def test_kid_of_equal_distributions_is_0_on_average_even_for_few_images():
    values = np.array([kid(gaussians(8, 4, seed), gaussians(8, 4, 10_000 + seed)).value for seed in range(300)])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert (values < 0).any()


def test_kid_interval_holds_the_true_distance():
    truth = np.mean(
        [kid(gaussians(60, 3, seed), gaussians(60, 3, 50_000 + seed, shift=0.7)).value for seed in range(300)]
    )
    found = [kid(gaussians(40, 3, seed), gaussians(40, 3, 900 + seed, shift=0.7)) for seed in range(1000, 1100)]
    covered = sum(estimate.low <= truth <= estimate.high for estimate in found)
    assert 86 <= covered <= 100
    assert all(estimate.low < estimate.value < estimate.high for estimate in found)


def test_fid_is_the_closed_form_on_gaussians():
    rng = np.random.default_rng(0)
    first = gaussians(60_000, 3, 1) @ np.diag([1.0, 2.0, 0.5])
    second = gaussians(60_000, 3, 2) @ np.diag([2.0, 1.0, 0.5]) + [1.0, 0.0, 2.0]
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    assert fid(first, second) == pytest.approx((1 - 2) ** 2 + (2 - 1) ** 2 + 1 + 4, rel=0.03)
    assert fid(first @ turn, second @ turn) == pytest.approx(fid(first, second))


@pytest.mark.parametrize(("n", "m", "d"), [(30, 40, 6), (8, 9, 20)])
def test_fid_is_that_of_the_root_of_the_covariances(n, m, d):
    first, second = gaussians(n, d, 3), gaussians(m, d, 4, shift=0.3) * 1.7
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    half = np.real(sqrtm(covariances[0]))
    root = np.real(np.trace(sqrtm(half @ covariances[1] @ half)))
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1]) - 2 * root
    assert fid(first, second) == pytest.approx(expected, rel=1e-4)


def test_precision_and_recall_by_hand():
    """Real images at 0, 1, 2, 3, 10 reach 3, 2, 2, 3 and 9 far: to their third nearest."""
    real = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])
    synthetic = np.array([[-3.5], [-2.9], [0.5], [0.9], [1.1], [19.5]])
    assert precision(synthetic, real).value == pytest.approx(4 / 6)
    assert recall(synthetic, real).value == pytest.approx(1.0)
    crowd = np.array([[2.0], [2.1], [2.2], [2.0]])
    assert recall(crowd, real).value == pytest.approx(1 / 5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """MobileNetV2 as it starts, its normalisation fitted: even random features tell a bar from a disc."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    features = torchvision.models.mobilenet_v2().features
    for module in features.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    rng = np.random.default_rng(0)
    images = torch.from_numpy(np.stack([draw(CLASSES[number % 2], rng) for number in range(16)])).float()
    with torch.no_grad():
        features(torch.nn.functional.interpolate((images[:, None] / 255 - 0.5) / 0.225, (96, 96)).expand(-1, 3, -1, -1))
    save_file(features.state_dict(), path)
    return path


def draw(kind, rng):
    """A dark bar on light ground, a light disc on dark ground."""
    image = np.full((48, 64), 200 if kind == "bar" else 60, np.uint8)
    x, y = int(rng.integers(18, 46)), int(rng.integers(18, 30))
    if kind == "bar":
        cv2.line(image, (x - 12, y), (x + 12, y), 60, 4)
    else:
        cv2.circle(image, (x, y), 9, 200, -1)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def write(folder, count, seed, swap=False):
    rng = np.random.default_rng(seed)
    for place, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = draw(CLASSES[1 - place] if swap else name, rng)
            cv2.imwrite(str(folder / name / f"{number}.png"), image)
    return folder


def scored(tmp_path, weights, synthetic, real):
    out = tmp_path / "score.json"
    arguments = ["score", str(synthetic), str(real), "--weights", str(weights), "--out", str(out)]
    assert synthesize.main(arguments) == 0
    return json.loads(out.read_text())


def test_score_knows_good_synthetic_photos_from_those_of_the_wrong_class(tmp_path, weights, capsys):
    real = write(tmp_path / "real", 16, 1)
    good = scored(tmp_path, weights, write(tmp_path / "good", 10, 2), real)
    said = capsys.readouterr().out
    assert "random.safetensors" in said
    bad = scored(tmp_path, weights, write(tmp_path / "bad", 10, 3, swap=True), real)
    for name in CLASSES:
        kids = {
            key: next(
                row["kid"] for row in found["similarity"] if (row["of_class"], row["compared"]) == (name, "synthetic")
            )
            for key, found in (("good", good), ("bad", bad))
        }
        assert kids["good"]["low"] < 0.5 * kids["bad"]["value"]
        assert kids["good"]["high"] < kids["bad"]["value"]
    accuracy = {
        key: next(row["accuracy"]["value"] for row in found["probes"] if row["trained_on"] == "synthetic")
        for key, found in (("good", good), ("bad", bad))
    }
    assert accuracy["good"] > 0.9
    assert accuracy["bad"] < 0.1
    assert {row["n_unseen"] for row in good["probes"]} == {16}


def test_score_of_some_classes_only(tmp_path, weights):
    synthetic = write(tmp_path / "synthetic", 6, 2)
    for path in (synthetic / "disc").iterdir():
        path.unlink()
    (synthetic / "disc").rmdir()
    found = scored(tmp_path, weights, synthetic, write(tmp_path / "real", 12, 1))
    assert {row["of_class"] for row in found["similarity"]} == {"bar", "together"}
    assert [row["trained_on"] for row in found["probes"]] == ["real", "real + synthetic"]


def test_an_inception_of_a_file_is_named_and_another_file_refused(tmp_path, weights):
    path = tmp_path / "inception.pth"
    torch.save(torchvision.models.inception_v3(weights=None, init_weights=False).state_dict(), path)
    space = FeatureSpace("InceptionV3", path)
    features = space(np.zeros((1, 1, 48, 48), np.uint8))
    assert features.shape == (1, 2048)
    assert "InceptionV3 (inception.pth)" in space.name
    with pytest.raises(ConfigError, match="does not fit"):
        FeatureSpace("InceptionV3", weights)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "synthetic").rename(folder / "other"), "no such folder"),
        (lambda folder: (folder / "synthetic" / "bar" / "0.png").write_bytes(b"no image"), "0.png"),
        (lambda folder: [path.unlink() for path in (folder / "synthetic" / "bar").glob("[1-9].png")], "at least 5"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"nothing"), "weights.safetensors"),
    ],
)
def test_score_refuses_what_it_cannot_judge(tmp_path, weights, capsys, spoil, said):
    for name in ("synthetic", "real"):
        write(tmp_path / name, 10, 1)
    (tmp_path / "weights.safetensors").write_bytes(weights.read_bytes())
    spoil(tmp_path)
    arguments = [
        str(tmp_path / "synthetic"),
        str(tmp_path / "real"),
        "--weights",
        str(tmp_path / "weights.safetensors"),
    ]
    assert synthesize.main(["score", *arguments]) == 78
    assert said in capsys.readouterr().err
