"""From folders of photos to an engine the line loads, as the vision engineer does it, on labels small enough for a test."""

import gzip
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file

from inspectd.errors import ConfigError, EngineError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd_tools.data import prepare as prepare_data
from inspectd_tools.data.images import load_images
from inspectd_tools.data.scan import class_photos
from inspectd_tools.deploy import cli as build_engine
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.exported import exported
from inspectd_tools.networks.predict import classifier_network, predict
from inspectd_tools.networks.pretrained import load_backbone
from inspectd_tools.settings import load_settings
from inspectd_tools.synthetic import cli as synthesize
from inspectd_tools.training import cli as train
from inspectd_tools.training.optimizer import learning_rate
from inspectd_tools.training.run_folder import read_run, trained_with
from tests.tools.data.test_idx import idx

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
    first, second = load_file(run / "weights.safetensors"), load_file(again / "weights.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = labels / "other"
    arguments = ["filter-label", "--data", str(labels / "train"), "--run", str(other), *settings_of("seed=1")]
    assert train.main(arguments) == 0
    assert not torch.equal(first["head.weight"], load_file(other / "weights.safetensors")["head.weight"])


def test_a_run_says_how_it_came_about(run):
    settings = json.loads((run / "settings.json").read_text())
    assert settings["epochs"] == 2
    assert settings["input"]["width"] == 64
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["n_train"] + provenance["n_validation"] == 48
    photos = trained_with(run)
    assert [len(photos[side]) for side in ("train", "val")] == [provenance["n_train"], provenance["n_validation"]]
    for digest, path in (photos["train"] | photos["val"]).items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
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


@pytest.fixture(scope="module")
def small_run(labels):
    """The small network: quantising it takes seconds."""
    changes = settings_of("model=DuqCnn", "input.width=28", "input.height=28", "epochs=1", "head_fit=gradient")
    assert train.main(["filter-label", "--data", str(labels / "train"), "--run", str(labels / "small"), *changes]) == 0
    return labels / "small"


def test_an_int8_engine_has_files_threshold_and_golden_scores_of_its_own(labels, small_run, tmp_path):
    arguments = ["--calibration", str(labels / "calibration"), "--test", str(labels / "test"), "--alpha", "0.1"]
    bundle = tmp_path / "engine"
    arguments += ["--precision", "int8", "--out", str(bundle)]
    assert build_engine.main([str(small_run), "--name", "quick", *arguments]) == 0
    engine = load_engine(load_bundle(bundle), InferenceConfig())
    assert engine.precision == engine.manifest.recommended == "int8"
    own = engine.manifest.precisions["int8"]
    assert engine.policy.threshold == own.threshold.value
    assert {file.path for file in engine.manifest.files if file.precision == "int8"} == {
        "openvino-int8/model.xml",
        "openvino-int8/model.bin",
    }
    assert own.golden_scores != engine.manifest.golden_scores_at("fp32")
    assert load_engine(load_bundle(bundle), InferenceConfig(precision="fp32")).precision == "fp32"
    assert "| int8 |" in (bundle / "card.md").read_text()
    quantised, whole = ((bundle / folder / "model.bin").stat().st_size for folder in ("openvino-int8", "openvino"))
    assert quantised < 0.8 * whole
    xml = (bundle / "openvino-int8" / "model.xml").read_text()
    assert xml.count('type="FakeQuantize"') >= 2  # a layer's input and its weights
    head = xml[xml.index('name="node_linear_1') :]  # the DUQ head's product; the backbone has one of its own
    assert "FakeQuantize" not in head[: head.index("</layers>")]


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="needs TensorRT for RTX: pip install tensorrt-rtx-cu13"
)
def test_a_bundle_with_a_tensorrt_plan_runs_on_a_machine_without_gpu_too(labels, small_run, tmp_path):
    arguments = ["--calibration", str(labels / "calibration"), "--test", str(labels / "test"), "--alpha", "0.1"]
    bundle = tmp_path / "engine"
    assert build_engine.main([str(small_run), "--name", "quick", *arguments, "--tensorrt", "--out", str(bundle)]) == 0
    (plan,) = (file for file in load_bundle(bundle).manifest.files if file.backend == "tensorrt")
    assert (plan.path, plan.precision) == ("tensorrt-rtx-sm80-sm86-sm89-sm120-sm121/model.plan", "fp16")
    if not torch.cuda.is_available():
        assert load_engine(load_bundle(bundle), InferenceConfig()).backend_name == "openvino"


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="needs TensorRT for RTX: pip install tensorrt-rtx-cu13"
)
def test_an_int8_plan_has_threshold_and_golden_scores_of_its_own_or_is_refused(
    labels, small_run, tmp_path, monkeypatch, capsys
):
    arguments = ["--calibration", str(labels / "calibration"), "--test", str(labels / "test"), "--alpha", "0.1"]
    bundle = tmp_path / "engine"
    arguments = [str(small_run), "--name", "quick", *arguments, "--tensorrt", "int8", "--out", str(bundle)]
    # hardly trained, it is undecided on some images: one verdict of 96 may change with the processor
    monkeypatch.setattr("inspectd_tools.deploy.precision._MOST_CHANGED", 0.1)
    assert build_engine.main(arguments) == 0
    manifest = load_bundle(bundle).manifest
    plans = [(file.path, file.precision) for file in manifest.files if file.backend == "tensorrt"]
    folder = "tensorrt-rtx-sm80-sm86-sm89-sm120-sm121"
    assert plans == [(f"{folder}/model.plan", "fp16"), (f"{folder}/model-int8.plan", "int8")]
    assert manifest.golden_scores_at("tensorrt-int8") != manifest.golden_scores_at("fp32")
    assert "| tensorrt-int8 | - (-) |" in (bundle / "card.md").read_text()
    shutil.rmtree(bundle)
    monkeypatch.setattr("inspectd_tools.deploy.precision._MOST_CHANGED", -0.01)
    assert build_engine.main(arguments) == 78
    assert "of the calibration verdicts would differ from fp32, but at most -1% may" in capsys.readouterr().err
    assert not bundle.exists()


