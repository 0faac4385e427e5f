"""The GAN: the same command gives the same images, cut or not; augmentation leaves the class alone; copies are found."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file
from scipy.ndimage import center_of_mass

from inspectd_tools.data import prepare as prepare_data
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.networks.torchvision_compat import torchvision
from inspectd_tools.synthetic import cli as synthesize
from inspectd_tools.synthetic.gan import cli as gan
from inspectd_tools.synthetic.gan.augment import diff_augment
from inspectd_tools.synthetic.gan.memorisation import compare, memorisation, nearest
from inspectd_tools.synthetic.gan.networks import Discriminator, Generator
from inspectd_tools.synthetic.gan.photos import load
from inspectd_tools.synthetic.gan.training import train_gan
from inspectd_tools.synthetic.quality.features import FeatureSpace


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_file(torchvision.models.mobilenet_v2().features.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(1)
    for name, grey in (("dark", 60), ("light", 180)):
        (folder / name).mkdir()
        for number in range(20):
            image = np.clip(rng.normal(grey, 8, (60, 80)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.png"), image)
    return folder


def made(photos, weights, out, *extra, kind="combined"):
    arguments = [kind, "--data", str(photos), "--out", str(out), "--weights", str(weights), "--n_imgs", "4", *extra]
    return gan.main([*arguments, "--latent_vector_size", "8"])


def images_of(run):
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted((run / "images").rglob("*.png"))}


def test_a_cut_run_ends_with_the_same_weights_and_images(photos, weights, tmp_path):
    assert made(photos, weights, tmp_path / "whole", "--epochs", "3") == 0
    assert made(photos, weights, tmp_path / "cut", "--epochs", "2") == 0
    assert made(photos, weights, tmp_path / "cut", "--epochs", "3", "--resume") == 0
    whole, cut = (load_file(tmp_path / run / "models/combined/generator.safetensors") for run in ("whole", "cut"))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    assert images_of(tmp_path / "whole") == images_of(tmp_path / "cut")
    assert len(images_of(tmp_path / "whole")) == 8
    image = cv2.imread(str(tmp_path / "whole/images/dark/00000.png"), cv2.IMREAD_UNCHANGED)
    assert image.shape == (64, 85)
    figures = json.loads((tmp_path / "whole/memorisation.json").read_text())
    assert set(figures["classes"]) == {"dark", "light"}
    assert "random.safetensors" in figures["feature_space"]
    assert made(photos, weights, tmp_path / "cut", "--epochs", "3", "--resume", "--seed", "9") == 78


def test_its_images_go_to_train_and_nowhere_else(photos, weights, tmp_path, capsys):
    manifest, mixed = tmp_path / "photos.csv", tmp_path / "mixed.csv"
    assert prepare_data.main([str(photos), "--out", str(manifest), "--near", "-1", "--shares", "50,25,25"]) == 0
    assert made(manifest, weights, tmp_path / "run", "--epochs", "1") == 0
    mix = ["mix", str(manifest), str(mixed), "--synthetic", str(tmp_path / "run" / "images")]
    assert synthesize.main([*mix, "--train", "4", "0.5"]) == 0
    assert sum(photo.path.is_relative_to(tmp_path / "run") for photo in read_manifest(mixed).of("train")) == 8
    assert synthesize.main([*mix, "--val", "4", "0.5"]) == 78
    assert "which is in train" in capsys.readouterr().err


def test_separate_trains_a_network_a_class(photos, weights, tmp_path):
    assert made(photos, weights, tmp_path / "run", "--epochs", "1", kind="separate") == 0
    assert {path.name for path in (tmp_path / "run/models").iterdir()} == {"dark", "light"}
    assert len(images_of(tmp_path / "run")) == 8


def test_it_refuses_what_would_be_lost_or_useless(photos, weights, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    with pytest.raises(SystemExit) as stop:
        made(photos, weights, tmp_path / "there")
    assert stop.value.code == 2
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit) as stop:
            made(photos, weights, tmp_path / "run", "--size", "256")
        assert stop.value.code == 2
        assert "needs a GPU" in capsys.readouterr().err
    few = tmp_path / "few"
    for name in ("dark", "light"):
        (few / name).mkdir(parents=True)
        for number in range(5):
            (few / name / f"{number}.png").write_bytes((photos / name / f"{number}.png").read_bytes())
    assert made(few, weights, tmp_path / "run") == 78
    assert "at least 8 photos" in capsys.readouterr().err


def test_one_network_learns_to_be_told_the_class(tmp_path):
    """At first the class makes no difference; what it learns of two unlike classes makes one."""
    labels = torch.arange(16) % 2
    pixels = torch.full((16, 1, 64, 64), 200, dtype=torch.uint8)
    pixels[labels == 0, :, :, :32] = 60
    torch.manual_seed(0)
    latents, either = torch.randn(4, 8), torch.arange(2).repeat_interleave(2)
    untrained = Generator(64, 1, 8, 2).eval()
    trained = train_gan(pixels, labels, class_count=2, latent=8, epochs=6, seed=0, run=tmp_path)
    with torch.no_grad():
        assert torch.equal(untrained(latents, either), untrained(latents, either.flip(0)))
        change = (trained(latents, either) - trained(latents, either.flip(0))).abs().mean()
    assert change > 1e-3


@pytest.mark.parametrize("size", [64, 96, 128, 256])
def test_networks_of_every_size(size):
    torch.manual_seed(0)
    labels = torch.tensor([0, 2])
    images = Generator(size, 3, 16, 3)(torch.randn(2, 16), labels)
    discriminator = Discriminator(size, 3, 3)
    summary, features = discriminator.features(images)
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1
    assert discriminator.judge(summary, labels).shape == (2,)
    assert discriminator.redraw(features).shape == (2, 3, size // 2, size // 2)


def test_augmentation_never_turns_mirrors_or_scales():
    """What is left of a stroke with one heavy end is that stroke, elsewhere: same slope, heavy end on the same side."""
    torch.manual_seed(3)
    image = np.zeros((64, 64), np.uint8)
    cv2.line(image, (20, 28), (44, 36), 255, 2)
    cv2.circle(image, (20, 28), 4, 255, -1)
    inputs = torch.from_numpy(image / 255.0).float().expand(200, 1, 64, 64)
    seen = 0
    for changed in diff_augment(inputs)[:, 0].numpy():
        # recoloured: the stroke is the brightest, the ground the most frequent value; covers and borders are flat
        ink = changed > (changed.max() + np.median(changed)) / 2
        if ink.sum() < 0.95 * (image > 127).sum() or ink.sum() > 1.05 * (image > 127).sum():
            continue  # partly covered
        seen += 1
        row, column = center_of_mass(ink)
        ys, xs = np.nonzero(ink)
        slope = np.polyfit(xs, ys, 1)[0]
        assert slope == pytest.approx(8 / 24, abs=0.06)
        assert column < (xs.min() + xs.max()) / 2
        assert abs(row - center_of_mass(image)[0]) <= 8.5
    assert seen > 20


def test_augmentation_passes_gradients_on():
    images = torch.rand(4, 1, 64, 64, requires_grad=True)
    diff_augment(images).sum().backward()
    assert images.grad.abs().sum() > 0


def features(n, seed):
    return np.random.default_rng(seed).standard_normal((n, 6))


def judged(samples, train, held_out):
    return memorisation(nearest(samples, train)[1], nearest(held_out, train)[1])


def test_copies_are_found_and_new_photos_are_not_accused():
    train, held_out = features(70, 0), features(30, 1)
    copies = judged(train[:40] + 0.01 * features(40, 2), train, held_out)
    assert copies.verdict == "copies"
    assert copies.closer_share > 0.99
    assert copies.closest_share == 1
    accused = [judged(features(40, 10 + seed), train, features(30, 500 + seed)) for seed in range(40)]
    assert sum(found.verdict == "copies" for found in accused) <= 3
    assert np.mean([found.closer_share for found in accused]) == pytest.approx(0.5, abs=0.05)


def test_some_copies_among_new_images_are_found():
    train, held_out = features(70, 0), features(60, 1)
    samples = np.concatenate([train[:30], features(30, 2)])
    found = judged(samples, train, held_out)
    assert found.verdict == "copies"
    assert found.closest_interval[0] > 0.3


def test_a_generator_that_copies_is_caught_by_its_images(photos, weights):
    """Its training photos, a little noisier; and photos drawn anew, which are none."""
    given = load(photos, 64, seed=0)
    rng = np.random.default_rng(2)
    of_class = {name: given.train.pixels[given.train.labels == label] for label, name in enumerate(given.classes)}
    copies = {
        name: np.clip(own + rng.integers(-1, 2, own.shape), 0, 255).astype(np.uint8) for name, own in of_class.items()
    }
    new = {
        name: np.clip(rng.normal(own.mean(), own.std(), own.shape), 0, 255).astype(np.uint8)
        for name, own in of_class.items()
    }
    space = FeatureSpace("MobileNetV2", weights)
    assert {figures.verdict for figures in compare(given, copies, space)[0].values()} == {"copies"}
    assert {figures.verdict for figures in compare(given, new, space)[0].values()} == {"new"}


def test_a_few_held_out_photos_prove_nothing():
    train = features(8, 0)
    assert judged(train, train, features(2, 1)).verdict == "too few held out"


def test_nearest_gives_the_photo_it_was_copied_from():
    train = features(20, 0)
    places, distances = nearest(train[[7, 3]], train)
    assert places.tolist() == [7, 3]
    assert distances == pytest.approx(0)
