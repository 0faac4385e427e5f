"""From folders of photos to an engine the line loads, as the vision engineer does it, on labels small enough for a test."""

import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from inspectd.errors import ConfigError, EngineError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.interval import upper_bound
from inspectd_tools import build_engine, synthesize, train
from inspectd_tools.training.calibration import choose_threshold, pass_certainty
from inspectd_tools.training.experiment import load_experiment
from inspectd_tools.training.export import exported, write_model_files
from inspectd_tools.training.models import DuqClassifier, load_backbone

QUICK = ["pretrained=false", "epochs=2", "batch_size=8", "centroid_size=8", "input.width=64", "input.height=48"]


def settings_of(*extra: str) -> list[str]:
    return [text for setting in (*QUICK, *extra) for text in ("--set", setting)]


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    for name, seed, unknowns in (("train", "1", "0"), ("calibration", "2", "4"), ("test", "3", "4")):
        counts = ["--count-per-class", "12", "--unknowns-per-kind", unknowns, "--seed", seed]
        assert synthesize.main(["render", str(folder / name), *counts]) == 0
    return folder


@pytest.fixture(scope="module")
def run(labels):
    assert (
        train.main(["filter-label", "--data", str(labels / "train"), "--run", str(labels / "run"), *settings_of()]) == 0
    )
    return labels / "run"


def test_the_same_command_gives_the_same_weights(labels, run):
    again = labels / "again"
    assert train.main(["filter-label", "--data", str(labels / "train"), "--run", str(again), *settings_of()]) == 0
    first, second = load_file(run / "best.safetensors"), load_file(again / "best.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = labels / "other"
    arguments = ["filter-label", "--data", str(labels / "train"), "--run", str(other), *settings_of("seed=1")]
    assert train.main(arguments) == 0
    assert not torch.equal(first["head.weight"], load_file(other / "best.safetensors")["head.weight"])


def test_a_run_says_how_it_came_about(run):
    experiment = json.loads((run / "experiment.json").read_text())
    assert experiment["epochs"] == 2
    assert experiment["input"]["width"] == 64
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["n_train"] + provenance["n_validation"] == 48
    assert len(json.loads((run / "epochs.json").read_text())) == 2


def test_an_engine_is_built_and_the_line_loads_it(labels, run, tmp_path):
    arguments = ["--calibration", str(labels / "calibration"), "--test", str(labels / "test"), "--alpha", "0.1"]
    bundle = tmp_path / "engine"
    assert build_engine.main([str(run), "--name", "quick", *arguments, "--out", str(bundle)]) == 0
    engine = load_engine(load_bundle(bundle), InferenceConfig())
    assert engine.manifest.classes[-1] == engine.manifest.pass_class == "no_fail"
    card = (bundle / "card.md").read_text()
    assert "faulty labels passed | " in card
    assert "unknown_double_print" in card


def test_too_few_calibration_images_are_refused_and_nothing_is_left(labels, run, tmp_path, capsys):
    arguments = ["--calibration", str(labels / "calibration"), "--test", str(labels / "test"), "--alpha", "0.001"]
    assert build_engine.main([str(run), "--name", "quick", *arguments, "--out", str(tmp_path / "engine")]) == 78
    assert "needs 2995 faulty calibration images, got 36" in capsys.readouterr().err
    assert not (tmp_path / "engine").exists()


def test_a_collapsed_training_is_no_engine():
    experiment = load_experiment("filter-label", QUICK)
    classifier = DuqClassifier(experiment).eval()
    classifier.head.fit_covariance(torch.full((16, 1280), 0.5), torch.arange(16) % 4)
    with pytest.raises(EngineError, match="training has collapsed"):
        exported(classifier, experiment.input)


@pytest.mark.parametrize("model", ["MobileNetV2", "ShuffleNetV2"])
def test_both_runtimes_give_what_pytorch_gives(model, tmp_path):
    import onnxruntime
    import openvino

    experiment = load_experiment("filter-label", [*QUICK, f'model="{model}"'])
    torch.manual_seed(0)
    classifier = DuqClassifier(experiment).eval()
    images = torch.randint(0, 256, (16, 1, 48, 64), dtype=torch.uint8)
    graph = exported(classifier, experiment.input)
    (tmp_path / "openvino").mkdir()
    write_model_files(graph, experiment.input, tmp_path)
    with torch.no_grad():
        expected = torch.cat([graph(image[None]) for image in images]).numpy()
    assert expected.max() > 0.5
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {"image": image[None].numpy()})[0] for image in images])
    np.testing.assert_allclose(found, expected, atol=2e-4)
    network = openvino.Core().compile_model(
        tmp_path / "openvino" / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found = np.concatenate([network([image[None].numpy()])[0] for image in images])
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_grey_stem_is_the_sum_of_the_colour_one(tmp_path):
    experiment = load_experiment("filter-label", QUICK)
    classifier = DuqClassifier(experiment)
    colour = {key: value.clone() for key, value in classifier.backbone.state_dict().items()}
    colour["0.0.weight"] = torch.randn(32, 3, 3, 3)
    save_file({f"features.{key}": value for key, value in colour.items()}, tmp_path / "weights.safetensors")
    load_backbone(classifier, tmp_path / "weights.safetensors")
    torch.testing.assert_close(classifier.backbone[0][0].weight, colour["0.0.weight"].sum(1, keepdim=True))
    del colour["18.0.weight"]
    save_file({f"features.{key}": value for key, value in colour.items()}, tmp_path / "partial.safetensors")
    with pytest.raises(
        ConfigError, match=r"partial\.safetensors: does not fit: 1 of \d+ weights, such as 18\.0\.weight"
    ):
        load_backbone(classifier, tmp_path / "partial.safetensors")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("epochs=0", ["epochs", "0", "greater than or equal to 1"]),
        ("length_skale=1", ["length_skale", "did you mean 'length_scale'"]),
        ("model=VGG", ["model", "'VGG'", "MobileNetV2"]),
        ("pass_class=good", ["pass_class", "good", "no_fail"]),
        ("optimizer=__import__('os')", ["optimizer", "__import__", "AdamW"]),
        ("input.width=wide", ["input.width", "'wide'"]),
    ],
)
def test_a_bad_key_is_named_with_what_is_allowed(labels, tmp_path, capsys, setting, words):
    arguments = ["filter-label", "--data", str(labels / "train"), "--run", str(tmp_path / "run"), *settings_of(setting)]
    assert train.main(arguments) == 78
    err = capsys.readouterr().err
    for word in ("filter-label.json", *words):
        assert word in err