def test_every_runtime_is_measured_on_a_run(labels, small_run, tmp_path):
    """In a process of its own, as it is used: compilers and so many runtimes leave threads behind."""
    figures = tmp_path / "figures.json"
    arguments = ["--run", str(small_run), "--data", str(labels / "test"), "--runs", "10", "--json", str(figures)]
    command = [sys.executable, "-m", "inspectd_tools.benchmarks.cli", "engines", *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = {row["runtime"]: row for row in json.loads(figures.read_text())["engines"]}
    assert {"PyTorch eager", "ONNX Runtime", "OpenVINO fp32", "OpenVINO INT8"} <= set(rows)
    for name, row in rows.items():
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert -1 <= row["accuracy"] <= 1
        assert -1 <= row["auroc"] <= 1
        assert row["moved"] < (
            0.001 if name in ("PyTorch eager", "torch.compile", "ONNX Runtime", "OpenVINO fp32") else 1
        )
    assert rows["OpenVINO INT8"]["mb"] < rows["OpenVINO fp32"]["mb"] < rows["PyTorch eager"]["mb"]
    assert "DuqCnn, DUQ" in output


def test_too_few_calibration_images_are_refused_and_nothing_is_left(labels, run, tmp_path, capsys):
    arguments = ["--calibration", str(labels / "calibration"), "--test", str(labels / "test"), "--alpha", "0.001"]
    assert build_engine.main([str(run), "--name", "quick", *arguments, "--out", str(tmp_path / "engine")]) == 78
    assert "needs 2995 faulty calibration parts, but there are 36" in capsys.readouterr().err
    assert not (tmp_path / "engine").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: (run / "settings.json").unlink(), r"settings\.json: can't be read: No such file"),
        (lambda run: (run / "weights.safetensors").write_bytes(b"no weights"), "is not a complete safetensors file"),
    ],
)
def test_what_is_no_run_is_named(labels, run, tmp_path, capsys, spoil, words):
    other = shutil.copytree(run, tmp_path / "run")
    spoil(other)
    arguments = ["--calibration", str(labels / "calibration"), "--test", str(labels / "test")]
    assert build_engine.main([str(other), "--name", "quick", *arguments, "--out", str(tmp_path / "engine")]) == 78
    assert re.search(words, capsys.readouterr().err)


