"""Experiments: their files, the plan, the results, and one real experiment that is killed and continued."""

import csv
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd_tools.changes import as_changes
from inspectd_tools.experiments import cli as experiments
from inspectd_tools.experiments.aggregate import over
from inspectd_tools.experiments.claims import AGREE, DISAGREE, UNDECIDED, Value, check
from inspectd_tools.experiments.config import (
    FOLDER,
    Best,
    Experiment,
    Reaches,
    Speed,
    Wider,
    load_experiment,
    names,
)
from inspectd_tools.experiments.graphs import draw
from inspectd_tools.experiments.launch import here
from inspectd_tools.experiments.measures import measure
from inspectd_tools.experiments.paths import OUTCOME, TRAINED, WORK
from inspectd_tools.experiments.plan import Start, changes, plan, real_photos
from inspectd_tools.experiments.records import Figure, Outcome, write_rows
from inspectd_tools.experiments.report import write_report
from inspectd_tools.experiments.results import gather
from inspectd_tools.experiments.robustness import with_noise
from inspectd_tools.experiments.scale import Scale
from inspectd_tools.settings import load_settings

CLASSES = ("fail_label_crooked_print", "fail_label_half_printed", "fail_label_not_fully_printed", "no_fail")
EXPERIMENTS = {name: load_experiment(FOLDER / f"{name}.yaml") for name in names()}
shares = st.floats(0.001, 1)
scales = st.builds(Scale, shares, shares, shares, shares)


def experiment_of(**part):
    values = {
        "title": "tiny",
        "base": "filter-label",
        "train": {"photos": 8},
        "val": {"photos": 2},
        "vary": {"seed": [0]},
    }
    return {"question": "?", "thesis": "-", "runs": 2, "parts": {"all": values | part}}


# ---- files


def test_the_thesis_has_six_experiments_and_all_can_be_read():
    assert names() == [f"experiment_{number}" for number in range(1, 7)]


def settings_of(name, part, key):
    found = {}
    for options in EXPERIMENTS[name].parts[part].options():
        found[options["model"]] = EXPERIMENTS[name].parts[part].changes(options).get(key)
    return found


def test_they_are_as_the_thesis_has_them():
    assert set(EXPERIMENTS["experiment_1"].parts["a"].vary["synthetic_share"]) == {0.25, 0.5, 0.75, 1}
    assert settings_of("experiment_2", "all", "epochs")["ShuffleNetV2"] == 40
    assert settings_of("experiment_2", "all", "epochs")["ResNet18"] == 20
    assert settings_of("experiment_4", "penalty", "gp_const") == {
        "MobileNetV2": 0.1,
        "ResNet18": 0.5,
        "ShuffleNetV2": 0.1,
    }
    assert set(settings_of("experiment_4", "without", "gp_const").values()) == {None}
    rates = {"MobileNetV2": 0.05, "ShuffleNetV2": 0.05, "ResNet18": 0.01, "EfficientNetB1": 0.01}
    assert settings_of("experiment_5", "all", "lr") == rates
    for name in ("experiment_2", "experiment_3", "experiment_5"):
        (photos,) = {run.photos for run in plan(EXPERIMENTS[name], Scale(), 1, Start())}
        assert (photos.train.real, photos.train.synthetic) == (56, 150)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vary": {"modle": ["ResNet18"]}}, "did you mean 'model'"),
        ({"vary": {"model": ["ResNet19"]}}, "ResNet19"),
        ({"vary": {"synthetic_share": [1.5]}}, "less than or equal to 1"),
        ({"base": "filter-lable"}, "filter-lable"),
        ({"set": {"photos": 3}}, "photos"),
        ({"measures": [{"kind": "sped"}]}, "measures"),
        ({"adjust": [{"where": {"seed": 7}, "set": {"lr": 1}}]}, "7"),
        ({"data": "cifar10"}, "cifar10"),
        ({"val": {"photos": 2, "synthetic_share": 1}, "vary": {"synthetic_share": [0.5]}}, "val.synthetic_share"),
        ({"val": None}, "val"),
        ({"titel": "x"}, "did you mean 'title'"),
        ({"measures": [{"kind": "foreign", "data": "labels"}]}, "'foreign' is not allowed: is now called 'unknown'"),
        ({"measures": [{"kind": "closeness"}]}, "'closeness' is not allowed: is now called 'similarity'"),
    ],
)
def test_a_wrong_file_is_refused_by_name_key_and_value(change, said, tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(experiment_of(**change)))
    assert experiments.main([str(path), "--list"]) == 78
    message = capsys.readouterr().err
    assert str(path) in message
    assert said in message


