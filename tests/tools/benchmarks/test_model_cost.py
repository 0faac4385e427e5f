"""Costs of the backbones against published figures, and against arithmetic by hand."""

import json
from contextlib import redirect_stdout
from io import StringIO

import pytest

pytest.importorskip("torch")

from inspectd_tools.benchmarks import model_cost as profile_models
from inspectd_tools.settings import load_settings

PUBLISHED = {
    # G MACs and M parameters as the papers and torchvision's tables have them
    ("MobileNetV2", 224): (0.300, 3.50),
    ("ResNet18", 224): (1.814, 11.69),
    ("ShuffleNetV2", 224): (0.146, 2.28),
    ("EfficientNetB1", 240): (0.69, 7.79),
}


@pytest.fixture(scope="module")
def profiles():
    with redirect_stdout(StringIO()) as said:
        assert profile_models.main(["--settings", "duq-fashionmnist", "--json"]) == 0
    return json.loads(said.getvalue())


@pytest.fixture(scope="module")
def imagenet(profiles):
    return {(row["model"], row["head"], row["width"]): row for row in profiles["ImageNet"]}


@pytest.mark.parametrize(("model", "side_px"), PUBLISHED)
def test_softmax_classifiers_cost_what_is_published(imagenet, model, side_px):
    row = imagenet[model, "softmax", side_px]
    macs, parameters = PUBLISHED[model, side_px]
    assert row["macs"] / 1e9 == pytest.approx(macs, rel=0.02)
    assert row["parameters"] / 1e6 == pytest.approx(parameters, rel=0.02)
    assert row["flops"] == 2 * row["macs"]
    assert row["published_macs"] == pytest.approx(macs * 1e9, rel=0.02)
    assert row["published_parameters"] == row["parameters"]


def test_every_backbone_is_there_with_both_heads_at_one_size(imagenet):
    assert {key for key in imagenet if key[2] == 224} == {
        (model, head, 224) for model, _ in PUBLISHED for head in ("softmax", "DUQ")
    }
    assert 0.55e9 < imagenet["EfficientNetB1", "softmax", 224]["macs"] < 0.60e9


def test_a_duq_head_costs_one_map_a_class():
    settings = ["centroid_size=48", "model=ResNet18"]
    softmax, duq = (
        profile_models.profile(load_settings("filter-label", [*settings, f"RBF_flag={flag}"]))
        for flag in ("false", "true")
    )
    features, classes, size = 512, 4, 48
    assert duq.macs - softmax.macs == features * classes * size - features * classes
    length_scale = 1
    assert duq.parameters - softmax.parameters == (
        features * classes * size + length_scale - (features * classes + classes)
    )
    assert (duq.channels, duq.height, duq.width, duq.classes) == (1, 192, 256, 4)


def test_the_peak_is_the_largest_set_of_tensors_alive_at_once(imagenet):
    """MobileNetV2's second block: its input, its expansion and the normalised expansion, all float32 at 112x112."""
    expected = 4 * 112 * 112 * (16 + 96 + 96)
    assert imagenet["MobileNetV2", "softmax", 224]["activation_bytes"] == pytest.approx(expected, rel=0.001)


def test_an_experiment_of_its_own_network_is_profiled_too(profiles):
    """28x28: the first convolution's 64 planes and the same normalised are the most that is alive at once."""
    rows = profiles["duq-fashionmnist"]
    assert [row["model"] for row in rows[::2]] == [*dict.fromkeys(model for model, _ in PUBLISHED), "DuqCnn"]
    softmax = rows[-2]
    assert (softmax["model"], softmax["head"]) == ("DuqCnn", "softmax")
    layers = (9 * 64 * 28 * 28, 9 * 64 * 128 * 14 * 14, 9 * 128 * 128 * 5 * 5, 512 * 256, 256 * 10)
    assert softmax["macs"] == sum(layers)
    assert softmax["activation_bytes"] == pytest.approx(2 * 4 * 64 * 28 * 28, rel=0.01)


def test_the_table_names_every_row(capsys):
    assert profile_models.main(["--settings", "filter-label", "--set", "input.width=320"]) == 0
    said = capsys.readouterr().out
    for words in ("MobileNetV2", "EfficientNetB1", "240x240", "filter-label: 4 classes", "192x320", "0.687 / 7.79"):
        assert words in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--settings", "nothing"], "no such training settings; there are: "),
        (["--settings", "filter-label", "--set", "model=VGG"], "'VGG' is not allowed"),
    ],
)
def test_an_experiment_that_cannot_be_used_is_named(capsys, arguments, words):
    assert profile_models.main(arguments) == 78
    assert words in capsys.readouterr().err


def test_a_setting_needs_its_experiment(capsys):
    with pytest.raises(SystemExit, match="2"):
        profile_models.main(["--set", "epochs=1"])
    assert "--settings" in capsys.readouterr().err
