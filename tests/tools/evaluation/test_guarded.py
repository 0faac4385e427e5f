"""The guard of an engine counts in an evaluation as on the line."""

from pathlib import Path

import cv2
import pytest

pytest.importorskip("torch")

from inspectd.errors import EngineError
from inspectd.inference import InferenceConfig, load_bundle
from inspectd_tools.evaluation.model import open_engine
from inspectd_tools.evaluation.photos import photos_for
from inspectd_tools.evaluation.predictions import judge
from tests.factories import GREY_OF_CLASS, add_guard, make_toy_bundle, small_label, toy_image


def verdicts(engine: Path, photos: Path) -> dict[str, str | None]:
    model = open_engine(load_bundle(engine), InferenceConfig(backend="onnxruntime", threads=1))
    judged = judge(model, photos_for(model, photos, "test", []))
    return {str(photo.path.relative_to(photos)): photo.verdict for photo in judged}


def test_a_small_fault_is_uncertain_only_with_a_guard(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name, grey in GREY_OF_CLASS.items():
        (photos / name).mkdir(parents=True)
        cv2.imwrite(str(photos / name / "0.png"), toy_image(grey, width=160, height=120))
    cv2.imwrite(str(photos / "no_fail/0.png"), small_label(seed=100))
    (photos / "unknown_blot").mkdir()
    cv2.imwrite(str(photos / "unknown_blot/0.png"), small_label(seed=100, blot_px=10))
    faults = {f"{name}/0.png": "fault" for name in GREY_OF_CLASS if name != "no_fail"}
    plain = make_toy_bundle(tmp_path / "plain")
    assert verdicts(plain, photos) == {**faults, "no_fail/0.png": "pass", "unknown_blot/0.png": "pass"}
    guarded = add_guard(make_toy_bundle(tmp_path / "guarded"))
    assert verdicts(guarded, photos) == {**faults, "no_fail/0.png": "pass", "unknown_blot/0.png": "uncertain"}
    cv2.imwrite(str(photos / "no_fail/0.png"), toy_image("no_fail"))
    with pytest.raises(
        EngineError, match=r"no_fail/0\.png: the guard of this engine was fitted to images of 160x120 px"
    ):
        verdicts(guarded, photos)