def test_a_claim_with_the_old_name_of_a_metric_is_refused():
    claims = [{"kind": "reaches", "says": "x", "metric": "foreign AUROC against labels", "value": 0.9}]
    with pytest.raises(ValueError, match="is now called 'unknown AUROC against labels'"):
        Experiment.model_validate(experiment_of() | {"claims": claims})


def test_a_claim_about_what_does_not_vary_is_refused():
    claims = [{"kind": "best", "says": "x", "key": "model", "value": "ResNet18"}]
    with pytest.raises(ValueError, match="does not vary"):
        Experiment.model_validate(experiment_of() | {"claims": claims})


# ---- plans


@settings(max_examples=30)
@given(st.sampled_from(sorted(EXPERIMENTS)), scales, st.one_of(st.none(), st.integers(1, 4)))
def test_every_variant_has_its_seeds_and_no_number_grows(name, scale, n_runs):
    experiment = EXPERIMENTS[name]
    runs, whole = plan(experiment, scale, n_runs, Start()), plan(experiment, Scale(), 1, Start())
    assert len({run.place for run in runs}) == len(runs)
    full = {run.variant: run for run in whole}
    for variant, reference in full.items():
        own = [run for run in runs if run.variant == variant]
        asked = experiment.parts[reference.part].runs or experiment.runs
        assert len(own) == (n_runs or scale.seeds(asked)) <= max(asked, n_runs or 0)
        assert [run.seed for run in own] == list(range(own[0].seed, own[0].seed + len(own)))
        assert len({run.photos for run in own}) == 1
        train, val = own[0].photos.train, own[0].photos.val
        assert train.real + train.synthetic == train.photos <= reference.photos.train.photos
        assert 1 <= val.photos <= reference.photos.val.photos
        settings, before = (load_settings(r.base, as_changes(r.changes)) for r in (own[0], reference))
        assert 1 <= settings.epochs <= before.epochs
        assert 32 <= settings.input.width <= before.input.width
        assert 32 <= settings.input.height <= before.input.height
        assert all(1 <= milestone <= settings.epochs for milestone in settings.milestones)
    first = [run.variant for run in runs[: len(full)]]
    assert set(first) == set(full), "an experiment that is cut has something of every variant"
    train, val = real_photos(experiment, scale, runs)
    assert all(
        run.photos.train.real <= train and run.photos.val.real <= val for run in runs if run.photos.data == "labels"
    )


@settings(max_examples=30)
@given(st.sampled_from(sorted(EXPERIMENTS)), shares)
def test_the_report_is_told_of_every_number_that_a_scale_has_changed(name, share):
    experiment, scale = EXPERIMENTS[name], Scale(share, share, share, share)
    told = list(changes(experiment, scale, None))
    assert list(changes(experiment, Scale(), None)) == []
    runs, whole = plan(experiment, scale, None, Start()), plan(experiment, Scale(), None, Start())
    if len(runs) != len(whole):
        assert any(change.what == "runs of each variant" for change in told)
    if {run.photos.train for run in runs} != {run.photos.train for run in whole}:
        assert any("per class, train" in change.what for change in told)
    if {run.changes.get("epochs") for run in runs} != {run.changes.get("epochs") for run in whole}:
        assert any(change.what == "epochs" for change in told)
    if any("input.width" in run.changes for run in runs):
        assert any(change.what == "input.width" for change in told)
    assert all(change.experiment != change.here for change in told)


