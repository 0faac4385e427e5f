"""What pages say about an engine is what the line's own loader says."""

import pytest
import yaml

from inspectd.errors import ConfigError
from inspectd.inference.bundle import load_bundle
from inspectd.serve.engine_facts import read_engine_facts
from inspectd.shipped import shipped
from tests.factories import make_toy_bundle

FILTER_LABEL = shipped("engines/filter-label")


def test_the_facts_are_those_of_the_bundle():
    bundle = load_bundle(FILTER_LABEL)
    facts = read_engine_facts(FILTER_LABEL, {})
    assert (facts.name, facts.version, facts.hash) == (bundle.manifest.name, bundle.manifest.version, bundle.hash)
    assert (facts.classes, facts.pass_class) == (bundle.manifest.classes, bundle.manifest.pass_class)
    assert set(facts.faults) == set(facts.classes) - {facts.pass_class}


@pytest.mark.parametrize(
    ("backend", "precision", "arithmetic"),
    [
        ("auto", "fp32", "fp32"),
        ("openvino", "int8", "int8"),
        ("openvino", "bf16", "bf16"),
        ("onnxruntime", "auto", "onnxruntime"),
        ("tensorrt", "auto", "tensorrt-fp16"),
    ],
)
def test_the_threshold_is_that_of_the_lines_arithmetic(backend, precision, arithmetic):
    expected = load_bundle(FILTER_LABEL).manifest.threshold_at(arithmetic).value
    assert read_engine_facts(FILTER_LABEL, {"backend": backend, "precision": precision}).threshold == expected


def test_the_recommended_precision_is_the_default():
    manifest = load_bundle(FILTER_LABEL).manifest
    expected = manifest.threshold_at(manifest.recommended_on("openvino")).value
    assert read_engine_facts(FILTER_LABEL, {}).threshold == expected


def test_a_bundle_that_was_replaced_is_read_again(tmp_path):
    link = tmp_path / "active"
    link.symlink_to(make_toy_bundle(tmp_path / "one", name="one"))
    assert read_engine_facts(link, {}).name == "one"
    link.unlink()
    link.symlink_to(make_toy_bundle(tmp_path / "two", name="two"))
    assert read_engine_facts(link, {}).name == "two"


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"engine\.yaml: can't be read"):
        read_engine_facts(tmp_path, {})
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="can't be read"):
        read_engine_facts(tmp_path / "loop", {})
    (tmp_path / "engine.yaml").write_text("name: x\n")
    with pytest.raises(ConfigError, match="not the description of an engine"):
        read_engine_facts(tmp_path, {})


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": [{"backend": "another"}]},
        {"threshold": {"value": 0.5, "alpha": "half"}, "precisions": {}},
        {"threshold": {"value": 0.5, "alpha": 0.01, "confidence": 0.95}, "precisions": {}},
        {"threshold": {"value": float("nan")}, "precisions": {}},
    ],
)
def test_values_that_no_page_could_show_are_refused(tmp_path, change):
    path = make_toy_bundle(tmp_path / "toy") / "engine.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    with pytest.raises(ConfigError, match="not the description of an engine"):
        read_engine_facts(tmp_path / "toy", {})
