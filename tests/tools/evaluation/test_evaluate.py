"""Evaluation against counts made by hand and against ONNX Runtime on the bundle's own file.

The toy engine's verdict follows from the mean grey level, so that what it must say of each photo is known beforehand.
"""

import csv
import gzip
import hashlib
import importlib.util
import json
import struct
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file

from inspectd.inference import load_bundle
from inspectd_tools.data import prepare as prepare_data
from inspectd_tools.data.manifest import read_manifest
from inspectd_tools.evaluation import cli as evaluate
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training import cli as train
from tests.factories import GREY_OF_CLASS, THRESHOLD, UNKNOWN_GREY, edit_manifest, make_toy_bundle, sha256_of, toy_image

CROOKED, HALF, PARTLY, GOOD = GREY_OF_CLASS
PHOTOS = {
    CROOKED: [CROOKED] * 3 + [GOOD],  # the last one passes
    HALF: [HALF] * 4,
    PARTLY: [PARTLY] * 3 + [HALF],  # the last one is the wrong fault
    GOOD: [GOOD] * 5 + [175, PARTLY],  # the last two don't pass
    "oil": [UNKNOWN_GREY] * 2 + [GOOD] + [PARTLY],
}
BY_TRUTH = {
    CROOKED: {"pass": 1, "fault": 3, "uncertain": 0, "n": 4},
    HALF: {"pass": 0, "fault": 4, "uncertain": 0, "n": 4},
    PARTLY: {"pass": 0, "fault": 4, "uncertain": 0, "n": 4},
    GOOD: {"pass": 5, "fault": 1, "uncertain": 1, "n": 7},
    "oil": {"pass": 1, "fault": 1, "uncertain": 2, "n": 4},
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return make_toy_bundle(tmp_path_factory.mktemp("engine") / "toy")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for number, (folder, contents) in enumerate(PHOTOS.items()):
        (root / folder).mkdir()
        for place, content in enumerate(contents):
            image = toy_image(content, seed=100 * number + place)
            cv2.imwrite(str(root / folder / f"{place}.png"), image)
    (root / "masks" / CROOKED).mkdir(parents=True)
    cv2.imwrite(str(root / "masks" / CROOKED / "0.png"), toy_image(0))
    return root


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Manifest of photos and a run on it."""
    folder = tmp_path_factory.mktemp("labels")
    for number, name in enumerate(GREY_OF_CLASS):
        (folder / "photos" / name).mkdir(parents=True)
        for place in range(20):
            image = toy_image(name, seed=1000 * number + place)
            cv2.imwrite(str(folder / "photos" / name / f"{place}.png"), image)
    assert prepare_data.main([str(folder / "photos"), "--out", str(folder / "labels.csv")]) == 0
    small = ["model=DuqCnn", "input.width=28", "input.height=28", "pretrained=false", "epochs=1", "centroid_size=4"]
    options = [text for setting in small for text in ("--set", setting)]
    data = ["--data", str(folder / "labels.csv"), "--run", str(folder / "run")]
    assert train.main(["filter-label", *data, *options]) == 0
    return folder


def rows_of(out):
    with (out / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def results_of(out):
    return json.loads((out / "results.json").read_text())


def refused(arguments, capsys) -> str:
    assert evaluate.main([str(argument) for argument in arguments]) == 78
    return capsys.readouterr().err


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_an_engine_is_counted_as_by_hand(engine, photos, tmp_path, capsys, backend):
    out = tmp_path / "out"
    assert evaluate.main([str(engine), "--data", str(photos), "--out", str(out), "--backend", backend]) == 0
    results = results_of(out)
    assert results["model"]["backend"] == backend
    assert results["photos"]["unknown"] == {"oil": 4}
    assert results["verdicts"]["threshold"] == THRESHOLD
    assert results["verdicts"]["by_truth"] == BY_TRUTH
    faulty, unknown = results["verdicts"]["false_accepts"]["faulty"], results["verdicts"]["false_accepts"]["unknown"]
    assert (faulty["errors"], faulty["n"], faulty["share"]) == (1, 12, pytest.approx(1 / 12))
    assert (unknown["errors"], unknown["n"]) == (1, 4)
    assert (results["verdicts"]["false_rejects"]["errors"], results["verdicts"]["false_rejects"]["n"]) == (2, 7)
    # published table of Clopper-Pearson: 1 of 4 is 0.0063 to 0.8059
    assert unknown["interval_95"] == pytest.approx([0.0063, 0.8059], abs=1e-4)
    assert results["test"]["recall"][CROOKED] == 3 / 4
    assert results["test"]["confusion"][2] == [0, 1, 3, 0]
    assert results["sheets"] == {"wrong": 3, "false_accepts": 2, "false_rejects": 2}
    said = capsys.readouterr().out
    for words in ("1 of 12 (8.33%", "2 of 7 (28.57%", "false_accepts.png", "verdicts at threshold 0.5000"):
        assert words in said


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_predictions_are_those_of_the_bundles_own_graph(engine, photos, tmp_path, backend):
    out = tmp_path / "out"
    assert evaluate.main([str(engine), "--data", str(photos), "--out", str(out), "--backend", backend]) == 0
    session = onnxruntime.InferenceSession(engine / "model.onnx", providers=["CPUExecutionProvider"])
    rows = rows_of(out)
    assert [row["truth"] for row in rows] == [folder for folder, contents in PHOTOS.items() for _ in contents]
    for row in rows:
        grey = cv2.imread(row["path"], cv2.IMREAD_GRAYSCALE)
        pixels = cv2.resize(grey, (32, 24), interpolation=cv2.INTER_AREA)[None, None]
        (expected,) = session.run(None, {"image": pixels})
        found = [float(row[f"score {name}"]) for name in GREY_OF_CLASS]
        np.testing.assert_allclose(found, expected[0], atol=1e-5)
        assert row["predicted"] == list(GREY_OF_CLASS)[int(expected.argmax())]
        assert float(row["certainty"]) == max(found)
        certain = float(row["certainty"]) >= THRESHOLD
        passes = "pass" if row["predicted"] == GOOD else "fault"
        assert row["verdict"] == (passes if certain else "uncertain")


def test_every_photo_is_annotated_under_its_row(engine, photos, tmp_path):
    out = tmp_path / "out"
    assert evaluate.main([str(engine), "--data", str(photos), "--out", str(out)]) == 0
    for number, row in enumerate(rows_of(out), start=1):
        (path,) = (out / "annotated" / row["truth"]).glob(f"{number:05}-*.jpg")
        page = cv2.imread(str(path)).astype(int)
        assert page.shape[1] == 320
        photo, bar = page[:240], page[240:]
        assert photo.mean() == pytest.approx(cv2.imread(row["path"]).mean(), abs=15)
        red = (photo[..., 2] > 150) & (photo[..., :2].max(2) < 60)
        assert red[:40].sum() > 50
        assert not red[60:].any()
        assert 0.7 < (bar.min(2) > 200).mean() < 0.99


def test_with_a_limit_errors_come_first(engine, photos, tmp_path):
    for limit, expected in ((0, 0), (2, 2), (5, 5), (8, 5), (99, 5)):
        out = tmp_path / str(limit)
        assert evaluate.main([str(engine), "--data", str(photos), "--out", str(out), "--limit", str(limit)]) == 0
        rows = rows_of(out)
        pages = [rows[int(path.name[:5]) - 1] for path in (out / "annotated").rglob("*.jpg")]
        assert len(pages) == min(limit, len(rows))
        errors = [
            row
            for row in pages
            if (row["truth"] in GREY_OF_CLASS and row["truth"] != row["predicted"])
            or (row["truth"] == GOOD) != (row["verdict"] == "pass")
        ]
        assert len(errors) == expected


def test_sheets_show_the_worst_first(engine, photos, tmp_path):
    out = tmp_path / "out"
    assert evaluate.main([str(engine), "--data", str(photos), "--out", str(out)]) == 0
    sheet = cv2.imread(str(out / "false_rejects.png"))
    assert sheet.shape == (284, 6 * 320, 3)
    tiles = [sheet[:240, column : column + 320].mean() for column in range(0, 960, 320)]
    assert tiles == pytest.approx([GREY_OF_CLASS[PARTLY], 175, 255], abs=3)


def test_where_nothing_is_wrong_there_is_no_sheet(engine, tmp_path, capsys):
    for name in GREY_OF_CLASS:
        (tmp_path / "photos" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "photos" / name / "0.png"), toy_image(name))
    out = tmp_path / "out"
    assert evaluate.main([str(engine), "--data", str(tmp_path / "photos"), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.glob("*.png")) == ["certainty.png", "confusion.png"]
    assert results_of(out)["verdicts"]["false_accepts"]["unknown"]["share"] is None
    assert "no such photo" in capsys.readouterr().out


def test_a_manifest_in_another_order_and_with_other_classes(engine, tmp_path):
    """Classes are matched by name; the others are unknown; only the split's photos count."""
    names = ["steel", GOOD, PARTLY, HALF, CROOKED, "unknown_oil"]
    lines = ["path,class,label,split,group,sha256"]
    for label, name in enumerate(names):
        contents = {"test": GREY_OF_CLASS.get(name, UNKNOWN_GREY), "val": GREY_OF_CLASS[CROOKED]}
        for place, (split, content) in enumerate(contents.items()):
            path = tmp_path / f"{name}-{split}.png"
            cv2.imwrite(str(path), toy_image(content, seed=10 * place + label))
            lines.append(f"{path.name},{name},{label},{split},{path.name},{sha256_of(path)}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    out = tmp_path / "out"
    assert evaluate.main([str(engine), "--data", str(tmp_path / "data.csv"), "--out", str(out)]) == 0
    results = results_of(out)
    assert results["test"]["accuracy"] == 1
    assert results["test"]["n"] == 4
    assert results["photos"]["unknown"] == {"steel": 1, "unknown_oil": 1}
    for name in ("steel", "unknown_oil"):
        assert results["verdicts"]["by_truth"][name] == {"pass": 0, "fault": 0, "uncertain": 1, "n": 1}


def test_foreign_photos_are_unknown_whatever_they_are_called(engine, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / GOOD).mkdir()
    cv2.imwrite(str(tmp_path / GOOD / "0.png"), toy_image(GOOD))
    images = np.stack([toy_image(GOOD, width=20, height=20), toy_image(UNKNOWN_GREY, width=20, height=20)])
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", *images.shape)
    (tmp_path / "digits.gz").write_bytes(gzip.compress(header + images.tobytes()))
    arguments = [str(engine), "--data", str(photos), "--unknown", GOOD, "--unknown", "digits.gz", "--out", "out"]
    assert evaluate.main(arguments) == 0
    results = results_of(tmp_path / "out")
    assert results["photos"]["unknown"] == {"oil": 4, str(tmp_path / GOOD): 1, "digits.gz": 2}
    by_truth = results["verdicts"]["by_truth"]
    assert by_truth[GOOD] == BY_TRUTH[GOOD]
    assert by_truth["digits.gz"] == {"pass": 1, "fault": 0, "uncertain": 1, "n": 2}
    assert len(list((tmp_path / "out" / "annotated" / "digits.gz").iterdir())) == 2


def test_a_run_is_worth_what_training_said_of_it(labels, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [str(labels / "run"), "--data", str(labels / "labels.csv"), "--out", str(out), "--calc_speed"]
    assert evaluate.main(arguments) == 0
    expected, results = results_of(labels / "run")["test"], results_of(out)
    assert results["test"]["confusion"] == expected["confusion"]
    assert results["test"]["auroc_errors"] == pytest.approx(expected["auroc_errors"])
    assert "verdicts" not in results
    (speed,) = results["speed"]
    assert (speed["backend"], speed["precision"]) == ("torch", "fp32")
    assert 0 < speed["p50_ms"] <= speed["p99_ms"]
    wrong = sum(row["truth"] != row["predicted"] for row in rows_of(out))
    assert results["sheets"] == {"wrong": wrong, "unknown": 0}
    assert {row["verdict"] for row in rows_of(out)} == {""}
    assert "chose its threshold" not in capsys.readouterr().err


def test_scores_of_a_run_are_those_of_its_weights(labels, tmp_path):
    """More photos than are judged at once, one by one with the normalisation written out."""
    out = tmp_path / "out"
    arguments = ["--data", str(labels / "labels.csv"), "--split", "train", "--out", str(out), "--limit", "0"]
    assert evaluate.main([str(labels / "run"), *arguments]) == 0
    settings = TrainingSettings.model_validate_json((labels / "run" / "settings.json").read_text())
    classifier = Classifier(settings).eval()
    classifier.load_state_dict(load_file(labels / "run" / "weights.safetensors"))
    rows = rows_of(out)
    assert len(rows) == 64
    for row in rows:
        assert Path(row["path"]).parent.name == row["truth"]
        grey = cv2.resize(cv2.imread(row["path"], cv2.IMREAD_GRAYSCALE), (28, 28), interpolation=cv2.INTER_AREA)
        with torch.no_grad():
            expected = classifier(torch.from_numpy((grey[None, None] / 255 - 0.45) / 0.225).float()).exp()[0]
        found = [float(row[f"score {name}"]) for name in GREY_OF_CLASS]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len({row["certainty"] for row in rows}) > 32


def test_photos_that_trained_the_model_or_chose_its_threshold_are_told(labels, photos, tmp_path, capsys):
    arguments = [
        "--data",
        str(labels / "labels.csv"),
        "--split",
        "train",
        "--out",
        str(tmp_path / "out"),
        "--limit",
        "0",
    ]
    assert evaluate.main([str(labels / "run"), *arguments]) == 0
    assert "better than on new photos" in capsys.readouterr().err
    bundle = make_toy_bundle(tmp_path / "toy")
    files = [photos / folder / f"{place}.png" for folder, contents in PHOTOS.items() for place in range(len(contents))]
    digests = "".join(sha256_of(path) for path in files)
    calibration = {"calibration_fingerprint": hashlib.sha256(digests.encode()).hexdigest()}
    edit_manifest(bundle, lambda values: values["threshold"].update(calibration))
    assert evaluate.main([str(bundle), "--data", str(photos), "--out", str(tmp_path / "calibration")]) == 0
    assert "better than on new photos" in capsys.readouterr().err


def test_speed_of_an_engine_on_all_that_it_has_files_for(engine, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert evaluate.main([str(engine), "--data", str(photos), "--out", str(out), "--calc_speed"]) == 0
    rows = {(row["backend"], row["precision"]): row for row in results_of(out)["speed"]}
    assert list(rows) == [("openvino", "fp32"), ("openvino", "bf16"), ("onnxruntime", "fp32")]
    for (_, precision), row in rows.items():
        if "refused" in row:  # no bf16 on this processor, or golden images that it answers otherwise
            assert precision == "bf16"
        else:
            assert row["runs"] == 100
            assert 0 < row["p50_ms"] <= row["p99_ms"]
            assert 0 < row["images_per_s"] <= 2000 / row["p50_ms"]  # half of the runs take at least the median
    assert "100 runs" in capsys.readouterr().out


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="needs TensorRT for RTX: pip install tensorrt-rtx-cu13"
)
def test_an_engine_is_converted_in_a_copy_before_tensorrt_evaluates_it(photos, tmp_path, capsys):
    engine = Path(__file__).parents[3] / "engines" / "filter-label"
    before = {path: path.read_bytes() for path in engine.rglob("*") if path.is_file()}
    out = tmp_path / "out"
    code = evaluate.main([str(engine), "--data", str(photos), "--convert_trt", "--out", str(out)])
    converted = load_bundle(out / "engine").manifest
    assert [file.path for file in converted.files if file.backend == "tensorrt"] == [
        "tensorrt-rtx-sm80-sm86-sm89-sm120-sm121/model.plan"
    ]
    assert {path: path.read_bytes() for path in engine.rglob("*") if path.is_file()} == before
    if not torch.cuda.is_available():
        assert code == 75
        assert "tensorrt: " in capsys.readouterr().err


def test_a_plan_that_nothing_here_can_run_is_named_in_the_speeds(engine, photos, tmp_path):
    bundle = make_toy_bundle(tmp_path / "toy")
    (bundle / "plan").write_bytes(b"no plan")
    plan = {"path": "plan", "sha256": "0" * 64, "backend": "tensorrt", "precision": "fp16"}
    edit_manifest(bundle, lambda values: values["files"].append(plan))
    edit_manifest(bundle)
    out = tmp_path / "out"
    assert evaluate.main([str(bundle), "--data", str(photos), "--out", str(out), "--calc_speed"]) == 0
    row = results_of(out)["speed"][-1]
    assert row["backend"] == "tensorrt"
    assert "tensorrt" in row["refused"]
    assert results_of(out)["model"]["backend"] == "openvino"


def test_an_option_that_was_renamed_is_refused_with_its_new_name(engine, capsys):
    with pytest.raises(SystemExit) as end:
        evaluate.main([str(engine), "--out", "out", "--ood", "photos"])
    assert end.value.code == 2
    assert "--ood: is now called --unknown" in capsys.readouterr().err


def test_a_model_that_cannot_be_used_is_named(labels, engine, photos, tmp_path, capsys):
    out = ["--data", photos, "--out", tmp_path / "out"]
    assert "is neither a run folder of tools/train.py" in refused([tmp_path, *out], capsys)
    assert "has no PyTorch weights" in refused([engine, *out, "--backend", "torch"], capsys)
    assert "--backend openvino" in refused([labels / "run", *out, "--backend", "openvino"], capsys)
    assert "--precision bf16" in refused([labels / "run", *out, "--precision", "bf16"], capsys)
    assert "int8" in refused([engine, *out, "--precision", "int8"], capsys)
    damaged = make_toy_bundle(tmp_path / "damaged")
    (damaged / "model.onnx").write_bytes(b"")
    assert "model.onnx" in refused([damaged, *out], capsys)
    assert not (tmp_path / "out").exists()


def test_weights_that_cannot_be_used_are_named(labels, tmp_path, capsys):
    run, data = tmp_path / "run", ["--data", labels / "labels.csv", "--out", tmp_path / "out"]
    run.mkdir()
    for name in ("settings.json", "provenance.json"):
        (run / name).write_bytes((labels / "run" / name).read_bytes())
    assert "weights.safetensors: no such file" in refused([run, *data], capsys)
    (run / "weights.safetensors").write_bytes(b"\0")
    assert "weights.safetensors: is not a complete safetensors file" in refused([run, *data], capsys)
    weights = load_file(labels / "run" / "weights.safetensors")
    save_file({key: value for key, value in weights.items() if key != "head.weight"}, run / "weights.safetensors")
    assert "weights.safetensors: does not hold the weights" in refused([run, *data], capsys)
    save_file(weights | {"head.sums": torch.full_like(weights["head.sums"], torch.nan)}, run / "weights.safetensors")
    assert "scores are not numbers" in refused([run, *data], capsys)
    (run / "settings.json").write_text("{}")
    assert "settings.json: is not training settings" in refused([run, *data], capsys)
    assert not (tmp_path / "out").exists()


def test_photos_that_cannot_be_used_are_named(engine, photos, labels, tmp_path, capsys):
    out = ["--out", tmp_path / "out"]
    assert "--data: must be given" in refused([engine, *out], capsys)
    assert "no such folder" in refused([engine, "--data", tmp_path / "nowhere", *out], capsys)
    assert "no such class folder" in refused([engine, "--data", photos / "masks", *out], capsys)
    assert "nowhere" in refused([engine, "--data", photos, "--unknown", tmp_path / "nowhere", *out], capsys)
    manifest = read_manifest(labels / "labels.csv")
    lines = (labels / "labels.csv").read_text().splitlines()
    without = [line for line in lines if not (f",{manifest.classes[1]}," in line and ",val," in line)]
    (labels / "few.csv").write_text("\n".join(without))
    message = refused([engine, "--data", labels / "few.csv", "--split", "val", *out], capsys)
    assert "few.csv" in message
    assert f"no photo of the model's class {manifest.classes[1]} in split val" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [["--limit", "-1"], ["--backend", "caffe"], ["--split", "all"]])
def test_wrong_usage(engine, photos, tmp_path, wrong):
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([str(engine), "--data", str(photos), "--out", str(tmp_path / "out"), *wrong])


def test_earlier_results_are_not_overwritten(engine, photos, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([str(engine), "--data", str(photos), "--out", str(tmp_path)])
    assert "exists" in capsys.readouterr().err
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    assert evaluate.main([str(engine), "--data", str(photos), "--out", str(out)]) == 1
    assert f"Not a directory: '{out}'" in capsys.readouterr().err