@given(st.integers(1, 5000), shares, shares)
def test_a_larger_scale_never_takes_less(photos, one, other):
    small, large = sorted((one, other))
    assert Scale(images=small).trained(photos) <= Scale(images=large).trained(photos) <= photos
    assert Scale(images=large).trained(photos) >= min(8, photos)


def test_a_scale_is_one_number_or_shares_by_name(capsys):
    parse = experiments._scale
    assert parse("0.1") == Scale(0.1, 0.1, 0.1)
    assert str(parse("0.1")) == "0.1"
    assert parse("images=0.1,epochs=0.5") == Scale(0.1, 0.5, 1)
    assert parse("pixels=0.5") == Scale(pixels=0.5)
    assert str(parse("pixels=0.5")) == "0.5 of pixels"
    assert str(parse("images=0.1,epochs=0.5")) == "0.1 of images, 0.5 of epochs"
    for wrong in ("0", "1.1", "images=2", "photos=0.1", "nan"):
        with pytest.raises(SystemExit) as end:
            experiments.main(["experiment_1", "--scale", wrong, "--list"])
        assert end.value.code == 2


def test_models_without_weights_start_at_random_only_when_asked_to():
    weights = {"MobileNetV2": FOLDER / "x.safetensors"}
    for run in plan(EXPERIMENTS["experiment_3"], Scale(), 1, Start(weights, from_scratch=True)):
        is_mobile = run.options["model"] == "MobileNetV2"
        assert (run.weights is not None) == is_mobile
        assert load_settings(run.base, as_changes(run.changes)).pretrained == is_mobile
    assert all("pretrained" not in run.changes for run in plan(EXPERIMENTS["experiment_3"], Scale(), 1, Start(weights)))


# ---- results

ACCURACY = {0.25: [0.8, 0.9, 1.0], 0.75: [0.5, 0.7, 0.6]}


def machine():
    return {
        "processor": "P",
        "cores": 2,
        "gpu": None,
        "python": "3",
        "libraries": {"torch": "2"},
        "git_commit": "c" * 40,
        "load": 1.5,
    }


@pytest.fixture
def by_hand(tmp_path):
    """An experiment of two variants, three runs each, whose results were written by hand; the last run has none."""
    values = experiment_of(
        vary={"model": ["ShuffleNetV2"], "synthetic_share": list(ACCURACY)},
        measures=[{"kind": "noise", "sigmas": [0, 25]}],
    )
    values["claims"] = [
        {"kind": "best", "says": "a quarter is best", "key": "synthetic_share", "value": 0.25},
        {"kind": "reaches", "says": "near | 100 %", "value": 0.98},
    ]
    experiment = Experiment.model_validate(values)
    runs = plan(experiment, Scale(0.5, 0.5, 0.5), 3, Start())
    for run in runs:
        folder = tmp_path / "runs" / run.place
        (folder / TRAINED).mkdir(parents=True)
        accuracy = ACCURACY[run.options["synthetic_share"]][run.seed]
        epoch = {
            "number": 1,
            "train_loss": 2.0,
            "validation_loss": 1 - accuracy,
            "validation_accuracy": accuracy,
            "images_per_s": 9,
        }
        if run != runs[0]:  # as one of a head alone
            (folder / TRAINED / "epochs.json").write_text(json.dumps([epoch, epoch | {"number": 2}]))
        figures = [Figure("validation", "accuracy", accuracy), Figure("train", "seconds", 60.0)]
        figures += [Figure("noise", f"certainty at sigma {sigma}", accuracy / (1 + sigma)) for sigma in (0, 25)]
        outcome = Outcome(90.0, machine(), {"maps": "not of this network"}, ["it has collapsed"], figures)
        outcome.write(folder / OUTCOME)
    lost = tmp_path / "runs" / runs[-1].place
    (lost / OUTCOME).unlink()
    return gather(
        "mine",
        experiment,
        Scale(0.5, 0.5, 0.5),
        list(changes(experiment, Scale(0.5, 0.5, 0.5), 3)),
        "made up",
        runs,
        tmp_path,
        {runs[-1].place: "out of memory"},
    )


