"""Mutated bundles: none loads whose content differs, and nothing but an EngineError comes out.

A mutation that renews hashes and seal may make another valid bundle; the signature is still that of the old one. 300
in a usual run; INSPECTD_FUZZ=10000 makes 10 000. Mutation n is the same in every run, so that what is found can be found again.
"""

import os
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from inspectd.errors import EngineError
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.inference.sealed import seal
from inspectd.inference.signature import sign, write_keys
from tests.factories import edit_manifest, make_toy_bundle

MUTATIONS = int(os.environ.get("INSPECTD_FUZZ", "300"))
FILES = [
    "engine.yaml",
    "model.onnx",
    "openvino/model.xml",
    "openvino/model.bin",
    "golden/no_fail.png",
    "golden/fail_label_half_printed.png",
]
NASTY: list[Any] = [None, True, -1, 0, 2, 1e308, float("nan"), 2**70, [], {}, [[]]]
NASTY += ["", "\0", "..", "/etc/passwd", "x" * 300]


@pytest.mark.timeout(60 + MUTATIONS // 5)
def test_a_mutated_bundle_is_refused_or_another_valid_one(tmp_path: Path) -> None:
    whole = make_toy_bundle(tmp_path / "whole")
    write_keys(tmp_path / "private.pem", tmp_path / "public.pem")
    sign(load_bundle(whole), tmp_path / "private.pem")
    outcomes: Counter[str] = Counter()
    content = snapshot(whole)
    for number in range(MUTATIONS):
        rng = random.Random(number)
        folder = tmp_path / "mutated"
        shutil.copytree(whole, folder)
        mutate = rng.choice(SEALED + UNSEALED)
        mutate(folder, rng)
        backend = rng.choice(["onnxruntime", "openvino"])
        outcome = load(folder, backend)
        if outcome == "loaded":
            is_same = snapshot(folder) == content
            assert is_same or mutate in SEALED, f"mutation {number}, {mutate.__name__}"
            signed = load(folder, backend, tmp_path / "public.pem")
            assert (signed == "loaded") == is_same, f"mutation {number}, {mutate.__name__}, signed"
            outcome = f"loaded, {'the same' if is_same else 'another bundle'}"
        outcomes[f"{mutate.__name__}: {outcome}"] += 1
        shutil.rmtree(folder)
    print("", *(f"{count:6} {what}" for what, count in sorted(outcomes.items())), sep="\n")
    assert outcomes.total() == MUTATIONS


def load(folder: Path, backend: Any, signed_by: Path | None = None) -> str:
    """Any other exception is the defect that is looked for."""
    try:
        load_engine(load_bundle(folder), InferenceConfig(backend=backend, threads=1, signed_by=signed_by))
    except EngineError:
        return "refused"
    return "loaded"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def flip_bytes(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        damaged[rng.randrange(len(data))] ^= rng.randint(1, 255)
    return bytes(damaged)


def cut_short(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def insert_bytes(data: bytes, rng: random.Random) -> bytes:
    place = rng.randint(0, len(data))
    return data[:place] + rng.randbytes(rng.randint(1, 64)) + data[place:]


def damage_a_file(folder: Path, rng: random.Random, files: Sequence[str] = FILES) -> None:
    path = folder / rng.choice(files)
    path.write_bytes(rng.choice([flip_bytes, cut_short, insert_bytes])(path.read_bytes(), rng))


def damage_a_file_and_seal(folder: Path, rng: random.Random) -> None:
    damage_a_file(folder, rng, FILES[1:])
    edit_manifest(folder)


def swap_files(folder: Path, rng: random.Random) -> None:
    first, second = (folder / name for name in rng.sample(FILES, 2))
    aside = first.rename(folder / "aside")
    second.rename(first)
    aside.rename(second)


def put_something_else_there(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice(FILES)
    path.unlink()
    target = rng.choice(FILES)
    rng.choice([lambda: None, path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(folder / target)])()


def change_a_value(folder: Path, rng: random.Random) -> None:
    path = folder / "engine.yaml"
    *lines, last = path.read_bytes().splitlines(keepends=True)
    values = yaml.safe_load(b"".join(lines))
    spoil(values, rng)
    path.write_bytes(yaml.safe_dump(values, sort_keys=False).encode() + last)


def change_a_value_and_seal(folder: Path, rng: random.Random) -> None:
    edit_manifest(folder, lambda values: spoil(values, rng))


def damage_yaml_and_seal(folder: Path, rng: random.Random) -> None:
    path = folder / "engine.yaml"
    data = bytearray(path.read_bytes().rpartition(b"# sha256")[0])
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.choice(b"\0\t\n !\"#&'*-:?@[]{}|~\xff0e")
    path.write_bytes(seal(bytes(data)))


def spoil(node: Any, rng: random.Random) -> None:
    """Replaces or removes one value somewhere below `node`."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = rng.choice(keys)
    if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
        spoil(node[key], rng)
    else:
        rng.choice([lambda: node.pop(key), lambda: node.__setitem__(key, rng.choice(NASTY))])()


SEALED = [change_a_value_and_seal, damage_yaml_and_seal, damage_a_file_and_seal]
UNSEALED = [damage_a_file, swap_files, put_something_else_there, change_a_value]
