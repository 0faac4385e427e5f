"""`inspectd learn` from reviews on disk to a bundle that the line loads."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from inspectd.cli import main
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.records.reviews import UNKNOWN, Reviews
from tests.learning.product import GOOD, Product, make_engine

LABELS = (GOOD, GOOD, "hole", "scratch", "hole", "unknown_spill")


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Path:
    """A line whose engine has not seen the new lot, and 120 reviews by one person."""
    home = tmp_path_factory.mktemp("plant")
    make_engine(home / "tiny")
    rng = np.random.default_rng(5)
    reviews = Reviews(home / "reviews")
    for part in range(120):
        label = LABELS[rng.integers(len(LABELS))]
        decide(reviews, home, part, label, rng)
    reviews.close()
    values = {
        "engine": "tiny",
        "camera": {"kind": "replay", "source": "images", "max_age_ms": 80},
        "inference": {"threads": 1},
        "gate": {
            "wiring": "pulse_to_reject",
            "delay_ms": 120,
            "width_ms": 30,
            "realtime_priority": 0,
            "output": {"kind": "simulated", "record": "o.jsonl"},
        },
        "journal": {"path": "journal.sqlite"},
    }
    (home / "line.yaml").write_text(yaml.safe_dump(values))
    return home


def decide(reviews: Reviews, home: Path, part: int, label: str, rng: np.random.Generator, by: str = "ann") -> None:
    photo = home / "photo.png"
    cv2.imwrite(str(photo), Product().photo(label, rng, new_lot=part % 2 == 0))
    says = UNKNOWN if label.startswith("unknown") else label
    reviews.decide(part, says, by, photo=photo, t_trigger_utc_ns=10**18 + part)


def learn(plant: Path, capsys: pytest.CaptureFixture[str], *more: object, reviews: str = "reviews", out: str = "out"):
    """Exit code and report."""
    arguments = ["learn", "--config", plant / "line.yaml", "--reviews", plant / reviews, "--out", plant / out, "--json"]
    code = main([*map(str, arguments), *map(str, more)])
    lines = capsys.readouterr().out.splitlines()
    return code, json.loads(lines[-1]) if lines else None


def test_a_proven_engine_is_written_signed_and_runs_on_both_runtimes(plant, capsys):
    assert main(["engines", "keygen", str(plant / "key.pem"), str(plant / "public.pem")]) == 0
    capsys.readouterr()
    code, found = learn(plant, capsys, "--sign", plant / "key.pem")
    assert code == 0, found["reasons"]
    assert found["accepted"]
    assert found["bundle"] == str(plant / "out" / "tiny-1.1.0")
    assert found == json.loads((plant / "out" / "learn.json").read_text())
    assert found["after"]["false_rejects"]["errors"] < found["before"]["false_rejects"]["errors"]
    assert sum(found["photos"]["fit"].values()) + sum(found["photos"]["prove"].values()) == 120
    bundle = load_bundle(Path(found["bundle"]))
    for backend in ("openvino", "onnxruntime"):
        config = InferenceConfig(backend=backend, precision="fp32", signed_by=plant / "public.pem")
        assert load_engine(bundle, config).manifest.version == "1.1.0"
    assert bundle.manifest.training["learned"]["engine"] == "1.0.0"
    (threshold,) = found["changes"]
    assert threshold.endswith(f"and is {bundle.manifest.threshold.value:.3f}.")
    assert threshold in (bundle.folder / "card.md").read_text()
    assert "## Learned from reviewed labels" in (bundle.folder / "card.md").read_text()
    # what was learned is not learned again, and proves nothing
    (plant / "line.yaml").write_text(
        (plant / "line.yaml").read_text().replace("engine: tiny", "engine: out/tiny-1.1.0")
    )
    _, again = learn(plant, capsys, out="again")
    (plant / "line.yaml").write_text(
        (plant / "line.yaml").read_text().replace("engine: out/tiny-1.1.0", "engine: tiny")
    )
    assert again["photos"]["left_out"] == {
        "the engine has learned from it before": sum(found["photos"]["fit"].values())
    }


def test_a_refusal_writes_only_the_report(plant, capsys):
    shutil.copytree(plant / "reviews", plant / "swapped")
    reviews = Reviews(plant / "swapped")
    for one in list(reviews.reviewed()):
        if one.label == GOOD and one.part % 4 == 0:
            reviews.decide(one.part, "hole", "ann", photo=one.photo, t_trigger_utc_ns=one.t_trigger_utc_ns)
    reviews.close()
    code, found = learn(plant, capsys, reviews="swapped", out="refused")
    assert code == 1
    assert not found["accepted"]
    assert found["bundle"] is None
    assert "contradict the others" in found["reasons"][0]
    assert found["doubtful"]
    assert [path.name for path in (plant / "refused").iterdir()] == ["learn.json"]


def test_a_new_class_gets_the_manifest_of_a_training(plant, capsys):
    reader = pytest.importorskip("inspectd_tools.data.manifest")
    shutil.copytree(plant / "reviews", plant / "more")
    reviews = Reviews(plant / "more")
    rng = np.random.default_rng(8)
    for part in range(200, 300):
        decide(reviews, plant, part, "dent", rng)
    reviews.close()
    code, found = learn(plant, capsys, reviews="more", out="training")
    assert code == 1
    assert found["needs_training"]
    manifest = reader.read_manifest(Path(found["training_manifest"]), "train", "val", "test")
    assert "dent" in manifest.classes
    assert GOOD in manifest.classes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plant: ["--reviews", str(plant / "nothing")], "nobody has reviewed a label yet"),
        (lambda plant: ["--config", str(plant / "no.yaml")], "no.yaml"),
    ],
)
def test_wrong_input_is_said(plant, capsys, change, said):
    arguments = ["learn", "--config", str(plant / "line.yaml"), "--reviews", str(plant / "reviews")]
    assert main([*arguments, "--out", str(plant / "none"), *change(plant)]) == 78
    assert said in capsys.readouterr().err
    assert not (plant / "none").exists()