def test_the_table_is_tidy(by_hand, tmp_path):
    write_rows(tmp_path / "results.csv", by_hand.rows)
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["experiment", "variant", "seed", "epoch", "phase", "metric", "value"]
    assert len(rows) == 5 * 4 + 4 * (2 * 4)
    keys = [tuple(row[key] for key in rows[0] if key != "value") for row in rows]
    assert len(set(keys)) == len(keys)
    (row,) = [
        row
        for row in rows
        if row["variant"] == "synthetic_share 0.25"
        and (row["seed"], row["epoch"], row["phase"], row["metric"]) == ("1", "2", "validation", "accuracy")
    ]
    assert float(row["value"]) == 0.9
    assert next(row["value"] for row in rows if row["metric"] == "certainty at sigma 25") == str(0.8 / 26)


def test_the_report_says_mean_deviation_interval_and_what_is_missing(by_hand, tmp_path):
    pictures = draw(by_hand, tmp_path / "figures")
    assert set(pictures) == {"epochs", "final", "noise"}
    for name in [name for files in pictures.values() for name in files]:
        assert cv2.imread(str(tmp_path / "figures" / name)) is not None
    write_report(by_hand, pictures, 12.0, tmp_path / "report.md")
    report = (tmp_path / "report.md").read_text()
    values = ACCURACY[0.25]
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    half = 4.303 * deviation / math.sqrt(3)  # Student's t for 2 degrees of freedom, from a table
    assert f"{mean:.4g} ± {deviation:.2g} ({mean - half:.4g} to {mean + half:.4g})" in report
    assert "5 of 6 runs" in report
    assert "**Scale 0.5.**" in report
    assert "| runs of each variant | 2 | 3 |" in report
    assert "failed: all/ShuffleNetV2_0.75/seed-2: out of memory" in report
    assert "maps does not apply: not of this network" in report
    assert "it has collapsed" in report
    assert "near | 100" not in report.replace("near / 100 %", "")
    assert str(tmp_path) not in report
    for files in pictures.values():
        assert all(f"(figures/{name})" in report for name in files)


def test_over_runs_agrees_with_a_table_of_students_t():
    figures = over([1.0, 2.0, 3.0, 4.0])
    half = 3.182 * statistics.stdev([1, 2, 3, 4]) / 2
    assert figures.low == pytest.approx(2.5 - half, abs=1e-3)
    assert figures.high == pytest.approx(2.5 + half, abs=1e-3)
    assert str(over([1.0, 2.0])) == "1.5 ± 0.71 (two runs)"
    assert math.isnan(over([1.0]).deviation)


# ---- claims

ANY = plan(
    Experiment.model_validate(
        experiment_of(vary={"model": ["ResNet18", "ShuffleNetV2"], "synthetic_share": [0.25, 0.5, 1]})
    ),
    Scale(),
    6,
    Start(),
)


def values_of(function):
    """A value for every run, by its options and seed."""
    return [Value(run, function(run.options, run.seed)) for run in ANY]


def best(value):
    return Best(kind="best", says="x", key="model", value=value)


