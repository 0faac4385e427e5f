"""Augmentation policies, on grey and colour images of odd sizes."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from inspectd_tools.data.images import Images
from inspectd_tools.settings import load_settings
from inspectd_tools.training import augment
from inspectd_tools.training.batches import Batches

POLICIES = ["no_augment", "simple", "rand_augment", "auto_augment", "random_choice", "categorical"]


def image(channels: int) -> torch.Tensor:
    """A bright bar at the left, on grey."""
    pixels = torch.full((channels, 37, 52), 90, dtype=torch.uint8)
    pixels[:, :, 5:15] = 200
    return pixels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_keeps_shape_and_kind_and_repeats_with_its_seed(name, channels):
    change = augment.policy(name)
    runs = []
    for _ in range(2):
        torch.manual_seed(7)
        runs.append([change(image(channels)) for _ in range(60)])
    for one, other in zip(*runs, strict=True):
        assert one.dtype == torch.uint8
        assert one.shape == image(channels).shape
        assert torch.equal(one, other)
    different = sum(not torch.equal(found, image(channels)) for found in runs[0])
    assert different == 0 if name == "no_augment" else different >= 15


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "corrupt",
    [augment.shot_noise, augment.impulse_noise, augment.motion_blur, augment.zoom_blur, augment.pixelate, augment.jpeg],
)
def test_a_corruption_changes_an_image_and_keeps_what_it_shows(corrupt, channels):
    clean = image(channels).permute(1, 2, 0).numpy()
    spoilt = corrupt(clean, np.random.default_rng(0)).reshape(clean.shape)
    assert not np.array_equal(spoilt, clean)
    assert spoilt[:, 6:14].mean() > spoilt[:, 25:].mean() + 60


def images(count: int) -> Images:
    rng = np.random.default_rng(0)
    return Images((), rng.integers(0, 256, (count, 1, 16, 16), np.uint8), np.array([0] * (count - 2) + [1, 1]), ())


@pytest.mark.parametrize("name", ["production", "rand_augment"])
def test_batches_depend_on_seed_and_epoch_alone(name):
    settings = load_settings("filter-label", [f"augmentation={name}", "batch_size=4"])
    first, again = (list(Batches(images(18), settings).of_epoch(3)) for _ in range(2))
    assert len(first) == len(Batches(images(18), settings)) == 4
    assert all(
        torch.equal(a, b) for one, other in zip(first, again, strict=True) for a, b in zip(one, other, strict=True)
    )
    other_epoch = next(iter(Batches(images(18), settings).of_epoch(4)))
    assert not torch.equal(first[0][0], other_epoch[0])


def test_sampling_shows_every_class_equally_often_and_as_many_images_as_asked():
    settings = ["augmentation=no_augment", "batch_size=10", "class_balance=sampling", "epoch_images=1000"]
    batches = Batches(images(50), load_settings("filter-label", settings))
    labels = torch.cat([labels for _, labels in batches.of_epoch(1)])
    assert len(labels) == 1000
    assert 420 < int(labels.sum()) < 580
    unbalanced = Batches(images(50), load_settings("filter-label", [*settings, "class_balance=none"]))
    assert int(torch.cat([labels for _, labels in unbalanced.of_epoch(1)]).sum()) == 40
