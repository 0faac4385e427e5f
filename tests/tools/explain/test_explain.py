"""Attribution maps against what they are defined as, worked out another way; and checks that must be able to fail.

Completeness against the classifier's own scores, gradients against finite differences, guided backpropagation against
one written here; masks, curves and sanity figures against maps made by hand.
"""

import csv
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file
from torch import nn

from inspectd.errors import ConfigError
from inspectd.inference.preprocess import InputSpec
from inspectd_tools.data.manifest import DataManifest, Photo, write_manifest
from inspectd_tools.explain import cli as explain
from inspectd_tools.explain import coverage
from inspectd_tools.explain.check import CONTROLS, Checked, Measured, SanityStep
from inspectd_tools.explain.coverage import TARGETS, blobs, random_classifier
from inspectd_tools.explain.evidence import fault_mask, label_mask, mask_share, points_at
from inspectd_tools.explain.explanation import Explanation, Seen
from inspectd_tools.explain.faithfulness import area, deletion, insertion, sensitivity, unexplained
from inspectd_tools.explain.methods import METHODS, gap
from inspectd_tools.explain.network import Network
from inspectd_tools.explain.report import rows, wrong_reason
from inspectd_tools.explain.rules import MaxPool, Square
from inspectd_tools.explain.sanity import cascade, rank_correlation, similarity
from inspectd_tools.explain.source import Subject, choose
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.settings import load_settings
from inspectd_tools.synthetic.cli import main as synthesize
from tests.factories import GREY_OF_CLASS, edit_manifest, make_toy_bundle, sha256_of, toy_image

SIDE = 64
BACKBONES = ("MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1")
HEADS = ("softmax", "DUQ")
everywhere = pytest.mark.parametrize(("backbone", "head"), [(model, head) for model in BACKBONES for head in HEADS])


@pytest.fixture(scope="module")
def classifiers():
    return {(model, head): random_classifier(model, head == "DUQ", SIDE) for model in BACKBONES for head in HEADS}


@pytest.fixture(scope="module")
def images():
    return blobs(2, SIDE, seed=100)


def small_classifier(seed=0):
    settings = ["model=DuqCnn", "input.width=28", "input.height=28", "pretrained=false", "centroid_size=4"]
    settings = load_settings("filter-label", [*settings, "input.mean=[0.45]", "input.std=[0.22]"])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = Classifier(settings).train()
        with torch.no_grad():
            for _ in range(20):
                classifier(torch.randn(8, 1, 28, 28))
    return settings, classifier.eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings, classifier = small_classifier()
    (folder / "settings.json").write_text(settings.model_dump_json())
    (folder / "provenance.json").write_text("{}")
    save_file(
        {name: value.contiguous() for name, value in classifier.state_dict().items()}, folder / "weights.safetensors"
    )
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder a class, and masks for all classes but the good one."""
    root = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(GREY_OF_CLASS):
        (root / name).mkdir()
        (root / "masks" / name).mkdir(parents=True)
        for place in range(3):
            cv2.imwrite(str(root / name / f"{place}.png"), toy_image(name, seed=10 * number + place))
            mask = np.zeros((48, 64), np.uint8)
            if name != "no_fail":
                mask[10:30, 10:40] = 255
            cv2.imwrite(str(root / "masks" / name / f"{place}.png"), mask)
    return root


def explained(*arguments) -> int:
    return explain.main([str(argument) for argument in arguments])


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- methods ---------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("target", TARGETS)
def test_the_copy_that_is_explained_says_what_the_classifier_says(classifiers, images, backbone, head, target):
    classifier = classifiers[backbone, head]
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    network = Network(classifier, target)
    with torch.no_grad():
        found, expected = network(images), classifier(images)
    if target == "certainty":
        expected = expected.exp()
    elif target == "contrast":
        expected = torch.stack([row - (row.sum() - row) / 3 for row in expected])
    elif head == "softmax":
        found = found.log_softmax(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not network.unknown
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


@pytest.mark.parametrize(
    ("method", "backbone", "head"),
    [("deeplift", model, head) for model in BACKBONES for head in HEADS]
    # slow, and it needs neither a rule per operation nor anything of the head
    + [("integrated_gradients", "ResNet18", "softmax"), ("integrated_gradients", "ShuffleNetV2", "DUQ")],
)
def test_what_should_add_up_does(classifiers, images, backbone, head, method):
    """Against the classifier's own scores, in double."""
    classifier = deepcopy(classifiers[backbone, head]).double()
    image = images[:1]
    place = classifiers[backbone, head](image).argmax(1)
    found = METHODS[method].attribute(Network(classifiers[backbone, head], "class"), image, place)
    with torch.no_grad():
        features = classifier.features(torch.cat([image, torch.zeros_like(image)]).double())
        scores = classifier.head(features) if head == "DUQ" else classifier.head.linear(features)
    wanted = float(scores[0, place] - scores[1, place])
    assert float(found.double().sum()) == pytest.approx(wanted, rel=0.01)
    assert float(gap(Network(classifiers[backbone, head], "class"), image, place, found)) == pytest.approx(
        abs(float(found.double().sum()) - wanted) / abs(wanted), abs=1e-4
    )


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("target", ["certainty", "contrast"])
def test_deeplift_adds_up_for_other_targets_too(classifiers, images, backbone, target):
    network = Network(classifiers[backbone, "DUQ"], target)
    places = network(images).argmax(1)
    found = METHODS["deeplift"].attribute(network, images, places)
    assert float(gap(network, images, places, found).max()) < 1e-4


