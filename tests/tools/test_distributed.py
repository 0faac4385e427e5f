"""Two processes under torchrun against one: the same batches, so the same training but for the order of additions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from inspectd_tools.synthetic import cli as synthesize

TRAIN = Path(__file__).parents[2] / "tools" / "train.py"
SMALL = [
    "pretrained=false", "model=DuqCnn", "head_fit=gradient", "epochs=2", "batch_size=16", "centroid_size=8",
    "input.width=28", "input.height=28", "scheduler=none", "lr=0.001", "gamma=0.5",
    "gp_const=0.1", "augmentation=rand_augment", "class_balance=sampling",
]  # fmt: skip


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    assert synthesize.main(["render", str(folder), "--count-per-class", "12", "--unknowns-per-kind", "0"]) == 0
    return folder


def epochs(program: list[str], labels: Path, run: Path) -> list[dict[str, float]]:
    options = [text for setting in SMALL for text in ("--set", setting)]
    command = [sys.executable, *program, str(TRAIN), "filter-label", "--data", str(labels), "--run", str(run), *options]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("decode") == 1
    return json.loads((run / "epochs.json").read_text())


def test_two_processes_train_as_one_does(labels, tmp_path):
    one = epochs([], labels, tmp_path / "one")
    two = epochs(["-m", "torch.distributed.run", "--nproc-per-node", "2", "--"], labels, tmp_path / "two")
    for alone, together in zip(one, two, strict=True):
        for key in ("train_loss", "validation_loss"):
            assert together[key] == pytest.approx(alone[key], rel=0.01)


def test_a_batch_that_cannot_be_shared_is_refused(labels, tmp_path):
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--", str(TRAIN)]
    options = [text for setting in (*SMALL, "batch_size=15") for text in ("--set", setting)]
    arguments = ["filter-label", "--data", str(labels), "--run", str(tmp_path / "run"), *options]
    process = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
    assert process.returncode != 0
    assert "batch_size: 15 is not allowed: it must be a multiple of 2" in process.stderr
