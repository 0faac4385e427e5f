"""TensorRT: what a machine without it says, and which plan and threshold are taken."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from inspectd.errors import EngineError
from inspectd.inference import Bundle, InferenceConfig, load_bundle, load_engine, onnxruntime
from inspectd.inference.base import Backend
from tests.factories import edit_manifest

HAS_TENSORRT = any(importlib.util.find_spec(name) for name in ("tensorrt", "tensorrt_rtx"))


def add_plan(folder: Path, plan: bytes, precision: str = "fp16") -> None:
    (folder / f"{precision}.plan").write_bytes(plan)
    listed = {"path": f"{precision}.plan", "sha256": "", "backend": "tensorrt", "precision": precision}
    edit_manifest(folder, lambda values: values["files"].append(listed))
    edit_manifest(folder)


def test_a_bundle_without_a_plan_says_so(folder: Path) -> None:
    with pytest.raises(EngineError, match="has no tensorrt plan"):
        load_engine(load_bundle(folder), InferenceConfig(backend="tensorrt"))


@pytest.mark.skipif(HAS_TENSORRT, reason="TensorRT is installed")
def test_without_tensorrt_the_error_says_what_to_install(folder: Path) -> None:
    add_plan(folder, b"plan")
    with pytest.raises(EngineError, match=r"pip install 'inspectd\[tensorrt\]'"):
        load_engine(load_bundle(folder), InferenceConfig(backend="tensorrt"))


def test_auto_falls_back_to_the_cpu_but_not_to_nothing(folder: Path) -> None:
    add_plan(folder, b"no plan that any GPU takes")
    assert load_engine(load_bundle(folder), InferenceConfig()).backend_name == "openvino"

    def keep_the_plan_only(values: dict[str, Any]) -> None:
        values["files"] = [file for file in values["files"] if file["backend"] == "tensorrt"]

    edit_manifest(folder, keep_the_plan_only)
    with pytest.raises(
        EngineError, match=f"{folder}: contains only TensorRT plans, which can't be used on this machine"
    ):
        load_engine(load_bundle(folder), InferenceConfig())


def test_int8_takes_no_plan_in_fp16_and_fp32_none_in_int8(folder: Path) -> None:
    add_plan(folder, b"plan")
    with pytest.raises(EngineError, match="has no tensorrt plan in INT8"):
        load_engine(load_bundle(folder), InferenceConfig(backend="tensorrt", precision="int8"))
    edit_manifest(folder, lambda values: values["files"][-1].update(precision="int8"))
    with pytest.raises(EngineError, match="has no tensorrt plan in FP16"):
        load_engine(load_bundle(folder), InferenceConfig(backend="tensorrt", precision="fp32"))


@pytest.mark.parametrize(("moved_by", "threshold"), [(0.0, 0.75), (0.05, 0.5)])
def test_auto_takes_the_plan_in_int8_unless_its_golden_scores_are_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moved_by: float, threshold: float
) -> None:
    """In place of a GPU the CPU answers for both plans."""
    asked: list[str] = []

    def load_on_the_cpu(bundle: Bundle, config: InferenceConfig) -> Backend:
        asked.append(config.precision)
        return onnxruntime.load(bundle, InferenceConfig(precision="fp32"))

    def offer_int8(values: dict[str, Any]) -> None:
        scores = [[score + moved_by for score in golden["scores"]] for golden in values["golden"]]
        own = {"threshold": values["threshold"] | {"value": 0.75}, "golden_scores": scores}
        values["precisions"] = {"tensorrt-int8": own}

    add_plan(folder, b"plan")
    add_plan(folder, b"plan", "int8")
    edit_manifest(folder, offer_int8)
    monkeypatch.setattr("inspectd.inference.tensorrt.load", load_on_the_cpu)
    engine = load_engine(load_bundle(folder), InferenceConfig())
    assert (engine.backend_name, engine.policy.threshold) == ("tensorrt", threshold)
    assert asked == (["int8"] if threshold == 0.75 else ["int8", "fp32"])
    assert load_engine(load_bundle(folder), InferenceConfig(precision="fp32")).policy.threshold == 0.5


def test_a_plan_in_fp16_has_its_own_threshold_where_one_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a GPU the CPU answers."""

    def offer(values: dict[str, Any]) -> None:
        scores = [golden["scores"] for golden in values["golden"]]
        own = {"threshold": values["threshold"] | {"value": 0.75}, "golden_scores": scores}
        values["precisions"] = {"tensorrt-fp16": own}

    add_plan(folder, b"plan")
    monkeypatch.setattr(
        "inspectd.inference.tensorrt.load", lambda bundle, _: onnxruntime.load(bundle, InferenceConfig())
    )
    assert load_engine(load_bundle(folder), InferenceConfig()).policy.threshold == 0.5
    edit_manifest(folder, offer)
    engine = load_engine(load_bundle(folder), InferenceConfig())
    assert (engine.precision, engine.policy.threshold) == ("tensorrt-fp16", 0.75)
    assert load_engine(load_bundle(folder), InferenceConfig(backend="openvino")).policy.threshold == 0.5