def test_deeplift_adds_up_where_one_activation_follows_another():
    """Max pooling, then ReLU: Captum's own hooks get that wrong by a third."""
    network = Network(small_classifier()[1], "class")
    images = torch.randn(3, 1, 28, 28)
    places = network(images).argmax(1)
    assert float(gap(network, images, places, METHODS["deeplift"].attribute(network, images, places)).max()) < 1e-4


def test_a_gap_is_seen(classifiers, images):
    network = Network(classifiers["ShuffleNetV2", "DUQ"], "class")
    places = network(images).argmax(1)
    found = METHODS["deeplift"].attribute(network, images, places)
    assert float(gap(network, images, places, 1.02 * found).min()) == pytest.approx(0.02, abs=1e-3)


@everywhere
def test_saliency_is_the_gradient_by_finite_differences(classifiers, images, backbone, head):
    network = Network(classifiers[backbone, head], "class").double()
    image, step = images[:1].double(), 1e-6
    place = network(image).argmax(1)
    found = METHODS["saliency_map"].attribute(network, image, place).flatten()
    chosen = np.random.default_rng(0).choice(found.numel(), 6, replace=False)
    nudges = torch.zeros(len(chosen), found.numel(), dtype=torch.double)
    nudges[torch.arange(len(chosen)), torch.from_numpy(chosen)] = step
    nudges = nudges.view(-1, *image.shape[1:])
    with torch.no_grad():
        slopes = (network(image + nudges) - network(image - nudges))[:, int(place)] / (2 * step)
    np.testing.assert_allclose(found[chosen].numpy(), slopes.abs().numpy(), rtol=1e-3, atol=1e-7)


class GuidedByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, highest):
        ctx.save_for_backward((x > 0) & (x < highest))
        return x.clamp(0, highest)

    @staticmethod
    def backward(ctx, gradient):
        (is_open,) = ctx.saved_tensors
        return gradient.clamp(min=0) * is_open, None


class GuidedReLU(nn.Module):
    def __init__(self, highest):
        super().__init__()
        self.highest = highest

    def forward(self, x):
        return GuidedByHand.apply(x, self.highest)


def guide(module):
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU | nn.ReLU6):
            setattr(module, name, GuidedReLU(6.0 if isinstance(child, nn.ReLU6) else torch.inf))
        guide(child)


@pytest.mark.parametrize("backbone", ["MobileNetV2", "ResNet18", "ShuffleNetV2"])
@pytest.mark.parametrize("head", HEADS)
def test_guided_backpropagation_is_that_written_by_hand(classifiers, images, backbone, head):
    reference = deepcopy(classifiers[backbone, head])
    guide(reference.backbone)
    inputs = images.clone().requires_grad_()
    features = reference.features(inputs)
    scores = reference.head(features) if head == "DUQ" else reference.head.linear(features)
    places = scores.argmax(1)
    (expected,) = torch.autograd.grad(scores.gather(1, places[:, None]).sum(), inputs)
    network = Network(classifiers[backbone, head], "class")
    found = METHODS["guided_backpropagation"].attribute(network, images, places)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    plain = METHODS["saliency_map"].attribute(network, images, places)
    assert not torch.allclose(found.abs(), plain, rtol=0.1, atol=0.1 * float(plain.max()))


