"""An engine is built with a guard: its thresholds count what passes network and guard together."""

import json
import shutil
from collections import Counter

import cv2
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import save_file

from inspectd.camera.image_files import read_photo
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.inference.manifest import FORMAT
from inspectd.learning.fitting import certainties, kinds_of, limits_of
from inspectd.learning.learned import kept_rows
from inspectd.learning.network import OpenNetwork
from inspectd.part import Pass
from inspectd_tools.data.images import load_images
from inspectd_tools.deploy import cli as build_engine
from inspectd_tools.deploy.guard import cli as fit_guard
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.inputs import to_network
from inspectd_tools.settings import load_settings
from tests.factories import small_label, toy_image

DARK, GOOD, OIL = "fail_dark", "no_fail", "unknown_oil"
SETTINGS = load_settings(
    "photos",
    [
        *(
            f"classes={json.dumps([DARK, GOOD])}",
            f"pass_class={GOOD}",
            "model=DuqCnn",
            "centroid_size=8",
            "input.region.right=0.6",
        ),
        *("input.width=28", "input.height=28", "input.channels=1", "input.mean=[0.45]", "input.std=[0.22]"),
    ],
)


def dark(number):
    return toy_image(60, seed=number, width=160, height=120)


def good(number):
    return small_label(seed=number)


def blot(number):
    """Where the network does not look."""
    return small_label(seed=number, beside_px=6)