def test_a_calibration_folder_that_is_not_there_is_named(labels, run, tmp_path, capsys):
    arguments = ["--calibration", str(tmp_path / "nowhere"), "--test", str(labels / "test")]
    assert build_engine.main([str(run), "--name", "quick", *arguments, "--out", str(tmp_path / "engine")]) == 78
    assert f"{tmp_path / 'nowhere'}: is not a folder or a manifest" in capsys.readouterr().err
    assert not (tmp_path / "engine").exists()


def test_a_name_that_no_bundle_can_have_is_refused_before_the_work(run, tmp_path, capsys):
    arguments = [str(run), "--data", "labels.csv", "--out", str(tmp_path / "engine")]
    for wrong in (["--name", "My Labels"], ["--name", "labels", "--version", "1"]):
        with pytest.raises(SystemExit):
            build_engine.main([*arguments, *wrong])
        assert f"{wrong[-1]!r}: must be as ^" in capsys.readouterr().err


def test_a_good_class_that_is_not_named_is_asked_for():
    with pytest.raises(ConfigError, match="Give --set pass_class=NAME, one of: good, torn"):
        load_settings("photos", ['classes=["good", "torn"]'])
    with pytest.raises(ConfigError, match="did you mean 'pass_class'"):
        load_settings("photos", ['classes=["good", "torn"]', "pas_class=good"])


def test_a_collapsed_training_is_no_engine():
    settings = load_settings("filter-label", QUICK)
    classifier = Classifier(settings).eval()
    classifier.head.fit_covariance(torch.full((16, 1280), 0.5), torch.arange(16) % 4)
    with pytest.raises(EngineError, match="training collapsed"):
        exported(classifier, settings.input)