@everywhere
def test_grad_cam_is_the_weighted_feature_map(classifiers, images, backbone, head):
    """Weights: the mean gradient of each channel (Selvaraju et al. 2017)."""
    classifier = classifiers[backbone, head]
    features = classifier.backbone(images).detach().requires_grad_()
    pooled = classifier.pool(features)
    scores = classifier.head(pooled) if head == "DUQ" else classifier.head.linear(pooled)
    places = scores.argmax(1)
    (gradient,) = torch.autograd.grad(scores.gather(1, places[:, None]).sum(), features)
    coarse = (gradient.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).relu()
    expected = nn.functional.interpolate(coarse, images.shape[2:], mode="bilinear").detach()
    found = METHODS["grad_cam"].attribute(Network(classifier, "class"), images, places)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.max()))


def test_a_method_that_does_not_apply_is_refused_with_the_reason(classifiers, images):
    places = torch.zeros(2, dtype=torch.long)

    def refused(method, network, given=images):
        with pytest.raises(ConfigError) as caught:
            METHODS[method].attribute(network, given, places[: len(given)])
        return str(caught.value)

    gated = Network(classifiers["EfficientNetB1", "softmax"], "class")
    message = refused("guided_backpropagation", gated)
    assert all(name in message for name in ("Product", "SiLU", "Sigmoid", "plain gradient"))
    assert "softmax" in refused("deeplift", Network(classifiers["ResNet18", "softmax"], "certainty"))
    assert "1x1" in refused("grad_cam", Network(small_classifier()[1], "class"), torch.randn(2, 1, 28, 28))


def test_an_operation_without_a_rule_is_refused():
    _, classifier = small_classifier()
    classifier.backbone[3] = nn.GELU()
    network = Network(classifier, "class")
    assert network.unknown == {"GELU"}
    for method in ("deeplift", "guided_backpropagation"):
        with pytest.raises(ConfigError, match="GELU"):
            METHODS[method].attribute(network, torch.randn(1, 1, 28, 28), torch.tensor([0]))


def test_deeplift_of_windows_that_overlap_by_hand():
    """5 is the largest of both windows: each passes its difference to it, (5 - 0) / (5 - 0) of a gradient of 1."""
    from captum.attr import DeepLift

    network = nn.Sequential(MaxPool((1, 3), (1, 2)), nn.Flatten(), nn.Linear(2, 1, bias=False))
    nn.init.ones_(network[2].weight)
    image = torch.tensor([[[[1.0, 2.0, 5.0, 3.0, 4.0]]]])
    found = DeepLift(network).attribute(image, target=0)
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 0.0, 10.0, 0.0, 0.0]]]]))


# --- checks ----------------------------------------------------------------------------------------------------------


def test_mask_share_and_pointing_of_maps_made_by_hand():
    mask = np.zeros((40, 60), bool)
    mask[10:20, 10:30] = True
    even = np.ones((40, 60), np.float32)
    assert mask_share(even, mask) == pytest.approx(mask.mean())
    inside = np.where(mask, -2, 0).astype(np.float32)
    assert mask_share(inside, mask) == 1
    assert mask_share(inside + 1, mask) == pytest.approx(200 / (200 + 2200))
    assert np.isnan(mask_share(np.zeros_like(even), mask))
    for column, is_hit in ((15, True), (29 + 15, True), (29 + 16, False)):
        spot = np.zeros_like(even)
        spot[15, column] = -1
        assert points_at(spot, mask) is is_hit
    assert not points_at(np.zeros_like(even), mask)


