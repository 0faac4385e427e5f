"""Few photos are all used to train and to choose the threshold, and no photo is judged by a network that learned from its part."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from inspectd.binomial import upper_bound
from inspectd.errors import ConfigError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.learning.by_kind import ByKind
from inspectd.learning.rates import pass_certainty
from inspectd.learning.threshold import calibrate, choose_threshold, usual_alpha
from inspectd.learning.tolerance import least_margin
from inspectd_tools.data import prepare as prepare_data
from inspectd_tools.data.images import load_photos
from inspectd_tools.data.manifest import DataManifest, Photo, read_manifest, write_manifest
from inspectd_tools.deploy import cli as build_engine
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.duq import DuqHead
from inspectd_tools.networks.predict import features
from inspectd_tools.settings import load_settings
from inspectd_tools.training import cli as train
from inspectd_tools.training.folds import deal, usual_folds
from inspectd_tools.training.loop import fit_head
from inspectd_tools.training.out_of_fold import read_out_of_fold
from inspectd_tools.training.run_folder import read_run
from tests.factories import GREY_OF_CLASS, UNKNOWN_GREY, toy_image

PARTS = 6
CHANGES = (
    *("model=DuqCnn", "input.width=28", "input.height=28", "input.channels=1", "input.mean=[0.5]", "input.std=[0.2]"),
    *("pretrained=true", "centroid_size=8", "pass_class=no_fail", "augmentation=no_augment"),
)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Six parts of each class with two photos each, and twelve unknown ones."""
    folder = tmp_path_factory.mktemp("labels")
    contents = {**GREY_OF_CLASS, "unknown_oil": UNKNOWN_GREY}
    for label, (name, grey) in enumerate(contents.items()):
        (folder / "photos" / name).mkdir(parents=True)
        for part in range(PARTS):
            for view in range(2):
                image = toy_image(grey + 2 * part - 6, seed=100 * label + 2 * part + view)
                cv2.imwrite(str(folder / "photos" / name / f"{name}{part}_{view}.png"), image)
    arguments = [str(folder / "photos"), "--suffix", "_[0-9]", "--near", "-1", "--out", str(folder / "labels.csv")]
    assert prepare_data.main(arguments) == 0
    classifier = Classifier(load_settings("photos", [f"classes={json.dumps(list(GREY_OF_CLASS))}", *CHANGES]))
    torch.save(classifier.backbone.state_dict(), folder / "backbone.pth")
    return folder


@pytest.fixture(scope="module")
def run(labels):
    return trained(labels, labels / "run")


@pytest.fixture(scope="module")
def engine(labels, run):
    bundle = labels / "engine"
    assert (
        build_engine.main([str(run), "--name", "few", "--data", str(labels / "labels.csv"), "--out", str(bundle)]) == 0
    )
    return bundle


def trained(labels: Path, run: Path, *more: str) -> Path:
    weights = ["--weights", str(labels / "backbone.pth")]
    assert (
        train.main(["photos", "--data", str(labels / "labels.csv"), "--run", str(run), *weights, *sets(), *more]) == 0
    )
    return run


def sets(*more: str) -> list[str]:
    return [text for change in (*CHANGES, *more) for text in ("--set", change)]


PHOTOS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=80)


@settings(max_examples=100, deadline=None)
@given(PHOTOS, st.integers(2, 10), st.integers(0, 5))
def test_a_part_is_in_one_fold_and_every_label_in_as_many_as_it_can(photos, count, seed):
    labels, groups = [label for label, _ in photos], [f"{label}-{part}" for label, part in photos]
    fold = deal(labels, groups, count, seed)
    assert fold.tolist() == deal(labels, groups, count, seed).tolist()
    assert all(len({f for f, other in zip(fold, groups, strict=True) if other == group}) == 1 for group in groups)
    for label in set(labels):
        own = [(f, group) for f, group, other in zip(fold.tolist(), groups, labels, strict=True) if other == label]
        assert len({f for f, _ in own}) == min(count, len({group for _, group in own}))


def test_single_photos_are_spread_evenly():
    labels = [0] * 24 + [1] * 10 + [2] * 10
    fold = deal(labels, [str(place) for place in range(44)], 10, 0)
    for label in (0, 1, 2):
        counts = Counter(fold[np.array(labels) == label].tolist())
        assert max(counts.values()) - min(counts.values()) <= 1