def test_a_grey_stem_is_the_sum_of_the_colour_one(tmp_path):
    settings = load_settings("filter-label", QUICK)
    classifier = Classifier(settings)
    colour = {key: value.clone() for key, value in classifier.backbone.state_dict().items()}
    colour["0.0.weight"] = torch.randn(32, 3, 3, 3)
    save_file({f"features.{key}": value for key, value in colour.items()}, tmp_path / "weights.safetensors")
    load_backbone(classifier, settings, tmp_path / "weights.safetensors")
    torch.testing.assert_close(classifier.backbone[0][0].weight, colour["0.0.weight"].sum(1, keepdim=True))
    del colour["18.0.weight"]
    torch.save(colour | {"classifier.weight": torch.zeros(1)}, tmp_path / "partial.pth")
    loaded = load_backbone(Classifier(settings), settings, tmp_path / "partial.pth")
    assert loaded.missing == ("18.0.weight",)
    assert loaded.unused == ("classifier.weight",)
    assert len(loaded.loaded) == len(colour)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda path: path.write_bytes(b"no weights"), "is not a file that holds only tensors"),
        (lambda path: torch.save({"18.0.weight": torch.zeros(2)}, path), "does not fit MobileNetV2"),
        (lambda path: torch.save({"epochs": 3}, path), "must hold a state dict"),
        (lambda path: torch.save({"run": Path}, path), "is not a file that holds only tensors"),
        (lambda path: None, "no such file"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(tmp_path, content, words):
    settings = load_settings("filter-label", QUICK)
    content(tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=rf"weights\.pth: .*{words}"):
        load_backbone(Classifier(settings), settings, tmp_path / "weights.pth")


def test_a_run_that_was_cut_goes_on_to_the_same_weights(labels, tmp_path):
    """Killed at different moments: after its first epoch's checkpoint, and in the middle of the second epoch."""
    arguments = [
        "filter-label",
        "--data",
        str(labels / "train"),
        *settings_of("epochs=4", "gp_const=0.1", "head_fit=gradient"),
    ]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert train.main([*arguments, "--run", str(whole)]) == 0
    for epochs in (1, 2):
        process = subprocess.Popen(
            [sys.executable, "-m", "inspectd_tools.training.cli", *arguments, "--run", str(cut), "--resume"]
        )
        while process.poll() is None and not _epochs_of(cut) >= epochs:
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert train.main([*arguments, "--run", str(cut), "--resume"]) == 0
    expected, found = load_file(whole / "weights.safetensors"), load_file(cut / "weights.safetensors")
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert _epochs_of(cut) == 4


def _epochs_of(run: Path) -> int:
    try:
        return len(json.loads((run / "epochs.json").read_text()))
    except (FileNotFoundError, ValueError):
        return 0


def test_a_run_of_another_experiment_is_not_resumed(labels, run, capsys):
    arguments = ["filter-label", "--data", str(labels / "train"), "--run", str(run), "--resume"]
    assert train.main([*arguments, *settings_of("lr=0.5")]) == 78
    assert "other settings" in capsys.readouterr().err


def test_a_class_without_photos_on_a_side_is_named(labels, tmp_path, capsys):
    """A head fitted to none would be no number at all, and the engine with it."""
    manifest = tmp_path / "labels.csv"
    assert prepare_data.main([str(labels / "train"), "--out", str(manifest)]) == 0
    header, *rows = manifest.read_text().splitlines()
    for side in ("train", "val", "test"):
        left = [row for row in rows if f",no_fail,3,{side}," not in row]
        assert len(left) < len(rows)
        manifest.write_text("\n".join([header, *left]))
        arguments = ["--data", str(manifest), "--run", str(tmp_path / "run"), *settings_of("pass_class=no_fail")]
        assert train.main(["photos", *arguments]) == 78
        assert f"labels.csv: class no_fail: has no photo in {side}" in capsys.readouterr().err
    single = tmp_path / "folders"
    for folder in (labels / "train").iterdir():
        if folder.is_dir():
            (single / folder.name).mkdir(parents=True)
            first = min(folder.iterdir())
            (single / folder.name / first.name).symlink_to(first)
    assert train.main(["filter-label", "--data", str(single), "--run", str(tmp_path / "run"), *settings_of()]) == 78
    assert "fail_label_crooked_print: holds too few different photos (1)" in capsys.readouterr().err


def test_softmax_runs_of_several_seeds_end_with_mean_and_deviation(labels, tmp_path):
    manifest = tmp_path / "labels.csv"
    assert prepare_data.main([str(labels / "train"), "--out", str(manifest)]) == 0
    arguments = ["filter-label", "--data", str(manifest), "--run", str(tmp_path / "runs"), "--n_runs", "2"]
    assert train.main([*arguments, *settings_of("RBF_flag=false", "class_balance=weights", "label_smoothing=0.1")]) == 0
    summary = json.loads((tmp_path / "runs" / "summary.json").read_text())
    losses = [
        json.loads((tmp_path / "runs" / f"seed-{n}" / "results.json").read_text())["validation_loss"] for n in (0, 1)
    ]
    assert summary["validation_loss"]["runs"] == losses
    assert summary["validation_loss"]["mean"] == pytest.approx(np.mean(losses))
    assert summary["validation_loss"]["standard_deviation"] == pytest.approx(np.std(losses, ddof=1))
    images = [
        "--calibration", str(labels / "calibration"), "--test", str(labels / "test"), "--alpha", "0.1",
    ]  # fmt: skip
    bundle = tmp_path / "engine"
    assert build_engine.main([str(tmp_path / "runs" / "seed-0"), "--name", "s", *images, "--out", str(bundle)]) == 0
    assert load_engine(load_bundle(bundle), InferenceConfig()).manifest.head.kind == "softmax"


@pytest.mark.parametrize("duq", ["true", "false"])
def test_without_epochs_the_backbone_stays_and_the_head_is_fitted(labels, run, tmp_path, duq):
    weights = tmp_path / "backbone.safetensors"
    trained = load_file(run / "weights.safetensors")
    save_file({k.removeprefix("backbone."): v for k, v in trained.items() if k.startswith("backbone.")}, weights)
    settings = settings_of("pretrained=true", "epochs=0", "centroid_size=64", f"RBF_flag={duq}")
    arguments = ["--data", str(labels / "train"), "--weights", str(weights), "--run", str(tmp_path / "fitted")]
    assert train.main(["filter-label", *arguments, *settings]) == 0
    fitted = load_file(tmp_path / "fitted" / "weights.safetensors")
    assert all(torch.equal(fitted[f"backbone.{name}"], value) for name, value in load_file(weights).items())
    results = json.loads((tmp_path / "fitted" / "results.json").read_text())
    assert (results["epochs"], results["kept_epoch"]) == (0, 0)
    settings, classifier, _ = read_run(tmp_path / "fitted")
    images = load_images(class_photos(labels / "train", settings.classes), settings.input)
    said = predict(classifier_network(classifier, settings.input), images.pixels, batch=64).argmax(1)
    assert (said == images.labels).mean() > 0.9


def test_nothing_can_be_fitted_to_a_random_backbone(labels, tmp_path, capsys):
    arguments = ["--data", str(labels / "train"), "--run", str(tmp_path / "run"), *settings_of("epochs=0")]
    assert train.main(["filter-label", *arguments]) == 78
    assert "epochs: 0 only fits a head to a pretrained backbone" in capsys.readouterr().err


def test_a_run_may_end_with_its_last_epoch(labels, tmp_path):
    """With a rate so high that the validation loss wanders, which of five epochs is kept makes a difference."""
    ends = {}
    for keep in ("best", "last"):
        settings = settings_of("epochs=5", "lr=0.1", "scheduler=none", "RBF_flag=false", f"keep={keep}")
        folder = tmp_path / keep
        assert train.main(["filter-label", "--data", str(labels / "train"), "--run", str(folder), *settings]) == 0
        ends[keep] = json.loads((folder / "results.json").read_text())
    losses = [epoch["validation_loss"] for epoch in json.loads((tmp_path / "last" / "epochs.json").read_text())]
    assert ends["last"]["kept_epoch"] == 5
    assert ends["best"]["kept_epoch"] == 1 + int(np.argmin(losses))
    assert ends["last"]["validation_loss"] == pytest.approx(losses[-1], rel=1e-4)
    assert ends["best"]["validation_loss"] == pytest.approx(min(losses), rel=1e-4)


def test_weights_go_back_to_the_best_ones_and_training_stops_early(labels, tmp_path):
    """A learning rate at which the loss only rises."""
    changes = settings_of("epochs=9", "lr=1e-12", "scheduler=none", "gamma=0", "replacement_limit=2", "early_limit=5")
    assert train.main(["filter-label", "--data", str(labels / "train"), "--run", str(tmp_path / "run"), *changes]) == 0
    epochs = json.loads((tmp_path / "run" / "epochs.json").read_text())
    best = min(epochs, key=lambda epoch: epoch["validation_loss"])["number"]
    assert len(epochs) == min(9, best + 5)
    for epoch in epochs:
        returns = [other["number"] for other in epochs if other["replaced"] and other["number"] < epoch["number"]]
        best_before = min(epochs[: epoch["number"]], key=lambda other: other["validation_loss"])["number"]
        assert epoch["replaced"] == (epoch["number"] - max([best_before, *returns]) == 2)


def test_the_published_set_is_trained_on_from_its_own_files(tmp_path):
    random = np.random.default_rng(0)
    folder = tmp_path / "fashion"
    folder.mkdir()
    for name, count in (("train", 100), ("t10k", 20)):
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(idx(random.integers(0, 256, (count, 28, 28), np.uint8)))
        )
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(count, dtype=np.uint8) % 10)))
    changes = ["--set", "epochs=1", "--set", "scheduler=none", "--set", "validation_share=0.2"]
    foreign = ["--unknown", str(folder / "t10k-images-idx3-ubyte.gz")]
    run = tmp_path / "run"
    assert train.main(["duq-fashionmnist", "--data", str(folder), "--run", str(run), *changes, *foreign]) == 0
    provenance = json.loads((run / "provenance.json").read_text())
    assert (provenance["n_train"], provenance["n_validation"]) == (80, 20)
    results = json.loads((run / "results.json").read_text())
    assert results["test"]["n"] == 20
    # the same images, so nothing can tell them apart
    assert list(results["test"]["auroc_unknown"].values()) == [pytest.approx(0.5)]