def test_masks_are_seen_as_the_network_sees_the_photo(tmp_path):
    spec = InputSpec(width=32, height=16, channels=3, region={"left": 0.5}, mean=(0.5,) * 3, std=(0.2,) * 3)
    (tmp_path / "masks" / "crack").mkdir(parents=True)
    mask = np.zeros((64, 128), np.uint8)
    mask[32:, 96:] = 255
    cv2.imwrite(str(tmp_path / "masks" / "crack" / "a.png"), mask)
    cv2.imwrite(str(tmp_path / "masks" / "crack" / "empty.png"), np.zeros_like(mask))
    found = fault_mask(tmp_path / "images" / "crack" / "a.jpg", tmp_path / "masks", spec)
    expected = np.zeros((16, 32), bool)
    expected[8:, 16:] = True
    assert np.array_equal(found, expected)
    assert fault_mask(tmp_path / "crack" / "empty.jpg", tmp_path / "masks", spec) is None
    assert fault_mask(tmp_path / "crack" / "none.jpg", tmp_path / "masks", spec) is None
    (tmp_path / "masks" / "crack" / "a.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"a\.png"):
        fault_mask(tmp_path / "crack" / "a.jpg", tmp_path / "masks", spec)


def test_a_rendered_label_lies_within_its_outline(tmp_path):
    out = tmp_path / "labels"
    assert synthesize(["render", str(out), "--count-per-class", "1", "--masks", "--seed", "4", "--workers", "1"]) == 0
    spec = InputSpec(width=160, height=120, channels=1, mean=(0.5,), std=(0.2,))
    photo = out / "fail_label_not_fully_printed" / "00000.png"
    label, fault = label_mask(photo, spec), fault_mask(photo, out / "masks", spec)
    assert 0.05 < label.mean() < 0.6
    assert (fault & label).sum() > 0.95 * fault.sum()
    assert label_mask(out / "no_fail" / "00000.png", spec) is not None
    assert fault_mask(out / "no_fail" / "00000.png", out / "masks", spec) is None


def test_curves_of_a_score_known_beforehand():
    """The score is the share of the right half that still shows the image."""
    image = torch.ones(1, 16, 32)
    image[:, ::2] = -1

    def score(images):
        return (images[:, 0, :, 16:].abs() > 0.9).double().mean((1, 2))

    right = np.zeros((16, 32), np.float32)
    right[:, 16:] = 1
    assert area(deletion(score, image, right)) == pytest.approx(0.25, abs=0.01)
    assert area(deletion(score, image, -right)) == pytest.approx(0.75, abs=0.01)
    assert area(deletion(score, image, np.zeros_like(right))) == pytest.approx(0.5, abs=0.02)
    assert area(insertion(score, image, right)) > 0.7
    assert area(insertion(score, image, -right)) < 0.3


def test_infidelity_and_sensitivity_of_a_linear_network():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    image = torch.randn(1, 1, 8, 8)
    weight = network[1].weight[1].view(1, 1, 8, 8).detach()
    method = METHODS["integrated_gradients"]
    assert unexplained(network, method, image, 1, image * weight) < 1e-6
    assert unexplained(network, replace(method, adds_up=False), image, 1, weight) < 1e-6
    assert unexplained(network, replace(method, adds_up=False), image, 1, torch.randn(1, 1, 8, 8)) > 0.5
    assert sensitivity(network, METHODS["saliency_map"], image, 1) < 1e-6
    assert sensitivity(network, CONTROLS["(chance)"], image, 1) > 0.1


def test_sensitivity_of_a_gradient_known_beforehand():
    """Of a sum of squares the gradient is 2x: it moves as the pixels do, by 0.02 / sqrt(3) in the mean square."""
    network = nn.Sequential(Square(), nn.Flatten(), nn.Linear(768, 1))
    nn.init.ones_(network[2].weight)
    image = torch.full((1, 3, 16, 16), 2.0).contiguous(memory_format=torch.channels_last)
    assert sensitivity(network, METHODS["saliency_map"], image, 0) == pytest.approx(0.02 / 3**0.5 / 2, rel=0.1)


def test_rank_correlation_and_similarity():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 40, 40)).astype(np.float32)
    assert rank_correlation(first, -(first**3)) == pytest.approx(1)
    assert rank_correlation(first, 1 - first) == pytest.approx(-1)
    assert abs(rank_correlation(first, second)) < 0.1
    assert rank_correlation(first, np.zeros_like(first)) == 0
    assert similarity(first, 5 * first) == pytest.approx(1)
    assert similarity(first, second) < 0.2


