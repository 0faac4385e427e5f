"""Figures of a training against readings of their definitions that share no code with them."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from inspectd_tools.data import prepare as prepare_data
from inspectd_tools.data.images import load_photos
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.metrics.classification import auroc, summarise
from inspectd_tools.networks.predict import features
from inspectd_tools.synthetic import cli as synthesize
from inspectd_tools.training import cli as train
from inspectd_tools.training.run_folder import read_run

VALUES = st.lists(st.integers(0, 6).map(lambda value: value / 6), min_size=1, max_size=40)


@given(VALUES, VALUES)
def test_auroc_is_the_share_of_pairs_in_order(lower, higher):
    pairs = [(low < high) + (low == high) / 2 for low in lower for high in higher]
    assert auroc(np.array(lower), np.array(higher)) == pytest.approx(sum(pairs) / len(pairs))


def test_auroc_of_nothing_is_no_figure():
    assert auroc(np.array([]), np.array([0.5])) is None


def test_summary_counts_what_it_was_given():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    found = summarise(scores, np.array([0, 0, 0, 1]), ("a", "b"), "a", {"steel": np.array([[0.1, 0.65]])})
    assert found["confusion"] == [[2, 1], [0, 1]]
    assert found["recall"] == pytest.approx({"a": 2 / 3, "b": 1})
    assert found["balanced_accuracy"] == pytest.approx(5 / 6)
    assert found["accuracy"] == 0.75
    assert found["auroc_errors"] == 1.0
    assert found["auroc_unknown"] == {"steel": 0.75}


def test_what_passes_where_certainty_rejects_five_percent_of_the_good():
    good = np.stack([np.linspace(0.5, 1, 101), np.zeros(101)], axis=1)
    faulty = np.array([[0.6, 0.1], [0.52, 0.1], [0.9, 0.95], [0.1, 0.8]])
    labels = np.array([0] * 101 + [1] * 4)
    found = summarise(np.concatenate([good, faulty]), labels, ("good", "torn"), "good", {"steel": faulty[:2]})
    assert found["passed"] == {"good": (96, 101), "torn": (1, 4), "steel": (1, 2)}
    good[:10] = [0.1, 0.9]
    found = summarise(np.concatenate([good, faulty]), labels, ("good", "torn"), "good", {"steel": faulty[:2]})
    assert found["passed"] == {"good": (87, 101), "torn": (1, 4), "steel": (1, 2)}
    nothing = summarise(good[:10], np.array([0] * 9 + [1]), ("good", "torn"), "good", {"steel": good})
    assert nothing["passed"]["steel"] == (0, 101)


def test_a_training_on_a_manifest_ends_with_its_test_figures(tmp_path, capsys):
    labels = tmp_path / "labels"
    assert synthesize.main(["render", str(labels), "--count-per-class", "10", "--unknowns-per-kind", "2"]) == 0
    foreign = labels / "unknown_no_filter"
    classes = "no_fail,fail_label_crooked_print"
    data = tmp_path / "data.csv"
    assert prepare_data.main([str(labels), "--out", str(data), "--classes", classes]) == 0
    small = ["pretrained=false", "epochs=1", "batch_size=8", "centroid_size=4", "input.width=64", "input.height=48"]
    flags = ("lr=0.005", "pass_class=no_fail", 'PFM_flag=["Terminal", "Tensorboard"]')
    options = [text for setting in (*small, *flags) for text in ("--set", setting)]
    run = tmp_path / "run"
    assert train.main(["photos", "--data", str(data), "--run", str(run), "--unknown", str(foreign), *options]) == 0
    results = json.loads((run / "results.json").read_text())["test"]
    assert results["n"] == 2
    assert list(results["recall"]) == classes.split(",")
    kinds = sorted(path.name for path in labels.glob("unknown_*"))
    assert list(results["auroc_unknown"]) == [str(foreign), *kinds]
    assert results["passed"]["unknown_oil_spot"][1] == 1
    assert "recall" in capsys.readouterr().out
    settings, classifier, _ = read_run(run)
    assert settings.classes == tuple(classes.split(","))
    comparison = json.loads((run / "results.json").read_text())["certainty"]
    fitted = ["DUQ", "max-softmax of a linear probe", "Mahalanobis", "nearest neighbours"]
    assert list(comparison) == [*fitted, "softmax that trained it"]
    assert comparison["DUQ"]["auroc_unknown"] == results["auroc_unknown"]
    by_softmax = json.loads((run / "results.json").read_text())["test_softmax"]
    assert by_softmax["auroc_unknown"] == comparison["softmax that trained it"]["auroc_unknown"]
    photos = load_photos(read_manifest(data).of("test"), settings.input, "test")
    with torch.no_grad():
        scores = classifier.softmax(features(classifier, settings.input, photos.pixels)).exp().numpy()
    right = scores.argmax(1) == photos.labels
    assert by_softmax["accuracy"] == right.mean()
    assert by_softmax["auroc_errors"] == auroc(scores.max(1)[~right], scores.max(1)[right])
    assert cv2.imread(str(run / "certainty.png")).shape[1] == 1100
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [scalar.step for scalar in events.Scalars("validation_loss")] == [1]
    assert {"training images", "confusion matrix of the test"} <= set(events.Tags()["images"])


def test_a_pass_class_that_is_no_class_is_refused(tmp_path, capsys):
    labels = tmp_path / "labels"
    assert synthesize.main(["render", str(labels), "--count-per-class", "4", "--unknowns-per-kind", "0"]) == 0
    data = tmp_path / "data.csv"
    assert prepare_data.main([str(labels), "--out", str(data)]) == 0
    arguments = ["photos", "--data", str(data), "--run", str(tmp_path / "run"), "--set", "pass_class=good"]
    assert train.main([*arguments, "--set", "pretrained=false"]) == 78
    assert "is not one of the classes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda photo: photo.write_bytes(photo.read_bytes() + b"x"), "has changed since the manifest was written"),
        (lambda photo: photo.unlink(), "can't be read: No such file"),
    ],
)
def test_photos_that_are_not_those_that_were_split_are_refused(tmp_path, capsys, spoil, message):
    labels = tmp_path / "labels"
    assert synthesize.main(["render", str(labels), "--count-per-class", "4", "--unknowns-per-kind", "0"]) == 0
    data = tmp_path / "data.csv"
    assert prepare_data.main([str(labels), "--out", str(data)]) == 0
    spoil(next(photo.path for photo in read_manifest(data).photos if photo.split == "train"))
    settings = ["--set", "pass_class=no_fail", "--set", "pretrained=false", "--set", "epochs=1"]
    assert train.main(["photos", "--data", str(data), "--run", str(tmp_path / "run"), *settings]) == 78
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