def test_learning_rates_follow_their_schedule():
    def rates(*changes: str) -> list[float]:
        settings = load_settings("filter-label", ["lr=1", "epochs=30", *changes])
        return [learning_rate(settings, epoch / 30) for epoch in range(31)]

    assert rates("scheduler=none") == [1] * 31
    steps = rates("scheduler=MultiStepLR", "milestones=[10, 20]")
    assert steps == pytest.approx([1] * 10 + [0.2] * 10 + [0.04] * 11)
    cosine = rates("scheduler=cosine")
    assert cosine.index(max(cosine)) in (4, 5)
    assert cosine[:5] == sorted(cosine[:5])
    assert cosine[5:] == sorted(cosine[5:], reverse=True)
    assert cosine[-1] == pytest.approx(0)


@pytest.mark.parametrize("model", ["MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1"])
def test_stems_for_32_px_keep_the_resolution(model):
    settings = [*QUICK, f"model={model}", "input.width=32", "input.height=32"]
    small = Classifier(load_settings("filter-label", settings)).eval()
    large = Classifier(load_settings("filter-label", [*settings, "input.width=64"])).eval()
    image = torch.zeros(1, 1, 32, 32)
    rows = {net.backbone(image).shape[-1] for net in (small, large)}
    assert rows == ({4, 1} if model in ("ResNet18", "ShuffleNetV2") else {2, 1})


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("epochs=-1", ["epochs", "-1", "greater than or equal to 0"]),
        ("length_skale=1", ["length_skale", "did you mean 'length_scale'"]),
        ("model=VGG", ["model", "'VGG'", "MobileNetV2"]),
        ("pass_class=good", ["pass_class", "good", "no_fail"]),
        ("optimizer=__import__('os')", ["optimizer", "__import__", "AdamW"]),
        ("input.width=wide", ["input.width", "'wide'"]),
        ("criterion=Hinge", ["criterion", "'Hinge'", "BCE"]),
        ('PFM_flag=["Screen"]', ["PFM_flag", "Screen", "Tensorboard"]),
    ],
)
def test_a_bad_key_is_named_with_what_is_allowed(labels, tmp_path, capsys, setting, words):
    arguments = ["filter-label", "--data", str(labels / "train"), "--run", str(tmp_path / "run"), *settings_of(setting)]
    assert train.main(arguments) == 78
    err = capsys.readouterr().err
    for word in ("filter-label.json", *words):
        assert word in err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["RBF_flag=false", "criterion=BCE"], "must be CrossEntropyLoss"),
        (
            ["head_fit=gradient", "criterion=CrossEntropyLoss"],
            "set criterion to BCE or BCE_of_K, or head_fit to covariance",
        ),
        (["criterion=CrossEntropyLoss", "gp_const=0.1"], "gp_const"),
        (["RBF_flag=false", "gp_const=0.1"], "gp_const"),
    ],
)
def test_keys_that_do_not_agree_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        load_settings("filter-label", settings)


