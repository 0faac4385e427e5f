"""A guard's surface: trained with good photos alone, it finds faults anywhere, on images of any size."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file

from inspectd.errors import ConfigError
from inspectd.guard import limits, model
from inspectd.guard.judgement import Finding, Judgement
from inspectd.guard.model import Guard
from inspectd.guard.surface import KINDS, Surface
from inspectd.inference import load_bundle
from inspectd.inference.surface_network import compiled
from inspectd_tools.deploy.guard import cli, fitting
from inspectd_tools.deploy.guard.choice import choose
from inspectd_tools.deploy.guard.fitting import fit_guard
from inspectd_tools.deploy.guard.photos import good_photos
from inspectd_tools.deploy.guard.surface import training
from inspectd_tools.deploy.guard.surface.faults import draw, one_fault
from inspectd_tools.networks.torchvision_compat import torchvision
from tests.factories import without_guard


def brushed(seed, width=160, height=120):
    """A grey surface with fine vertical lines, in a light of its own."""
    rng = np.random.default_rng([31, seed])
    lines = rng.normal(0, 9, (1, width)) + rng.normal(0, 4, (height, width))
    slope = np.linspace(-1, 1, width) * rng.uniform(-25, 25)
    return np.clip(rng.uniform(90, 150) + slope + cv2.GaussianBlur(lines, (0, 0), 0.7), 0, 255).astype(np.uint8)


def with_blot(image, x, y, px=10):
    spoilt = image.copy()
    cv2.circle(spoilt, (x, y), px // 2, 25, -1)
    return spoilt


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """MobileNetV2's first layers at random: even these distinguish a blot from lines."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    layers = torchvision.models.mobilenet_v2().features
    save_file({f"features.{name}": value for name, value in layers.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Fewer examples and steps, and one thread: on a busy machine, threads of torch wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_PIECES", 16)
        patch.setattr(training, "_STEPS", 60)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def surface(weights):
    network = training.train([brushed(seed, 160 + 8 * seed) for seed in range(8)], weights, 0)
    return Surface(network, compiled(network))


def test_a_blot_is_found_where_it_is_on_images_of_any_size(surface):
    guard = Guard(None, surface)
    usual = [guard.judge(brushed(seed, 100 + seed, 90 + 3 * seed)) for seed in range(100, 120)]
    chosen = limits.fit(usual, 0.05)
    for number, (width, height, x, y) in enumerate([(160, 120, 40, 70), (331, 97, 300, 30), (90, 203, 50, 150)]):
        judgement = guard.judge(with_blot(brushed(200 + number, width, height), x, y))
        assert not chosen.accepts(judgement)
        left, top, box_width, box_height = max(judgement.findings, key=lambda finding: finding.score).box
        assert left <= x <= left + box_width
        assert top <= y <= top + box_height


def test_its_file_gives_the_same_scores(surface, tmp_path):
    guard = Guard(None, surface)
    guard.save(tmp_path / "guard.npz")
    loaded = model.load((tmp_path / "guard.npz").read_bytes(), compiled)
    assert loaded.size is None
    assert loaded.kinds == KINDS
    assert loaded.judge(brushed(1)).scores == guard.judge(brushed(1)).scores


@pytest.mark.parametrize(
    "image", [np.zeros((63, 200), np.uint8), np.zeros((100, 100), np.float32), np.zeros((100, 100, 3), np.uint8)]
)
def test_refuses_images_that_it_cannot_judge(surface, image):
    with pytest.raises(ValueError, match="expected uint8 grey of at least 64x64"):
        surface.look(image)


def test_refuses_weights_of_another_network(tmp_path):
    layers = torchvision.models.resnet18()
    save_file(layers.state_dict(), tmp_path / "resnet.safetensors")
    with pytest.raises(ConfigError, match=r"resnet\.safetensors: does not hold the weights of MobileNetV2"):
        training.train([brushed(0)], tmp_path / "resnet.safetensors", 0)


@pytest.fixture
def photos(tmp_path):
    def write(width):
        (tmp_path / "no_fail").mkdir()
        for seed in range(24):
            cv2.imwrite(str(tmp_path / "no_fail" / f"{seed:02d}.png"), brushed(seed, width(seed)))
        return good_photos(tmp_path, "no_fail", 0)

    return write


def test_photos_of_several_sizes_get_a_surface_alone(photos, weights):
    several = photos(lambda seed: 160 + 8 * (seed % 3))
    with pytest.raises(ConfigError, match="For products of several sizes, give --surface"):
        fit_guard(several, 0)
    fitted = fit_guard(several, 0, weights)
    assert fitted.guard.aligned is None
    assert fitted.guard.surface is not None
    assert not fitted.limits.accepts(fitted.guard.judge(with_blot(brushed(99), 80, 60)))


def test_both_ways_of_looking_are_candidates(photos, weights, monkeypatch):
    tried = []
    monkeypatch.setattr(
        fitting, "choose", lambda candidates, *rest: tried.append(candidates) or choose(candidates, *rest)
    )
    fitted = fit_guard(photos(lambda _: 160), 0, weights)
    ((both, aligned, surface),) = tried
    assert (aligned.kinds, surface.kinds, both.kinds) == (("part",), KINDS, ("part", *KINDS))
    assert fitted.guard.kinds in {guard.kinds for guard in tried[0]}
    assert len(fitted.limits.largest) == len(fitted.guard.kinds)


class Sees:
    """A guard that finds the fault on every n-th photo."""

    def __init__(self, every, good):
        self.every, self.good, self.asked = every, {image.tobytes() for image in good}, 0

    def judge(self, image):
        faulty = image.tobytes() not in self.good
        self.asked += faulty
        score = 9.0 if faulty and self.asked % self.every == 0 else 1.0
        return Judgement((Finding("part", score, (0, 0, 1, 1)),), (), None)


@pytest.mark.parametrize(("first", "second", "kept"), [(1, 1, 0), (4, 1, 1), (1, 4, 0), (10, 9, 0)])
def test_one_way_alone_is_kept_only_if_it_finds_clearly_more(first, second, kept):
    good = [brushed(seed) for seed in range(20)]
    candidates = [Sees(first, good), Sees(second, good)]
    assert choose(candidates, good, 0, 0) is candidates[kept]


def test_a_drawn_fault_is_where_its_mask_says():
    rng = np.random.default_rng(3)
    for _ in range(100):
        crop, other = (brushed(int(rng.integers(1000)), 160, 160).astype(np.float32) for _ in range(2))
        changed, mask = draw(crop, other, rng)
        assert changed.shape == mask.shape == crop.shape
        assert set(np.unique(mask)) <= {0, 1}
        assert ((changed >= 0) & (changed <= 255)).all()
        change = np.abs(changed - crop)
        far = cv2.dilate(mask, np.ones((31, 31))) == 0
        assert not mask.any() or change[mask > 0].mean() > 3 * change[far].sum() / far.size


def test_the_same_seed_draws_the_same_fault():
    one, other = (one_fault(brushed(5), np.random.default_rng(8)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert (one != brushed(5)).any()


def test_an_engine_gets_a_surface_for_photos_of_several_sizes(photos, weights, tmp_path):
    photos(lambda seed: 160 + 8 * (seed % 3))
    engine = without_guard(Path(__file__).parents[3] / "engines" / "filter-label", tmp_path / "network")
    new = tmp_path / "new"
    arguments = [str(engine), "--data", str(tmp_path), "--surface", str(weights), "--out", str(new)]
    assert cli.main(arguments) == 0
    guard = load_bundle(new).manifest.guard
    assert (guard.kinds, guard.width, guard.height) == (KINDS, None, None)
    assert "It works on images of any size." in (new / "card.md").read_text()
