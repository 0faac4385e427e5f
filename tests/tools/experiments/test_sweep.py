"""Sweeps: what is refused, what is run, and how it is ranked."""

import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from inspectd_tools.data.manifest import DataManifest, Photo, read_manifest, write_manifest
from inspectd_tools.experiments import sweep
from inspectd_tools.experiments.ranking import rank
from inspectd_tools.experiments.records import Row
from inspectd_tools.training.run_folder import read_run, trained_with

SMALL = {"model": "DuqCnn", "pretrained": "false", "batch_size": "8", "centroid_size": "8", "epochs": "1"}
SMALL |= {"augmentation": "no_augment", "input.width": "28", "input.height": "28"}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of photos, eight for training, two for validation and two for the test of each."""
    root, rng, photos = tmp_path_factory.mktemp("photos"), np.random.default_rng(0), []
    for label in range(2):
        for number, split in enumerate([*["train"] * 8, *["val"] * 2, *["test"] * 2]):
            path = root / f"{label}-{number}.png"
            cv2.imwrite(str(path), rng.integers(0, 100, (28, 28)).astype(np.uint8) + np.uint8(100 * label))
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            photos.append(Photo(path=path, label=label, split=split, group=path.stem, sha256=digest))  # type: ignore[arg-type]
    write_manifest(DataManifest(("fault", "good"), tuple(photos)), root / "photos.csv")
    return root / "photos.csv"


def arguments(manifest: Path, out: Path, *more: str) -> list[str]:
    changes = [text for key, value in SMALL.items() for text in ("--set", f"{key}={value}")]
    return ["photos", "--data", str(manifest), "--set", "pass_class=good", *changes, "--out", str(out), *more]


@pytest.mark.slow
def test_a_sweep_never_reads_test_photos(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = arguments(manifest, tmp_path, "--vary", "lr=0.01", "--n_runs", "1", "--threads", "1")
    for photo in read_manifest(manifest).of("test"):
        photo.path.rename(photo.path.with_suffix(".away"))
    try:
        assert sweep.main(command) == 0
    finally:
        for photo in read_manifest(manifest).of("test"):
            photo.path.with_suffix(".away").rename(photo.path)
    with (tmp_path / "results.csv").open(newline="") as file:
        assert {row["phase"] for row in csv.DictReader(file)} == {"train", "validation"}
    with (tmp_path / "ranking.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["rank"], row["variant"], row["runs"], row["low"]) == ("1", "lr 0.01", "1", "")
    trained = tmp_path / "runs" / "sweep" / "0.01" / "seed-0" / "training"
    settings, _, _ = read_run(trained)  # what build_engine.py reads
    assert settings.classes == ("fault", "good")
    known = trained_with(trained)
    assert known is not None
    assert [len(known[side]) for side in ("train", "val")] == [16, 4]
    assert "Ranked by validation photos alone" in capsys.readouterr().out

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert sweep.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what is done is not done again"
    fewer = read_manifest(manifest)
    write_manifest(DataManifest(fewer.names, fewer.photos[1:]), manifest.with_name("fewer.csv"))
    assert sweep.main(arguments(manifest.with_name("fewer.csv"), tmp_path, *command[-6:])) == 78
    assert "has other photos" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--vary", "lrr=0.1"], "lrr"),
        (["--vary", "lr=-1,0.1"], "lr"),
        (["--vary", "seed=1,2"], "--n_runs for the seeds"),
        (["--vary", "lr=0.1", "--vary", "lr=0.2"], "give each key once"),
        (["--vary", "lr=0.1", "--weights", "x"], "pretrained: false"),
    ],
)
def test_what_can_not_be_trained_is_refused_before_anything_runs(
    more: list[str], said: str, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep.main(arguments(manifest, tmp_path / "out", *more)) == 78
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["lr", "lr=", "=1", "lr=0.1,0.1", "lr=[", "lr=1: 2: 3"])
def test_values_to_try_are_a_list(text: str, manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        sweep.main(arguments(manifest, tmp_path, "--vary", text))


def test_every_combination_has_every_seed(manifest: Path, tmp_path: Path) -> None:
    given_arguments = arguments(
        manifest, tmp_path, "--vary", "lr=0.01,5e-2", "--vary", "batch_size=4,8", "--n_runs", "3"
    )
    options = sweep.Options(**vars(sweep.parser().parse_args(given_arguments)))
    runs = sweep.plan(options, read_manifest(manifest))
    assert {(run.options["lr"], run.options["batch_size"], run.seed) for run in runs} == {
        (lr, size, seed) for lr in (0.01, 0.05) for size in (4, 8) for seed in range(3)
    }
    assert [run.seed for run in runs] == sorted(run.seed for run in runs), "a sweep that is cut has all combinations"


# ---- ranking

values = st.dictionaries(
    st.sampled_from("abc"), st.dictionaries(st.integers(0, 3), st.sampled_from([0.5, 0.75, 1.0]), min_size=1)
)


def rows_of(found: dict[str, dict[int, float]], phase: str = "validation") -> list[Row]:
    return [
        Row("s", name, seed, None, phase, "accuracy", value) for name, of in found.items() for seed, value in of.items()
    ]


@given(values, values)
def test_the_rank_is_by_the_mean_of_the_validation_alone(
    found: dict[str, dict[int, float]], of_test: dict[str, dict[int, float]]
) -> None:
    ranking = rank(rows_of(found))
    assert repr(rank([*rows_of(found), *rows_of(of_test, "test")])) == repr(ranking)
    assert {one.variant for one in ranking} == set(found)
    means = [one.accuracy.mean for one in ranking]
    assert means == sorted(means, reverse=True)
    assert all(
        (one.rank == other.rank) == (one.accuracy.mean == other.accuracy.mean) for one in ranking for other in ranking
    )


def test_differences_are_paired_by_seed() -> None:
    first, second = rank(rows_of({"b": {0: 0.5, 1: 0.7, 2: 0.9}, "a": {0: 0.6, 1: 0.8, 2: 1.0}}))
    assert (first.variant, first.minus) == ("a", None)
    assert second.minus is not None
    assert second.minus.mean == pytest.approx(-0.1)
    assert second.minus.deviation == pytest.approx(0, abs=1e-9), "the seeds differ far more than a and b"