def test_the_loss_trains_the_backbone_and_the_head_may_be_fitted_to_it_afterwards(labels, tmp_path):
    """DUQ's own loss gives the same backbone whatever becomes of its head; a softmax another."""
    found = {}
    for head_fit, criterion in (
        ("gradient", "BCE"),
        ("means", "BCE"),
        ("covariance", "BCE"),
        ("covariance", "CrossEntropyLoss"),
    ):
        folder = tmp_path / f"{head_fit}-{criterion}"
        settings = settings_of("epochs=1", "keep=last", f"head_fit={head_fit}", f"criterion={criterion}")
        assert train.main(["filter-label", "--data", str(labels / "train"), "--run", str(folder), *settings]) == 0
        found[head_fit, criterion] = load_file(folder / "weights.safetensors")
    as_trained, at_means, fitted, by_softmax = found.values()
    assert [name for name in as_trained if not torch.equal(as_trained[name], at_means[name])] == [
        "head.counts",
        "head.sums",
    ]
    backbone = [name for name in as_trained if name.startswith("backbone")]
    assert all(torch.equal(as_trained[name], fitted[name]) for name in backbone)
    assert not all(torch.equal(fitted[name], by_softmax[name]) for name in backbone)
    assert not torch.equal(as_trained["head.weight"], fitted["head.weight"])


def test_data_that_cannot_be_used_is_named(labels, tmp_path, capsys):
    def refused(data) -> str:
        assert train.main(["filter-label", "--data", str(data), "--run", str(tmp_path / "run"), *settings_of()]) == 78
        return capsys.readouterr().err

    assert "fail_label_crooked_print: no such class folder" in refused(tmp_path)
    for name in ("fail_label_crooked_print", "fail_label_half_printed", "fail_label_not_fully_printed", "no_fail"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "0.png"), np.zeros((48, 64), np.uint8))
    (tmp_path / "no_fail" / "1.png").write_bytes(b"no image")
    assert "no_fail/1.png: is not an image that can be read" in refused(tmp_path)
    assert not (tmp_path / "run").exists()
