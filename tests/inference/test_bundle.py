"""A bundle loads only if every byte of it is the one that was written."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.errors import EngineError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.inference.manifest import FORMAT
from inspectd.inference.sealed import seal
from tests.factories import add_guard, edit_manifest, make_toy_bundle, toy_image

FILES = [
    "engine.yaml",
    "model.onnx",
    "openvino/model.xml",
    "openvino/model.bin",
    "golden/no_fail.png",
    "golden/fail_label_half_printed.png",
]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_bundle(tmp_path_factory.mktemp("engines") / "toy")


def test_a_whole_bundle_loads_and_is_named_by_its_manifest(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.folder == folder
    assert bundle.manifest.name == "toy"
    assert bundle.manifest.classes[-1] == bundle.manifest.pass_class == "no_fail"
    assert bundle.hash == hashlib.sha256((folder / "engine.yaml").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_anywhere_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    for position in (0, len(data) // 3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert name in refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    data = path.read_bytes()
    for length in (0, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert name in refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    message = refusal(folder)
    assert name in message
    assert "No such file" in message


@pytest.mark.parametrize("name", FILES)
def test_what_damage_does_is_said_in_one_sentence(folder: Path, name: str) -> None:
    """Not in a parser's account of where it gave up."""
    path = folder / name
    data = path.read_bytes()
    for damaged in (data[: len(data) // 2], data[:-40], b"", data[:50] + b"\0[{" + data[50:]):
        path.write_bytes(damaged)
        message = refusal(folder)
        assert len(message.splitlines()) == 1
        assert any(word in message for word in ("cut short", "SHA-256 differs", "must contain keys"))


def test_no_folder_at_all_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere")


def test_a_folder_that_links_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "can't be read" in refusal(tmp_path / "loop")


def test_two_swapped_golden_images_are_refused(folder: Path) -> None:
    good, faulty = folder / "golden/no_fail.png", folder / "golden/fail_label_half_printed.png"
    good.rename(folder / "aside")
    faulty.rename(good)
    (folder / "aside").rename(faulty)
    assert "SHA-256 differs" in refusal(folder)


def test_a_threshold_changed_by_hand_is_refused(folder: Path) -> None:
    path = folder / "engine.yaml"
    path.write_bytes(path.read_bytes().replace(b"value: 0.5", b"value: 0.1"))
    assert "damaged, cut short or changed by hand" in refusal(folder)


def test_another_threshold_is_another_engine(folder: Path) -> None:
    before = load_bundle(folder)
    edit_manifest(folder, lambda values: values["threshold"].update(value=0.6))
    after = load_bundle(folder)
    assert after.manifest.threshold.value == 0.6
    assert after.hash != before.hash


@pytest.mark.parametrize("path", ["../outside.png", "/etc/passwd", "golden/../../outside.png", "."])
def test_a_listed_path_must_stay_inside(folder: Path, path: str) -> None:
    outside = folder.parent / "outside.png"
    shutil.copy(folder / "golden/no_fail.png", outside)
    edit_manifest(folder, lambda values: values["golden"][0].update(path=path))
    assert str(folder / "engine.yaml") in refusal(folder)


@pytest.mark.parametrize("link", ["golden/no_fail.png", "openvino", "engine.yaml"])
def test_a_link_out_of_the_bundle_is_refused(folder: Path, link: str) -> None:
    outside = folder.parent / "outside"
    (folder / link).rename(outside)
    (folder / link).symlink_to(outside)
    message = refusal(folder)
    assert link in message
    assert "points outside the bundle" in message


def test_a_link_within_the_bundle_is_fine(folder: Path) -> None:
    (folder / "model.onnx").rename(folder / "model-1.onnx")
    (folder / "model.onnx").symlink_to("model-1.onnx")
    load_bundle(folder)


def test_a_bundle_reached_through_a_link_is_fine(folder: Path) -> None:
    link = folder.parent / "current"
    link.symlink_to(folder)
    assert load_bundle(link).manifest.name == "toy"


def test_a_link_switched_while_its_bundle_loads_changes_nothing(folder: Path) -> None:
    link = folder.parent / "current"
    link.symlink_to(folder)
    bundle = load_bundle(link)
    link.unlink()
    link.symlink_to(make_toy_bundle(folder.parent / "other", grey_of_class={"no_fail": 10, "fail": 200}))
    engine = load_engine(bundle, InferenceConfig(backend="onnxruntime"))
    assert len(engine.infer(engine.preprocess(toy_image("no_fail")))) == 4


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path.name)])
@pytest.mark.parametrize("name", ["golden/no_fail.png", "engine.yaml"])
def test_only_regular_files_count(folder: Path, name: str, make: Callable[[Path], object]) -> None:
    (folder / name).unlink()
    make(folder / name)
    assert name in refusal(folder)


@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_bundles_of_all_formats_load_with_their_guard(folder: Path, version: int) -> None:
    def to(values: dict[str, Any]) -> None:
        values["format"] = version
        if version >= 3:
            for golden in values["golden"]:
                golden["scores"] = dict(zip(values["classes"], golden["scores"], strict=True))

    add_guard(folder)  # format 3 had guards, too, before 4 was made for them
    edit_manifest(folder, to)
    assert load_bundle(folder).manifest.guard is not None