def test_data_that_cannot_be_used_is_named(labels, tmp_path, capsys):
    def refused(data) -> str:
        assert train.main(["filter-label", "--data", str(data), "--run", str(tmp_path / "run"), *settings_of()]) == 78
        return capsys.readouterr().err

    assert "fail_label_crooked_print: no such class folder" in refused(tmp_path)
    for name in ("fail_label_crooked_print", "fail_label_half_printed", "fail_label_not_fully_printed", "no_fail"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "0.png"), np.zeros((48, 64), np.uint8))
    (tmp_path / "no_fail" / "1.png").write_bytes(b"no image")
    assert "no_fail/1.png: is no image that can be read" in refused(tmp_path)
    assert not (tmp_path / "run").exists()


CERTAINTIES = st.lists(st.floats(0, 1, width=32), max_size=200).map(lambda values: np.array(values, np.float32))


@settings(max_examples=200, deadline=None)
@given(CERTAINTIES, CERTAINTIES, st.floats(0.01, 0.5))
def test_a_threshold_passes_no_faulty_image_and_keeps_the_bound_on_unknowns(faulty, unknown, alpha):
    try:
        threshold = choose_threshold(faulty, unknown, alpha)
    except EngineError:
        assert any(len(group) and upper_bound(0, len(group)) > alpha for group in (faulty, unknown))
        return
    if threshold < 1:
        assert not (faulty >= threshold).any()
        passed = int((unknown >= threshold).sum())
        assert passed == 0 or upper_bound(passed, len(unknown)) <= alpha
    lower = np.concatenate([faulty, unknown])
    assert threshold <= max(lower.max(initial=0) + 0.0011, 0.0011) or threshold == 1


def test_a_tie_between_classes_can_never_pass():
    scores = np.array([[0.9, 0.9], [0.2, 0.9], [0.9, 0.2]], np.float32)
    assert pass_certainty(scores, 1).tolist() == pytest.approx([0, 0.9, 0])