def test_every_photo_is_judged_by_a_head_that_did_not_learn_from_its_part(labels, run):
    found = read_out_of_fold(run)
    own_settings, classifier, _ = read_run(run)
    manifest = read_manifest(labels / "labels.csv")
    assert {photo.sha256 for photo in found.data.photos} == {
        photo.sha256 for photo in manifest.photos if photo.split != "test" and photo.label != 4
    } | {photo.sha256 for photo in manifest.unknown("val")["unknown_oil"]}
    images = load_photos(found.data.photos, own_settings.input, "test")
    values, groups = features(classifier, own_settings.input, images.pixels), [p.group for p in found.data.photos]
    for fold in range(10):
        here = found.fold == fold
        learns = np.flatnonzero(~here & (images.labels < 4))
        assert not {groups[place] for place in learns} & {groups[place] for place in np.flatnonzero(here)}
        head = DuqHead(values.shape[1], 4, own_settings.centroid_size, own_settings.length_scale, own_settings.gamma)
        fit_head(head, own_settings, values[learns], images.take(learns))
        with torch.no_grad():
            np.testing.assert_allclose(found.scores[here], head(values[here]).exp().numpy(), atol=1e-4)


def test_the_engine_learns_from_all_photos_and_they_all_choose_the_threshold(labels, run, engine):
    provenance = json.loads((run / "provenance.json").read_text())
    known = [p for p in read_manifest(labels / "labels.csv").photos if p.label < 4 and p.split != "test"]
    assert (provenance["n_train"], provenance["n_validation"]) == (len(known), 0)
    found = read_out_of_fold(run)
    manifest = load_engine(load_bundle(engine), InferenceConfig()).manifest
    certainty, truth = pass_certainty(found.scores, 3), np.array([photo.label for photo in found.data.photos])
    good = [certainty[place] for place in np.flatnonzero(truth == 3)]
    parts = {photo.group for photo in known if photo.label == 3}
    assert manifest.threshold.n_good == len(parts) < len(good)
    faulty = certainty[truth < 3]
    assert (faulty >= manifest.threshold.value).sum() == 0
    assert "expected, not guaranteed" in manifest.threshold.method


def test_the_card_counts_each_fold_at_the_threshold_of_the_others(run, engine):
    card = (engine / "card.md").read_text()
    assert "## Cross-validation" in card
    found = read_out_of_fold(run)
    certainty, truth = pass_certainty(found.scores, 3), np.array([photo.label for photo in found.data.photos])
    groups = np.array([photo.group for photo in found.data.photos])
    _, parts = np.unique(groups, return_inverse=True)
    passed = Counter()
    for fold in range(10):
        others, own = found.fold != fold, found.fold == fold
        rest = ByKind.of(certainty[others], truth[others], parts[others], found.data.names, "no_fail")
        here = ByKind.of(certainty[own], truth[own], parts[own], found.data.names, "no_fail")
        alpha = load_bundle(engine).manifest.threshold.alpha
        value = calibrate(rest, "0" * 64, max(alpha, usual_alpha(rest)), margin=least_margin("fp32")).value
        passed["good"] += int((here.good < value).sum())
        passed["unknown_oil"] += int((here.unknown["unknown_oil"] >= value).sum())
    n_good, n_oil = (len({g for g, t in zip(groups, truth, strict=True) if t == label}) for label in (3, 4))
    assert f"| good labels rejected | {passed['good']} of {n_good} " in card
    assert f"| unknown_oil passed | {passed['unknown_oil']} of {n_oil} " in card


def test_the_card_says_what_further_photos_would_buy(engine):
    rows = [line for line in (engine / "card.md").read_text().splitlines() if line.startswith("| +100 of each")]
    # 3 x 5 faulty parts and 3 unknown ones now
    assert [row.split(" | ")[1:3] for row in rows] == [["0.95%", "2.87%"]]


def test_another_precision_needs_photos_that_taught_nothing(labels, run, tmp_path, capsys):
    arguments = [str(run), "--name", "few", "--data", str(labels / "labels.csv"), "--out", str(tmp_path / "engine")]
    assert build_engine.main([*arguments, "--precision", "bf16"]) == 78
    assert "--precision bf16: " in capsys.readouterr().err
    assert not (tmp_path / "engine").exists()


def test_without_folds_the_photos_of_train_and_val_stay_apart(labels, tmp_path):
    run = trained(labels, tmp_path / "run", "--folds", "0")
    assert not (run / "out_of_fold.csv").exists()
    assert json.loads((run / "provenance.json").read_text())["n_validation"] > 0