def test_the_best_is_found_by_pairs_that_differ_in_nothing_else():
    """Shares and seeds differ far more than models do: means of all would not tell."""
    values = values_of(
        lambda options, seed: (
            seed
            + 10 * options["synthetic_share"]
            + (0.1 if options["model"] == "ShuffleNetV2" else 0)
            + 0.01 * (seed % 2)
        )
    )
    assert check(best("ShuffleNetV2"), values).verdict == AGREE
    assert check(best("ResNet18"), values).verdict == DISAGREE
    noisy = values_of(
        lambda options, seed: float(
            np.random.default_rng([seed, len(options["model"]), int(100 * options["synthetic_share"])]).normal()
        )
    )
    assert check(best("ShuffleNetV2"), noisy).verdict == UNDECIDED
    assert (
        check(best("ShuffleNetV2"), [v for v in values if v.run.options["model"] == "ShuffleNetV2"]).verdict
        == UNDECIDED
    )


def test_spread_that_grows_is_told_from_spread_that_does_not():
    wider = Wider(kind="wider", says="x", key="synthetic_share")
    growing = values_of(
        lambda options, seed: 5 - options["synthetic_share"] + options["synthetic_share"] * (seed - 2.5)
    )
    assert check(wider, growing).verdict == AGREE
    assert (
        check(wider, values_of(lambda options, seed: (1.1 - options["synthetic_share"]) * (seed - 2.5))).verdict
        == DISAGREE
    )
    assert check(wider, values_of(lambda options, seed: options["synthetic_share"] + seed)).verdict == UNDECIDED
    assert check(wider, growing[:6]).verdict == UNDECIDED, "one run of each variant has no spread"


def test_a_value_is_reached_only_where_the_interval_says_so():
    reaches = Reaches(kind="reaches", says="x", value=0.9)
    assert check(reaches, values_of(lambda _, seed: 0.95 + 0.001 * seed)).verdict == AGREE
    assert check(reaches, values_of(lambda _, seed: 0.85 + 0.001 * seed)).verdict == DISAGREE
    assert check(reaches, values_of(lambda _, seed: 0.7 + 0.09 * seed)).verdict == UNDECIDED
    assert check(reaches, values_of(lambda _, seed: 0.95)[:6]).verdict == UNDECIDED, "one run has no interval"
    assert check(reaches, []).verdict == UNDECIDED


@given(st.lists(st.floats(0, 1), min_size=len(ANY), max_size=len(ANY)))
def test_two_models_are_never_both_the_best(numbers):
    values = [Value(run, number) for run, number in zip(ANY, numbers, strict=True)]
    verdicts = [check(best(model), values).verdict for model in ("ResNet18", "ShuffleNetV2")]
    assert verdicts in ([UNDECIDED, UNDECIDED], [AGREE, DISAGREE], [DISAGREE, AGREE])


@given(st.floats(0, 100))
def test_noise_has_the_deviation_that_was_asked_for(sigma):
    grey = np.full((1, 1, 100, 100), 128, np.uint8)
    noisy = with_noise(grey, sigma).astype(float)
    if sigma < 30:  # little of it is clipped
        assert noisy.std() == pytest.approx(math.hypot(sigma, 0.29 if sigma > 1 else 0), rel=0.05, abs=0.35)
    assert (with_noise(grey, 0) == grey).all()
    assert with_noise(np.full((1, 1, 8, 8), 255, np.uint8), sigma).max() <= 255


# ---- for real


def test_a_run_that_fails_is_told_from_one_that_does_not(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / WORK).write_text("{}")
    with (tmp_path / "lock").open("ab") as lock:
        ((folder, code),) = here([tmp_path / "bad"], 1, None, lock.fileno(), lambda running: None)
    assert folder.name == "bad"
    assert code != 0


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four classes of different grey, real and synthetic."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for kind, count in (("real", 14), ("synthetic", 4)):
        for label, name in enumerate(CLASSES):
            (root / kind / name).mkdir(parents=True)
            for number in range(count):
                blocks = rng.integers(0, 90, (6, 6)) + 50 * label
                image = cv2.resize(blocks.astype(np.uint8), (48, 40), interpolation=cv2.INTER_NEAREST)
                cv2.imwrite(str(root / kind / name / f"{number}.png"), image)
    (root / "synthetic" / "truth.csv").touch()
    return root