def test_a_newer_format_is_refused_with_what_to_do(folder: Path) -> None:
    edit_manifest(folder, lambda values: values.update(format=FORMAT + 1, files="arranged in ways yet unknown"))
    assert refusal(folder).endswith(
        f"has format {FORMAT + 1}, but this inspectd reads formats up to {FORMAT}: update inspectd"
    )


def test_an_oversized_manifest_is_not_parsed(folder: Path) -> None:
    (folder / "engine.yaml").write_bytes(seal(b"#" * (1 << 20) + b"\n" + (folder / "engine.yaml").read_bytes()))
    assert "larger than" in refusal(folder)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda values: values["threshold"].update(value=1.5),
            "threshold.value: 1.5 is not allowed: must be less than or equal to 1",
        ),
        (lambda values: values["threshold"].update(value=float("nan")), "threshold.value"),
        (lambda values: values.update({"pass_class": "good"}), "'good' is not one of"),
        (lambda values: values.update(classes=["no_fail", "no_fail"]), "a name occurs twice"),
        (lambda values: values.pop("golden"), "golden: missing"),
        (lambda values: values.update(golden=[]), "golden"),
        (lambda values: values["golden"][0].update(scores=[1.0]), "has 1 scores for 4 classes"),
        (lambda values: values.update(treshold=1), "treshold: unknown key; did you mean 'threshold'?"),
        (lambda values: values["input"].update(mean=[0.5, 0.5, 0.5]), "mean needs 1 value(s)"),
        (lambda values: values["input"].update(std=[0.0]), "input.std.0"),
        (lambda values: values["input"]["region"].update(left=0.5, right=0.5), "left must be less than right"),
        (lambda values: values["input"]["region"].update(top=0.9, bottom=0.1), "top less than bottom"),
        (lambda values: values["files"][0].update(sha256="0"), "files.0.sha256"),
        (lambda values: values["files"][0].update(path="a\0b"), "can't be read"),
        (lambda values: values["files"][0].update(path="x" * 5000), "can't be read"),
    ],
)
def test_a_bad_manifest_is_refused_by_key(folder: Path, edit: Callable[[dict[str, Any]], object], said: str) -> None:
    edit_manifest(folder, edit)
    assert said in refusal(folder)


NASTY_YAML = [
    b"",
    b"just words",
    b"- a\n- list",
    b"\xff\xfe\x00",
    b"a: [",
    b"a: \x07",
    b"a: !!timestamp x",
    b"a: !!int ''",
    b"a: !!bool x",
    b"a: 2026-99-99",
    b"a: " + b"9" * 5000,
    b"a: " + b"[" * 20_000,
    b"!!python/object/apply:os.system [true]",
    b"&a [*a]",
    b"? [x]\n: y",
    b"? {x: y}\n: z",
    b"format: .nan",
    b"golden: &g [*g, *g]\nfiles: *g",
]


@pytest.mark.parametrize("text", NASTY_YAML)
def test_nasty_yaml_is_refused_even_when_sealed(folder: Path, text: bytes) -> None:
    (folder / "engine.yaml").write_bytes(seal(text + b"\n"))
    assert "engine.yaml" in refusal(folder)


@st.composite
def damage(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with a piece of it cut out, replaced or inserted; never `data` itself."""
    begin = draw(st.integers(0, len(data)))
    end = draw(st.integers(begin, min(len(data), begin + 8)))
    piece = draw(st.binary(max_size=8).filter(lambda piece: piece != data[begin:end]))
    return data[:begin] + piece + data[end:]


@settings(max_examples=150)
@given(data=st.data())
def test_no_damaged_bundle_loads(pristine: Path, data: st.DataObject) -> None:
    path = pristine / data.draw(st.sampled_from(FILES))
    whole = path.read_bytes()
    damaged = data.draw(damage(whole))
    if damaged == whole:  # a cut inside a run of equal bytes, put back elsewhere
        return
    path.write_bytes(damaged)
    try:
        refusal(pristine)
    finally:
        path.write_bytes(whole)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner))


@settings(max_examples=100)
@given(data=st.data())
def test_whatever_a_sealed_manifest_says_only_engine_errors_come_out(pristine: Path, data: st.DataObject) -> None:
    path = pristine / "engine.yaml"
    whole = path.read_bytes()
    values = yaml.safe_load(whole)
    spoil(values, data)
    path.write_bytes(seal(yaml.safe_dump(values, allow_unicode=True).encode("utf-8", "surrogatepass")))
    try:
        with contextlib.suppress(EngineError):
            engine = load_engine(load_bundle(pristine), InferenceConfig(backend="onnxruntime", threads=1))
            assert engine.infer(engine.preprocess(toy_image("no_fail"))).shape == (len(engine.manifest.classes),)
    finally:
        path.write_bytes(whole)


def spoil(node: Any, data: st.DataObject) -> None:
    """Replaces one value somewhere below `node`."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = data.draw(st.sampled_from(keys))
    if isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
        spoil(node[key], data)
    else:
        node[key] = data.draw(VALUES)


def refusal(folder: Path) -> str:
    with pytest.raises(EngineError) as caught:
        load_bundle(folder)
    return str(caught.value)