def test_a_network_that_is_trained_is_trained_once_for_each_fold(labels, tmp_path):
    run = trained(labels, tmp_path / "run", "--folds", "2", "--set", "epochs=1", "--set", "epoch_images=64")
    assert {path.name for path in run.glob("fold-*")} == {"fold-0", "fold-1"}
    first = (run / "out_of_fold.csv").read_bytes()
    (run / "out_of_fold.csv").unlink()
    shutil.rmtree(run / "fold-1")
    trained(labels, run, "--folds", "2", "--set", "epochs=1", "--set", "epoch_images=64", "--resume")
    assert (run / "out_of_fold.csv").read_bytes() == first


def test_few_parts_of_a_class_are_the_reason_to_cross_validate():
    few, many = manifest_of(99), manifest_of(100)
    fitted = load_settings("photos", ['classes=["bad", "good"]', "pass_class=good"])
    assert (usual_folds(fitted, few), usual_folds(fitted, many)) == (10, 0)
    assert usual_folds(fitted.model_copy(update={"epochs": 3}), few) == 0


def manifest_of(parts: int) -> DataManifest:
    """Three photos of each good part, 200 of them, and `parts` bad ones."""
    good = [Photo(Path(f"{n}.png"), 1, "train", str(n // 3), "0" * 64) for n in range(600)]
    return DataManifest(
        ("bad", "good"), (*good, *(Photo(Path("b"), 0, "val", f"b{n}", "1" * 64) for n in range(parts)))
    )


def test_a_class_of_one_part_is_named(labels, tmp_path, capsys):
    manifest = read_manifest(labels / "labels.csv")
    one = next(photo.group for photo in manifest.of("train") if photo.label == 1)
    kept = tuple(p for p in manifest.photos if p.label != 1 or p.split == "test" or p.group == one)
    write_manifest(DataManifest(manifest.names, kept), tmp_path / "one.csv")
    arguments = ["--data", str(tmp_path / "one.csv"), "--weights", str(labels / "backbone.pth"), *sets()]
    assert train.main(["photos", *arguments, "--run", str(tmp_path / "run")]) == 78
    assert "class fail_label_half_printed: all its photos show one part" in capsys.readouterr().err


def test_folds_need_a_manifest(labels, tmp_path, capsys):
    arguments = ["--data", str(labels / "photos"), "--run", str(tmp_path / "run"), "--folds", "5"]
    assert train.main(["filter-label", *arguments, "--set", "pretrained=false"]) == 78
    assert "--folds: needs a manifest" in capsys.readouterr().err


def test_the_bound_on_faulty_labels_holds_for_the_head_that_learned_from_all():
    """The engine's head was judged on no new photo, so this is tried: in how many of 60 draws do too many faulty labels pass?"""
    rng, draws = np.random.default_rng(0), 60
    means, alpha = rng.normal(0, 0.3, (3, 48)), upper_bound(0, 20)

    def drawn(counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        labels = np.repeat(np.arange(3), counts)
        return torch.tensor(means[labels] + rng.normal(0, 1, (len(labels), 48)), dtype=torch.float32), torch.tensor(
            labels
        )

    def good(head: DuqHead, values: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return pass_certainty(head(values).exp().numpy(), 0)

    def fitted(values: torch.Tensor, labels: torch.Tensor) -> DuqHead:
        head = DuqHead(48, 3, 48, 0.1, 0.9)
        head.fit_covariance(values, labels)
        return head

    broken = 0
    for draw in range(draws):
        values, labels = drawn([24, 10, 10])
        fold = deal(labels.tolist(), [str(place) for place in range(len(labels))], 10, draw)
        certainty = np.zeros(len(labels), np.float32)
        for number in range(10):
            here = fold == number
            certainty[here] = good(fitted(values[~here], labels[~here]), values[here])
        faulty = certainty[labels > 0]
        value = choose_threshold(faulty, np.empty(0, np.float32), alpha)
        new, _ = drawn([0, 1000, 1000])
        broken += (good(fitted(values, labels), new) >= value).mean() > alpha
    assert broken <= 0.05 * draws + 2 * np.sqrt(0.05 * 0.95 * draws)


def test_a_table_of_scores_that_is_spoilt_is_named(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    rows = list(csv.reader((other / "out_of_fold.csv").open(newline="")))
    rows[1][-1] = "much"
    with (other / "out_of_fold.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(ConfigError, match=r"out_of_fold\.csv: fold and scores must be numbers"):
        read_out_of_fold(other)