@pytest.mark.timeout(900)
def test_a_study_that_is_killed_goes_on_and_repeats_nothing(photos, tmp_path, capsys):
    """Two runs; all processes are killed while the second trains."""
    small = {
        "model": "DuqCnn",
        "pretrained": False,
        "epochs": 20,
        "batch_size": 8,
        "centroid_size": 8,
        "augmentation": "no_augment",
    }
    small |= {"input.width": 28, "input.height": 28}
    measures = [
        {"kind": "cost"},
        {"kind": "noise", "sigmas": [0, 50]},
        {"kind": "unknown", "data": "labels"},
        {"kind": "maps", "method": "saliency_map", "photos": 2},
    ]
    values = experiment_of(set=small, vary={"synthetic_share": [0.25]}, measures=measures)
    values |= {"real": {"train": 8, "val": 1}}
    path, out = tmp_path / "tiny.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(values))
    command = [
        sys.executable,
        "-m",
        "inspectd_tools.experiments.cli",
        str(path),
        "--out",
        str(out),
        "--scale",
        "images=0.9",
    ]
    command += ["--real", str(photos / "real"), "--synthetic", str(photos / "synthetic")]
    first, second = (out / "runs" / "all" / "0.25" / f"seed-{seed}" for seed in range(2))
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as experiment:
        end_s = time.monotonic() + 240
        while not (second / TRAINED / "epochs.csv").exists():
            assert experiment.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.02)
        os.killpg(experiment.pid, signal.SIGKILL)
    assert (first / OUTCOME).exists()
    assert not (second / OUTCOME).exists()
    assert not (second / TRAINED / "results.json").exists()
    before = {file: file.stat().st_mtime_ns for file in first.rglob("*") if file.is_file()}

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {file: file.stat().st_mtime_ns for file in first.rglob("*") if file.is_file()} == before
    report = (out / "report.md").read_text()
    assert "2 of 2 runs" in report
    assert "scale" in done.stdout.lower()
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["seed"], row["epoch"]) for row in rows if row["phase"] == "train" and row["metric"] == "loss"} == {
        (str(s), str(e)) for s in range(2) for e in range(1, 21)
    }
    found = {(row["phase"], row["metric"]) for row in rows if not row["epoch"]}
    assert {
        ("cost", "GFLOPs"),
        ("noise", "certainty at sigma 50"),
        ("unknown", "AUROC against labels"),
        ("maps", "photos"),
        ("test", "accuracy"),
    } <= found
    assert {path.name for path in (out / "figures").iterdir()} == {
        "epochs-all.png",
        "final.png",
        "noise.png",
        "unknown.png",
        "maps.png",
    }
    provenance = json.loads((second / TRAINED / "provenance.json").read_text())
    assert provenance["n_train"] == 4 * (6 + 2)

    arguments = command[3:]
    assert experiments.main([*arguments[:-6], "--scale", "1", *arguments[-4:]]) == 78
    assert "new --out" in capsys.readouterr().err
    assert experiments.main([*arguments[:-4], "--n_runs", "3", *arguments[-4:-2]]) == 78
    assert "other photos" in capsys.readouterr().err

    speeds = measure(Speed(kind="speed", runs=10), first / TRAINED, out / "data" / "labels.csv", None)
    assert {"PyTorch ms p50", "ONNX Runtime ms p50", "OpenVINO fp32 ms p50"} <= {figure.metric for figure in speeds}
    assert all(figure.value > 0 for figure in speeds)


def test_photos_that_are_not_there_are_asked_for(tmp_path, capsys, photos):
    assert experiments.main(["experiment_4", "--cifar10", str(tmp_path / "none"), "--out", str(tmp_path / "4")]) == 78
    assert "--cifar10" in capsys.readouterr().err
    assert experiments.main(["experiment_1", "--real", str(tmp_path / "none"), "--out", str(tmp_path / "1")]) == 78
    assert "no such folder" in capsys.readouterr().err
