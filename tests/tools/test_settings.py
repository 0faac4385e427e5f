"""Training settings: the keys of the thesis, a description of each, and `--set` on all programs alike."""

import re

import pytest

from inspectd.errors import ConfigError
from inspectd_tools.changes import as_changes, changed
from inspectd_tools.settings import TrainingSettings, load_settings, names

THESIS = [
    "model",
    "criterion",
    "optimizer",
    "scheduler",
    "dataset",
    "epochs",
    "batch_size",
    "augmentation",
    "PFM_flag",
    "RBF_flag",
    "gp_const",
    "early_limit",
    "replacement_limit",
]


def test_the_keys_of_the_thesis_have_their_names():
    assert len(THESIS) == 13
    assert set(THESIS) <= TrainingSettings.model_fields.keys()
    assert all(re.search(rf"\b{key}\b", TrainingSettings.__doc__) for key in THESIS)


@pytest.mark.parametrize("key", TrainingSettings.model_fields)
def test_every_key_is_described_in_sentences(key):
    """The reference page is made from these."""
    field = TrainingSettings.model_fields[key]
    text = " ".join((field.description or "").split())
    assert re.fullmatch(r"(\S+ ){4,}\S+\.", text), f"{key}: {text!r} is not a sentence"
    if field.default is None:
        assert "null: " in text, f"{key}: what does null mean?"


@pytest.mark.parametrize("name", names())
def test_every_file_is_valid(name):
    assert load_settings(name, [] if name != "photos" else ["classes=[good, torn]", "pass_class=good"])


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ("a=1", {"a": 1, "b": {"c": [1], "d": 2}}),
        ("a=1e-3", {"a": 0.001, "b": {"c": [1], "d": 2}}),
        ("a=text", {"a": "text", "b": {"c": [1], "d": 2}}),
        ("a=", {"a": None, "b": {"c": [1], "d": 2}}),
        ("b.d=x=y", {"a": 0, "b": {"c": [1], "d": "x=y"}}),
        ("b={d: 3}", {"a": 0, "b": {"c": [1], "d": 3}}),
        ('b={"c": ["\\ud83d\\ude00"]}', {"a": 0, "b": {"c": ["\N{GRINNING FACE}"], "d": 2}}),
        ("a.e=5", {"a": {"e": 5}, "b": {"c": [1], "d": 2}}),
    ],
)
def test_a_change_is_json_or_yaml_and_keeps_all_other_keys(change, result):
    values = {"a": 0, "b": {"c": [1], "d": 2}}
    assert changed(values, [change]) == result
    assert values == {"a": 0, "b": {"c": [1], "d": 2}}


def test_changes_come_back_as_they_were_written():
    values = {"classes": ["no", "1", "\N{GRINNING FACE}"], "lr": 1e-7, "gp_const": None}
    assert changed({}, as_changes(values)) == values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epochs", "--set 'epochs': must be key=value"),
        (
            "pass_class=no",
            "--set pass_class: 'no' is not a JSON or YAML value: .*write true or false, or put it in quotes",
        ),
        ("classes=[good", r"--set classes: '\[good' is not a JSON or YAML value"),
    ],
)
def test_a_change_that_cannot_be_read_is_explained(change, message):
    with pytest.raises(ConfigError, match=message):
        changed({}, [change])


DUQ_CNN = ["model=DuqCnn", "pretrained=false"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["scheduler=MultiStepLR"], "milestones: is empty; MultiStepLR needs at least one epoch"),
        (["scheduler=MultiStepLR", "milestones=[3, 6]"], "milestones: 6 is not reached, because epochs is 5"),
        (
            ["scheduler=MultiStepLR", "milestones=[0]"],
            "milestones.0: 0 is not allowed: must be greater than or equal to 1",
        ),
        (DUQ_CNN, "model: DuqCnn takes images of 28 to 31 px, but input is 256x192 px"),
        ([*DUQ_CNN, "input.width=28", "input.height=27"], "but input is 28x27 px"),
        ([*DUQ_CNN, "input.width=32", "input.height=28"], "but input is 32x28 px"),
        (["lr=Infinity"], "lr: 'Infinity' is not allowed"),
        (["lr=.nan"], "lr: nan is not allowed: must be a finite number"),
        (["epochs=true"], "epochs: True is not allowed: must be a valid integer"),
    ],
)
def test_settings_that_can_not_be_trained_are_refused(changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_settings("filter-label", changes)


@pytest.mark.parametrize("model", ["MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1", "DuqCnn"])
def test_every_network_takes_every_input_that_its_settings_may_have(model):
    torch = pytest.importorskip("torch")
    from inspectd_tools.networks.classifier import Classifier

    sizes = ((28, 28), (31, 30)) if model == "DuqCnn" else ((16, 16), (33, 47), (4096, 16))
    for width, height in sizes:
        sides = [f"input.width={width}", f"input.height={height}"]
        settings = load_settings("filter-label", [f"model={model}", "pretrained=false", *sides])
        with torch.device("meta"):  # only shapes are computed
            assert Classifier(settings)(torch.zeros(2, 1, height, width)).shape == (2, 4)