def oil(number):
    return toy_image(130, seed=number, width=160, height=120)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Some of the faulty labels have a blot, which no training photo shows."""
    folder = tmp_path_factory.mktemp("photos")
    draw(folder / "train", {DARK: [dark] * 24, GOOD: [good] * 30})
    draw(folder / "calibration", {DARK: [dark] * 24 + [blot] * 12, GOOD: [good] * 24, OIL: [oil] * 24})
    draw(folder / "test", {DARK: [dark] * 12 + [blot] * 6, GOOD: [good] * 12, OIL: [oil] * 12})
    write_run(folder / "train", folder / "run")
    return folder


@pytest.fixture(scope="module")
def guarded(photos):
    return built(photos, "guarded")


@pytest.fixture(scope="module")
def unguarded(photos):
    return built(photos, "unguarded", "--no-guard")


def draw(folder, contents):
    for label, (name, kinds) in enumerate(contents.items()):
        (folder / name).mkdir(parents=True)
        for place, kind in enumerate(kinds):
            image = kind(10_000 * len(folder.name) + 1000 * label + place)
            cv2.imwrite(str(folder / name / f"{place:03d}.png"), image)


def write_run(train, run):
    """As of a training: a network that was never trained, but whose head is fitted to these photos."""
    torch.manual_seed(0)
    files = [(path, label) for label, name in enumerate(SETTINGS.classes) for path in sorted((train / name).iterdir())]
    images = load_images(files, SETTINGS.input)
    inputs = to_network(torch.from_numpy(images.pixels), SETTINGS.input)
    classifier = Classifier(SETTINGS)
    with torch.no_grad():
        for module in classifier.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        classifier.features(inputs)
        classifier.eval().head.fit_covariance(classifier.features(inputs), torch.from_numpy(images.labels))
    run.mkdir()
    save_file(
        {name: value.contiguous() for name, value in classifier.state_dict().items()}, run / "weights.safetensors"
    )
    (run / "settings.json").write_text(SETTINGS.model_dump_json())
    made = {"n_train": len(files), "n_validation": 0, "weights": None, "data_fingerprint": images.fingerprint}
    (run / "provenance.json").write_text(json.dumps(made))
    trained_with = [f"train,{digest},{path}" for digest, path in zip(images.digests, images.files, strict=True)]
    (run / "photos.csv").write_text("\n".join(["split,sha256,path", *trained_with]))


def built(photos, name, *options):
    out = photos / name
    sets = ["--calibration", str(photos / "calibration"), "--test", str(photos / "test"), "--alpha", "0.15"]
    assert build_engine.main([str(photos / "run"), "--name", "small", *sets, *options, "--out", str(out)]) == 0
    return out


def test_the_threshold_is_lower_with_a_guard_that_stops_what_the_network_passes(guarded, unguarded):
    with_guard, without = load_bundle(guarded).manifest, load_bundle(unguarded).manifest
    assert without.guard is None
    assert with_guard.guard is not None
    assert with_guard.guard.joint
    assert with_guard.format == FORMAT
    assert with_guard.threshold.value < 0.6 < without.threshold.value
    assert with_guard.threshold.false_reject_rate < without.threshold.false_reject_rate
    assert "network and guard" in with_guard.threshold.method
    assert [with_guard.threshold.false_accepts[name].passed for name in (DARK, OIL)] == [0, 0]


def test_the_bundle_keeps_its_photos_to_learn_from(guarded, unguarded):
    kept = {folder: kept_rows(load_bundle(folder)) for folder in (guarded, unguarded)}
    for folder, rows in kept.items():
        manifest = load_bundle(folder).manifest
        assert Counter(rows.truths[rows.calibrates].tolist()) == {DARK: 36, GOOD: 24, OIL: 24}
        assert Counter(rows.truths[rows.fits].tolist()) == {DARK: 24, GOOD: 30}
        certainty = certainties(rows, rows_scores(folder, rows), manifest, limits_of(manifest))
        kinds = kinds_of(rows, certainty, rows.calibrates, manifest)
        passed = {name: int((values >= manifest.threshold.value).sum()) for name, values in kinds.faulty.items()}
        assert passed == {DARK: manifest.threshold.false_accepts[DARK].passed}
    assert kept[guarded].stopped(limits_of(load_bundle(guarded).manifest)).any()
    assert kept[unguarded].guard.shape == (len(kept[unguarded]), 0)


def rows_scores(folder, rows):
    return OpenNetwork(load_bundle(folder)).head.scores(rows.features)


def test_certainty_keeps_a_say_of_its_own(guarded, photos):
    """Nothing that must not pass is left after the guard, so the bound alone would allow a threshold of nearly 0."""
    certainties = [pass_score(guarded, path) for path in sorted((photos / "calibration" / GOOD).iterdir())]
    assert load_bundle(guarded).manifest.threshold.value == pytest.approx(min(certainties) ** 2, abs=1e-3)


def test_the_card_counts_what_the_line_passes(guarded, photos):
    """Good labels that the guard stops are rejected, and blots that the network would let pass are not passed."""
    engine = load_engine(load_bundle(guarded), InferenceConfig())
    passed = {
        name: [
            isinstance(engine.judge(read_photo(path)).verdict, Pass)
            for path in sorted((photos / "test" / name).iterdir())
        ]
        for name in (DARK, GOOD, OIL)
    }
    card = (guarded / "card.md").read_text()
    assert f"| faulty labels passed | {sum(passed[DARK])} of 18 " in card
    assert f"| good labels rejected | {12 - sum(passed[GOOD])} of 12 " in card
    assert "rejected: anomaly" in card
    assert "The guarantee above counts what passes both network and guard." in card
    network = [pass_score(guarded, path) >= engine.policy.threshold for path in (photos / "test" / DARK).iterdir()]
    assert sum(network) == 6
    assert sum(passed[DARK]) == 0


def test_each_arithmetic_has_a_tolerance_below_the_margin_of_its_threshold(guarded, unguarded, photos):
    files = [path for name in (DARK, OIL) for path in (photos / "calibration" / name).iterdir()]
    for bundle in (guarded, unguarded):
        manifest = load_bundle(bundle).manifest
        assert set(manifest.precisions) == {"onnxruntime"}
        for name in ("fp32", "onnxruntime"):
            threshold, tolerance = manifest.threshold_at(name).value, manifest.golden_tolerance_at(name)
            assert tolerance <= 0.02
            below = [score for score in (pass_score(bundle, path) for path in files) if score < threshold]
            if bundle == unguarded:
                assert tolerance <= (threshold - max(below)) / 4 + 1e-6
                assert tolerance < 0.02


def test_without_a_guard_card_and_terminal_say_what_the_engine_does_not_see(unguarded, photos, capsys):
    assert "This engine sees no small faults: it has no guard, because it was built with --no-guard." in (
        unguarded / "card.md"
    ).read_text().replace("\\", "")


def test_photos_that_allow_no_guard_give_an_engine_without_and_one_warning(photos, tmp_path, capsys):
    for side in ("run", "calibration", "test"):
        shutil.copytree(photos / side, tmp_path / side)
    for path in sorted((tmp_path / "calibration" / GOOD).iterdir())[4:]:
        path.unlink()
    bundle = built(tmp_path, "engine")
    said = capsys.readouterr().err
    reason = (
        "4 good photos in the calibration set besides those that fit it are too few for a guard, at least 5 are needed"
    )
    assert said.count(f"this engine sees no small faults: it has no guard, because {reason}") == 1
    assert reason in (bundle / "card.md").read_text()
    assert load_bundle(bundle).manifest.guard is None


def test_guard_photos_that_were_asked_for_must_do(photos, tmp_path, capsys):
    arguments = ["--calibration", str(photos / "calibration"), "--test", str(photos / "test"), "--alpha", "0.15"]
    arguments += ["--name", "small", "--guard-photos", str(photos / "calibration"), "--out", str(tmp_path / "engine")]
    assert build_engine.main([str(photos / "run"), *arguments]) == 78
    assert "0 good photos in the calibration set besides those that fit it are too few" in capsys.readouterr().err
    assert not (tmp_path / "engine").exists()


def test_fit_guard_chooses_the_thresholds_that_a_build_with_guard_chooses(guarded, unguarded, photos, tmp_path):
    sets = ["--calibration", str(photos / "calibration"), "--test", str(photos / "test")]
    out = tmp_path / "engine"
    assert fit_guard.main([str(unguarded), "--data", str(photos / "train"), *sets, "--out", str(out)]) == 0
    ours, theirs = load_bundle(out).manifest, load_bundle(guarded).manifest
    assert ours.guard.sha256 == theirs.guard.sha256
    for name in ("fp32", "onnxruntime"):
        own, other = ours.threshold_at(name), theirs.threshold_at(name)
        assert own.model_copy(update={"method": other.method}) == other
        assert "not checked that these are other photos than those of the training" in own.method
        assert ours.golden_tolerance_at(name) == theirs.golden_tolerance_at(name)
    card, expected = ((folder / "card.md").read_text() for folder in (out, guarded))
    for heading in ("## Guarantee", "## Performance", "## Blind spots"):
        section, other = (text.partition(heading)[2].partition("\n## ")[0].splitlines() for text in (card, expected))
        assert [line for line in section if "lowest threshold" not in line] == [
            line for line in other if "lowest threshold" not in line
        ]
    assert (out / "threshold.csv").read_text() == (guarded / "threshold.csv").read_text()
    assert kept_rows(load_bundle(out)).packed() == kept_rows(load_bundle(guarded)).packed()


def test_a_new_guard_for_thresholds_that_need_the_old_one_needs_calibration_photos(guarded, photos, tmp_path, capsys):
    assert fit_guard.main([str(guarded), "--data", str(photos / "train"), "--out", str(tmp_path / "engine")]) == 78
    assert "its thresholds were chosen together with its guard" in capsys.readouterr().err
    assert not (tmp_path / "engine").exists()


def pass_score(bundle, path):
    """Of the network alone, in fp32; 0 if another class is at least as likely."""
    engine = ENGINES.setdefault(bundle, None) or load_engine(load_bundle(bundle), InferenceConfig())
    ENGINES[bundle] = engine
    scores = engine.infer(engine.preprocess(read_photo(path)))
    return float(scores[1]) if scores[1] > scores[0] else 0.0


ENGINES = {}
