"""Two engines on the same photos: every count against what NumPy says of the same pixels."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspectd.binomial import interval, mcnemar
from inspectd.cli import main
from inspectd.commands.engines.compare import Comparison, Judged
from inspectd.inference.preprocess import InputSpec
from tests.factories import GREY_OF_CLASS, add_guard, edit_manifest, make_toy_bundle, small_label, toy_image, toy_scores

GREYS = {**GREY_OF_CLASS, "unknown_grey": 185}
"""unknown_grey: near enough to no_fail that a lax engine passes some."""
PHOTOS = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for label, grey in GREYS.items():
        (root / label / "monday").mkdir(parents=True)
        for number in range(PHOTOS):
            image = toy_image(grey + 2 * (number - PHOTOS // 2), seed=number)
            cv2.imwrite(str(root / label / "monday" / f"{number}.bmp"), image)
        (root / label / "camera.ivp").write_text("no photo")
    (root / "notes.txt").write_text("no folder")
    return root


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_bundle(tmp_path_factory.mktemp("strict") / "toy", threshold=0.9, backends=["onnxruntime"])


@pytest.fixture(scope="module")
def lax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_bundle(tmp_path_factory.mktemp("lax") / "toy", threshold=0.3, backends=["onnxruntime"])


def expected(photos: Path, greys: Mapping[str, int], threshold: float) -> dict[Path, str]:
    """Photo -> verdict, from the toy engine's formula."""
    spec = InputSpec(width=32, height=24, channels=1, mean=(0.5,), std=(0.5,))
    verdicts = {}
    for path in photos.rglob("*.bmp"):
        scores = toy_scores(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), spec, list(greys.values()))
        named = "pass" if list(greys)[int(np.argmax(scores))] == "no_fail" else "fault"
        verdicts[path] = named if scores.max() >= threshold else "uncertain"
    return verdicts


