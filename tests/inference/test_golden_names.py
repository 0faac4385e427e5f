"""Golden images know which score is whose: classes in another order, with hashes made anew, are another engine and refused."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from inspectd.errors import EngineError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.inference.manifest import FORMAT
from tests.factories import GREY_OF_CLASS, edit_manifest, make_toy_bundle

ORDERS = [order for order in itertools.permutations(GREY_OF_CLASS) if order != tuple(GREY_OF_CLASS)]
"""Of the four classes, all but the right one."""


def with_names(values: dict[str, Any]) -> None:
    values["format"] = FORMAT
    for golden in values["golden"]:
        golden["scores"] = dict(zip(values["classes"], golden["scores"], strict=True))


def load(folder: Path) -> None:
    load_engine(load_bundle(folder), InferenceConfig(backend="onnxruntime", threads=1))


def test_no_other_order_of_the_classes_loads(tmp_path: Path) -> None:
    folder = make_toy_bundle(tmp_path / "toy")
    edit_manifest(folder, with_names)
    load(folder)
    for order in ORDERS:
        edit_manifest(folder, lambda values, order=order: values.update(classes=list(order)))
        with pytest.raises(EngineError, match="training recorded"):
            load(folder)


def test_without_names_no_order_loads_that_would_pass_a_fault(tmp_path: Path) -> None:
    folder = make_toy_bundle(tmp_path / "toy")
    load(folder)
    for order in (order for order in ORDERS if order[-1] != "no_fail"):
        edit_manifest(folder, lambda values, order=order: values.update(classes=list(order)))
        with pytest.raises(
            EngineError, match="would pass as no_fail: the order of the classes differs from that of the network"
        ):
            load_bundle(folder)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda values: values["golden"][0].update(scores=[0.0] * 4), "without class names"),
        (lambda values: values["golden"][0]["scores"].update(x=0.5), "has 5 scores for 4 classes"),
        (lambda values: values["golden"][0]["scores"].pop("no_fail"), "has 3 scores for 4 classes"),
        (
            lambda values: values.update({"classes": [*values["classes"][:3], "x"], "pass_class": "x"}),
            "the classes are",
        ),
        (
            lambda values: values["golden"][0]["scores"].update(no_fail=float("nan")),
            "golden/fail_label_crooked_print.png",
        ),
        (lambda values: values["golden"][0]["scores"].update(no_fail="1"), "golden.0.scores"),
        (
            lambda values: values["threshold"].update(value=0.0),
            "threshold.value: 0.0 is not allowed: must be greater than 0",
        ),
        (lambda values: values["threshold"].update(value=-0.1), "threshold.value"),
        (lambda values: values["threshold"].update(value=1.01), "threshold.value"),
        (lambda values: values["threshold"].update(value=float("inf")), "threshold.value"),
        (lambda values: values["head"].update(length_scale=0.0), "length_scale"),
        (lambda values: values["head"].update(length_scale=float("inf")), "length_scale"),
        (lambda values: values.update({"pass_class": "other"}), "'other' is not one of"),
        (lambda values: values.update(classes=["a/b", *values["classes"][1:]]), "'a/b' contains a slash"),
        (lambda values: values.update(classes=["=x", *values["classes"][1:]]), "'=x' begins with '='"),
        (lambda values: values["input"].update(channels=True), "channels"),
        (lambda values: values.update(format=True), "format"),
    ],
)
def test_what_names_or_numbers_can_not_be_is_refused(tmp_path: Path, edit: Any, words: str) -> None:
    folder = make_toy_bundle(tmp_path / "toy")
    edit_manifest(folder, with_names)
    edit_manifest(folder, edit)
    with pytest.raises(EngineError) as error:
        load_bundle(folder)
    assert words in str(error.value)


def test_the_shipped_engine_names_its_scores() -> None:
    manifest = load_bundle(Path(__file__).parents[2] / "engines" / "filter-label").manifest
    assert manifest.format >= 3
    assert all(set(golden.scores) == set(manifest.classes) for golden in manifest.golden)


def test_more_threads_than_cores_are_refused_where_they_hang(tmp_path: Path) -> None:
    bundle = load_bundle(make_toy_bundle(tmp_path / "toy"))
    with pytest.raises(EngineError, match=r"inference.threads: 64 is not allowed: this machine has \d+ cores"):
        load_engine(bundle, InferenceConfig(backend="onnxruntime", threads=64))
    assert load_engine(bundle, InferenceConfig(backend="openvino", threads=64)).backend_name == "openvino"