def test_the_cascade_makes_all_random_from_the_top_and_leaves_the_classifier_alone():
    settings, classifier = small_classifier()
    before = deepcopy(classifier.state_dict())
    steps = list(cascade(classifier, settings))
    assert steps[0][0] == "head"
    assert steps[-1][0] == "backbone.0"
    changed = [
        {name for name, value in damaged.state_dict().items() if not torch.equal(value, before[name])}
        for _, damaged in steps
    ]
    assert changed[0]
    assert all(name.startswith("head") for name in changed[0])
    assert all(fewer < more for fewer, more in pairwise(changed))
    on_the_way = [name for name, value in classifier.named_parameters() if value.ndim > 1 and "softmax" not in name]
    assert set(on_the_way) <= changed[-1]
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_the_sanity_check_goes_red_for_a_method_that_ignores_the_weights(run, photos, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--masks", photos / "masks", "--probes", "2", "--methods", "grad_cam", "saliency_map", "deeplift"]
    assert explained("check", run, "--data", photos, "--out", out, "--limit", "6", *options) == 0
    by_method = {row["method"]: row for row in rows_of(out / "check.csv")}
    assert set(by_method) == {"saliency_map", "deeplift", "(edges)", "(chance)"}
    assert "ignores the weights" in by_method["(edges)"]["remarks"]
    assert float(by_method["(edges)"]["random_rank_correlation"]) == pytest.approx(1, abs=1e-3)
    for method in ("saliency_map", "deeplift"):
        assert "ignores the weights" not in by_method[method]["remarks"]
        assert float(by_method[method]["random_rank_correlation"]) < 0.5
    assert by_method["saliency_map"]["pointing_n"] == "5"  # one of the six is good and has no mask
    assert 0 < float(by_method["saliency_map"]["fault_share"]) < 1
    measured = rows_of(out / "photos.csv")
    assert len(measured) == 4 * 6
    assert sum(row["unexplained"] != "nan" for row in measured) == 4 * 2
    assert all(float(row["gap"]) < 0.01 for row in measured if row["method"] == "deeplift")
    assert "grad_cam does not apply: " in capsys.readouterr().out


def measured_by_hand(name, **changes):
    values = {"method": "grad_cam", "path": Path(name), "truth": "a", "predicted": "a", "certainty": 0.9}
    figures = dict.fromkeys(
        ("seconds", "gap", "fault_share", "fault_area", "points_at_fault", "label_share"), float("nan")
    )
    more = dict.fromkeys(("deletion_auc", "insertion_auc", "unexplained", "sensitivity"), 0.5)
    return Measured(**(values | figures | more | changes))


def test_right_for_the_wrong_reason():
    measured = [
        measured_by_hand("on the label", label_share=0.6, fault_share=0.1),
        measured_by_hand("off the label", label_share=0.4, fault_share=0.9),
        measured_by_hand("off the fault", fault_share=0.2),
        measured_by_hand("wrong", fault_share=0.2, predicted="b"),
        measured_by_hand("uncertain", fault_share=0.2, certainty=0.3),
        measured_by_hand("nothing known"),
    ]
    found = wrong_reason(Checked(measured, [], {}, {"grad_cam": [], "(edges)": []}), 0.5)
    assert list(found) == ["grad_cam"]
    suspects, looked = found["grad_cam"]
    assert [row.path.name for row in suspects] == ["off the fault", "off the label"]
    assert looked == 3


def test_maps_that_are_no_good_are_remarked_on():
    seen = Seen(Subject(Path("a"), "a"), torch.zeros(1, 1, 2, 2), 0, "a", 0.9)
    blank = Explanation(seen, METHODS["deeplift"], torch.zeros(1, 1, 2, 2), 0.5)
    names = ("deeplift", "(chance)")
    measured = [measured_by_hand("a", method=name, gap=0.5, fault_share=0.1, fault_area=0.2) for name in names]
    sanity = [SanityStep(name, "head", 0.9, 0.9) for name in names]
    (row, _) = rows(Checked(measured, sanity, {}, {name: [blank] for name in names}))
    for words in (
        "ignores the weights",
        "1 do not add up",
        "1 blank",
        "no more inside the fault",
        "no more than chance",
    ):
        assert words in row.remarks
    sanity = [SanityStep(name, step, alike, 0.1) for name in names for step, alike in (("head", 0.95), ("0", 0.1))]
    (row, _) = rows(Checked(measured, sanity, {}, {name: [blank] for name in names}))
    assert "ignores the weights" not in row.remarks
    assert "shows the same for every class" in row.remarks


# --- the tool --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["saliency_map", "deeplift"])
def test_maps_of_a_folder(run, photos, tmp_path, method):
    out = tmp_path / "out"
    assert explained("maps", run, "--data", photos, "--method", method, "--limit", "8", "--out", out) == 0
    found = rows_of(out / "maps.csv")
    assert len(found) == 8
    assert {row["truth"] for row in found} == set(GREY_OF_CLASS)  # and none called masks
    for row in found:
        page = cv2.imread(str(out / row["map"]))
        height, width = page.shape[:2]
        assert width > 3 * height * 0.9
        assert row["predicted"] in GREY_OF_CLASS
        assert 0 <= float(row["certainty"]) <= 1
        assert (row["off_by"] != "") == (method == "deeplift")
    assert sorted(path.stem for path in out.glob("*.png")) == sorted(GREY_OF_CLASS)


def test_a_limit_leaves_rare_classes_in():
    subjects = [
        Subject(Path(f"{truth}{number}"), truth) for truth, n in (("a", 50), ("b", 2), ("c", 9)) for number in range(n)
    ]
    chosen = choose(subjects, 12)
    assert [sum(subject.truth == truth for subject in chosen) for truth in "abc"] == [5, 2, 5]
    assert chosen == sorted(chosen, key=subjects.index)
    assert (subjects[0] in chosen, subjects[49] in chosen) == (True, True)
    assert choose(subjects, 100) == subjects
    assert len(choose(subjects, 1)) == 1
    unknown = Subject(Path("x"), "unknown_x")
    assert unknown not in choose([unknown, *subjects], 3)
    assert unknown in choose([unknown, *subjects], 12)


def test_what_is_drawn_is_where_the_map_is(run, photos, tmp_path):
    """Half of the photo lies outside the network's region, and the map has one bright corner."""
    from inspectd_tools.explain.pictures import panels

    spec = InputSpec(width=32, height=48, channels=1, region={"left": 0.5}, mean=(0.5,), std=(0.2,))
    seen = Seen(Subject(photos / "no_fail" / "0.png", "no_fail"), torch.zeros(1, 1, 48, 32), 0, "no_fail", 0.9)
    attribution = torch.zeros(1, 1, 48, 32)
    attribution[..., :12, :8] = 1
    photo, heat, overlay = panels(Explanation(seen, METHODS["grad_cam"], attribution, None), spec)
    height, width = photo.shape[:2]
    assert np.array_equal(photo[:, : width // 2], overlay[:, : width // 2])
    changed = (photo != overlay).any(2)
    corner = changed[: height // 5, width // 2 : width // 2 + width // 10]
    assert corner.all()
    assert not changed[height // 3 :].any()
    assert (heat[:, : width // 2] == 255).all()
    assert heat[5, width // 2 + 5].sum() > heat[-5, -5].sum()


def test_maps_of_a_manifest(run, photos, tmp_path):
    taken = [
        Photo(path, label, "val" if path.stem == "1" else "test", str(path), sha256_of(path))
        for label, name in enumerate(GREY_OF_CLASS)
        for path in sorted((photos / name).iterdir())
    ]
    write_manifest(DataManifest(tuple(GREY_OF_CLASS), tuple(taken)), tmp_path / "data.csv")
    out = tmp_path / "out"
    options = ["--split", "val", "--method", "saliency_map", "--out", out]
    assert explained("maps", run, "--data", tmp_path / "data.csv", *options) == 0
    assert [(row["truth"], Path(row["photo"]).name) for row in rows_of(out / "maps.csv")] == [
        (name, "1.png") for name in GREY_OF_CLASS
    ]


def test_parts_of_the_archive(run, tmp_path, capsys):
    archive = tmp_path / "archive"
    for day, part, verdict in (
        ("2026-11-24", 1042, "uncertain"),
        ("2026-11-25", 1043, "fail_label_half_printed"),
        ("2026-11-25", 11043, "uncertain"),
    ):
        (archive / day).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(archive / day / f"{part:09d}_{verdict}.png"), toy_image(90, seed=part))
    out = tmp_path / "out"
    options = ["--data", archive, "--method", "saliency_map", "--out", out]
    assert explained("maps", run, *options, "--parts", "1042", "1043") == 0
    found = rows_of(out / "maps.csv")
    assert [(Path(row["photo"]).name, row["truth"]) for row in found] == [
        ("000001042_uncertain.png", "uncertain"),
        ("000001043_fail_label_half_printed.png", "fail_label_half_printed"),
    ]
    options[-1] = tmp_path / "none"
    assert explained("maps", run, *options, "--parts", "7") == 78
    assert "part 7" in capsys.readouterr().err


def test_an_engine_is_explained_by_the_run_it_was_built_from_and_no_other(run, photos, tmp_path, capsys):
    from inspectd_tools.explain.source import open_source
    from inspectd_tools.networks.inputs import to_network
    from inspectd_tools.training.run_folder import read_run

    engine = make_toy_bundle(tmp_path / "toy", width=28, height=28)
    options = ["--data", photos, "--method", "saliency_map"]
    assert explained("maps", engine, *options, "--out", tmp_path / "a") == 78
    assert "--run" in capsys.readouterr().err
    assert explained("maps", engine, "--run", run, *options, "--out", tmp_path / "b") == 78
    assert "is not what" in capsys.readouterr().err
    settings, classifier, _ = read_run(run)

    def record(values):
        for golden in values["golden"]:
            grey = cv2.imread(str(engine / golden["path"]), cv2.IMREAD_GRAYSCALE)
            pixels = torch.from_numpy(cv2.resize(grey, (28, 28), interpolation=cv2.INTER_AREA))[None, None]
            with torch.no_grad():
                golden["scores"] = classifier(to_network(pixels, settings.input))[0].exp().tolist()

    edit_manifest(engine, record)
    assert explained("maps", engine, "--run", run, *options, "--out", tmp_path / "c") == 0
    assert open_source(engine, run).threshold == 0.5
    assert explained("maps", run, "--run", run, *options, "--out", tmp_path / "d") == 78
    assert "--run" in capsys.readouterr().err


def test_what_cannot_be_explained_is_named(run, photos, tmp_path, capsys):
    out = ["--out", tmp_path / "out"]

    def refused(*arguments):
        assert explained(*arguments, *out) == 78
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "settings.json" in refused("maps", tmp_path, "--data", photos)
    assert "nowhere" in refused("maps", run, "--data", tmp_path / "nowhere")
    assert "1x1" in refused("maps", run, "--data", photos, "--method", "grad_cam")
    assert "has no mask" in refused("check", run, "--data", photos, "--masks", tmp_path)
    for wrong in (["--limit", "0"], ["--method", "lime"], ["--out", str(tmp_path)]):
        with pytest.raises(SystemExit, match="2"):
            explained("maps", run, "--data", photos, *out, *wrong)


def test_the_table_of_methods_names_what_is_refused(classifiers, monkeypatch, tmp_path, capsys):
    monkeypatch.delitem(METHODS, "integrated_gradients")  # slow, and its completeness is tested above
    monkeypatch.setattr(coverage, "TORCHVISION_NAMES", models := ("ResNet18", "EfficientNetB1"))
    monkeypatch.setattr(coverage, "random_classifier", lambda model, is_duq, _: classifiers[model, HEADS[is_duq]])
    assert explained("methods", "--images", "1", "--size", SIDE, "--out", tmp_path / "methods.csv") == 0
    found = rows_of(tmp_path / "methods.csv")
    assert len(found) == 2 * 2 * 3 * 4
    refused = {(row["model"], row["head"], row["target"], row["method"]) for row in found if row["refused"]}
    gated = {("EfficientNetB1", head, target, "guided_backpropagation") for head in HEADS for target in TARGETS}
    assert refused == gated | {(model, "softmax", "certainty", "deeplift") for model in models}
    assert all(float(row["largest_gap"]) < 0.01 for row in found if row["method"] == "deeplift" and not row["refused"])
    assert "refused: guided_backpropagation: is defined for ReLU alone" in capsys.readouterr().out.replace("\n", " ")