def compared(capsys: pytest.CaptureFixture[str], a: Path, b: Path, photos: Path) -> Any:
    assert main(["engines", "compare", str(a), str(b), "--data", str(photos), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_count_is_what_numpy_says(
    photos: Path, strict: Path, lax: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = compared(capsys, strict, lax, photos)
    assert result["photos"] == PHOTOS * len(GREYS)
    truth = {"A": expected(photos, GREY_OF_CLASS, 0.9), "B": expected(photos, GREY_OF_CLASS, 0.3)}
    for name, verdicts in truth.items():
        of = {label: [v for path, v in verdicts.items() if path.parts[-3] == label] for label in GREYS}
        found = result["engines"][name]
        assert found["verdicts"] == {label: dict(Counter(said)) for label, said in of.items()}
        errors = {
            "false_accepts_faulty": (sum(of[label].count("pass") for label in GREY_OF_CLASS if label != "no_fail"), 36),
            "false_accepts_unknown": (of["unknown_grey"].count("pass"), 12),
            "false_rejects": (12 - of["no_fail"].count("pass"), 12),
        }
        for kind, (count, n) in errors.items():
            assert found["errors"][kind] == {"errors": count, "n": n, "interval": list(interval(count, n))}
    right = {
        name: {path: (verdict == "pass") == (path.parts[-3] == "no_fail") for path, verdict in verdicts.items()}
        for name, verdicts in truth.items()
    }
    only_a = sum(right["A"][path] and not right["B"][path] for path in right["A"])
    only_b = sum(right["B"][path] and not right["A"][path] for path in right["A"])
    assert 0 < only_a < only_b
    assert result["only_one_is_right"]["together"] == {"A": only_a, "B": only_b, "p_value": mcnemar(only_a, only_b)}
    assert result["only_one_is_right"]["good_labels"]["A"] == 0
    assert result["only_one_is_right"]["all_others"]["B"] == 0


def test_the_tables_show_the_same(photos: Path, strict: Path, lax: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = compared(capsys, strict, lax, photos)
    assert main(["engines", "compare", str(strict), str(lax), "--data", str(photos)]) == 0
    said = capsys.readouterr()
    assert "compare" in said.err
    words = " ".join(said.out.split())
    assert figures["conclusion"] in words
    for name in "AB":
        assert f"{name}: this engine has no guard: it sees gross faults only; a lost character" in words
        assert figures["engines"][name]["has_guard"] is False
    counts = figures["engines"]["B"]["errors"]["false_accepts_unknown"]
    assert f"{counts['errors']} of {counts['n']}" in words
    assert "unknown_grey" in words


def test_a_class_that_one_engine_lacks_is_unknown_to_it(
    photos: Path, strict: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fewer = {name: grey for name, grey in GREY_OF_CLASS.items() if name != "fail_label_crooked_print"}
    small = make_toy_bundle(tmp_path / "toy", grey_of_class=fewer, backends=["onnxruntime"])
    engines = compared(capsys, strict, small, photos)["engines"]
    assert [engines[name]["errors"]["false_accepts_faulty"]["n"] for name in "AB"] == [36, 24]
    assert [engines[name]["errors"]["false_accepts_unknown"]["n"] for name in "AB"] == [12, 24]


def test_what_an_engine_cannot_take_is_not_passed(
    strict: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The region of interest of a single pixel is empty."""
    regional = make_toy_bundle(tmp_path / "toy", backends=["onnxruntime"])
    edit_manifest(regional, lambda values: values["input"]["region"].update(left=0.1, right=0.4, top=0.1, bottom=0.4))
    (tmp_path / "photos" / "no_fail").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "photos" / "no_fail" / "dot.png"), np.full((1, 1), 200, np.uint8))
    result = compared(capsys, strict, regional, tmp_path / "photos")
    assert result["engines"]["B"]["verdicts"] == {"no_fail": {"engine_error": 1}}
    assert result["engines"]["B"]["errors"]["false_rejects"]["errors"] == 1


def test_engines_that_pass_different_classes_are_not_compared(
    photos: Path, strict: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_toy_bundle(tmp_path / "toy", backends=["onnxruntime"])
    edit_manifest(other, lambda values: values.update({"pass_class": "fail_label_half_printed"}))
    assert main(["engines", "compare", str(strict), str(other), "--data", str(photos)]) == 78
    assert "the pass class of A is 'no_fail' and that of B is 'fail_label_half_printed'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: None, "no such folder"),
        (lambda root: root.mkdir(), "has no class folders with photos; give a manifest"),
        (lambda root: (root / "good").mkdir(parents=True), "with no_fail/ and one folder per fault"),
        (lambda root: (root / "no_fail").mkdir(parents=True), "has no class folders with photos"),
    ],
)
def test_photos_that_cannot_be_used(
    strict: Path, lax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, said: str
) -> None:
    make(tmp_path / "photos")
    assert main(["engines", "compare", str(strict), str(lax), "--data", str(tmp_path / "photos")]) == 78
    assert said in capsys.readouterr().err


def test_a_manifest_and_a_folder_with_truth_are_the_same_photos(
    photos: Path, strict: Path, lax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a manifest the test photos count; `truth.csv` names unknowns by their kind."""
    manifest, stream = tmp_path / "labels.csv", tmp_path / "stream"
    rows, truth = ["path,class,split"], ["file,class,kind"]
    stream.mkdir()
    for number, path in enumerate(sorted(photos.rglob("*.bmp"))):
        label = path.parts[-3]
        rows.append(f"{path},{label},test")
        (stream / f"{number}.bmp").symlink_to(path)
        truth.append(f"{number}.bmp,unknown,grey" if label == "unknown_grey" else f"{number}.bmp,{label},")
    rows.append("gone.bmp,no_fail,train")
    manifest.write_text("\n".join(rows))
    (stream / "truth.csv").write_text("\n".join(truth))
    expected = compared(capsys, strict, lax, photos)
    assert compared(capsys, strict, lax, manifest) == compared(capsys, strict, lax, stream) == expected
    manifest.write_text(f"path,class,split\n{next(photos.rglob('*.bmp'))},fail,test")
    assert main(["engines", "compare", str(strict), str(lax), "--data", str(manifest)]) == 78
    assert "has photos of fail, but not of no_fail; needs test photos of the class no_fail" in capsys.readouterr().err


def test_a_broken_photo_is_named(strict: Path, lax: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no_fail" / "broken.png"
    path.parent.mkdir()
    path.write_bytes(b"no image")
    assert main(["engines", "compare", str(strict), str(lax), "--data", str(tmp_path)]) == 78
    assert f"{path}: is not an image" in capsys.readouterr().err


def photos_with(label: str, verdicts: tuple[str, str], count: int) -> list[Judged]:
    return [Judged(label, verdicts)] * count


BOTH_RIGHT = photos_with("no_fail", ("pass", "pass"), 5)


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (BOTH_RIGHT, "Both engines are right on the same photos. Good labels rejected: A 0, B 0 of 10."),
        (photos_with("no_fail", ("pass", "fault"), 5), "A 0, B 5 of 10. This difference can be chance (p = 0.062)."),
        (
            photos_with("no_fail", ("pass", "fault"), 6),
            "A 0, B 6 of 11. This difference is probably not chance (p = 0.031).",
        ),
        (photos_with("no_fail", ("uncertain", "pass"), 9), "A 9, B 0 of 14. This difference is probably not chance"),
        (
            photos_with("fail", ("pass", "uncertain"), 9),
            "Faulty labels passed: A 9, B 0 of 9. This difference is probably not",
        ),
        (
            photos_with("no_fail", ("uncertain", "pass"), 12) + photos_with("other", ("fault", "pass"), 2),
            "Unknown labels passed: A 0, B 2 of 2. This difference can be chance (p = 0.5). Good labels rejected: A 12, B 0",
        ),
        (
            photos_with("no_fail", ("pass", "fault"), 12) + photos_with("other", ("pass", "fault"), 2),
            "Unknown labels passed: A 2, B 0 of 2. This difference can be chance (p = 0.5). Good labels rejected: A 0, B 12",
        ),
    ],
)
def test_one_plain_sentence(judged: list[Judged], said: str) -> None:
    assert said in Comparison(tuple(judged + BOTH_RIGHT), ("fail", "no_fail"), "no_fail").conclusion()


def test_a_guard_counts(tmp_path: Path, lax: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guarded = add_guard(make_toy_bundle(tmp_path / "toy", threshold=0.3, backends=["onnxruntime"]))
    for label, fault in (("no_fail", {}), ("unknown_blot", {"blot_px": 10})):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for seed in range(100, 104):
            cv2.imwrite(str(tmp_path / "photos" / label / f"{seed}.bmp"), small_label(seed=seed, **fault))
    engines = compared(capsys, lax, guarded, tmp_path / "photos")["engines"]
    assert engines["A"]["verdicts"] == {"no_fail": {"pass": 4}, "unknown_blot": {"pass": 4}}
    assert engines["B"]["verdicts"] == {"no_fail": {"pass": 4}, "unknown_blot": {"uncertain": 4}}
    assert main(["engines", "list", str(tmp_path), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["guard"]["fitted_to"] == 12
