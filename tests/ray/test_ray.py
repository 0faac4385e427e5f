"""Experiments on a cluster of two nodes: a node is killed, a command is stopped, and nodes and addresses that can't be used."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("ray")

import yaml

from inspectd_tools.experiments.sole import sole
from tests.ray.conftest import TwoNodes

OF_TIME = (",images/s,", ",seconds,")
"""Metrics that differ between two equal runs."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Command of an experiment with four runs of a few seconds each; --out is missing."""
    root, rng = tmp_path_factory.mktemp("toy"), np.random.default_rng(0)
    for kind, count in (("real", 14), ("synthetic", 4)):
        for label in range(4):
            name = ("fail_label_crooked_print", "fail_label_half_printed", "fail_label_not_fully_printed", "no_fail")[
                label
            ]
            (root / kind / name).mkdir(parents=True)
            for number in range(count):
                blocks = rng.integers(0, 150, (6, 6)) + 30 * label
                image = cv2.resize(blocks.astype(np.uint8), (48, 40), interpolation=cv2.INTER_NEAREST)
                cv2.imwrite(str(root / kind / name / f"{number}.png"), image)
    (root / "synthetic" / "truth.csv").touch()
    small = {"model": "DuqCnn", "pretrained": False, "epochs": 30, "batch_size": 8, "centroid_size": 8}
    small |= {"augmentation": "no_augment", "input.width": 28, "input.height": 28}
    part = {"title": "toy", "base": "filter-label", "train": {"photos": 8}, "val": {"photos": 1}}
    part |= {"set": small, "vary": {"lr": [0.01, 0.05]}}
    values = {"question": "?", "thesis": "-", "runs": 2, "real": {"train": 8, "val": 1}, "parts": {"all": part}}
    (root / "toy.yaml").write_text(yaml.safe_dump(values))
    photos = ["--real", str(root / "real"), "--synthetic", str(root / "synthetic")]
    return [sys.executable, "-m", "inspectd_tools.experiments.cli", str(root / "toy.yaml"), *photos]


def wait_for(what: Callable[[], bool], within_s: float = 60) -> None:
    end_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def figures(out: Path) -> list[str]:
    lines = (out / "results.csv").read_text().splitlines()
    return [line for line in lines if not any(metric in line for metric in OF_TIME)]


def training(out: Path) -> list[Path]:
    """Folders of the runs that have trained an epoch and are not done."""
    begun = [path.parent.parent for path in out.glob("runs/*/*/*/training/epochs.csv")]
    return [folder for folder in begun if not (folder / "outcome.json").exists()]


def test_a_node_is_killed_and_the_results_are_the_same(nodes: TwoNodes, toy: list[str], tmp_path: Path) -> None:
    alone, out = tmp_path / "alone", tmp_path / "out"
    subprocess.run([*toy, "--out", str(alone), "--threads", "1", "--jobs", "2"], check=True, capture_output=True)
    nodes.start("second")
    command = [*toy, "--out", str(out), "--ray", nodes.address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as experiment:
        wait_for(lambda: len(training(out)) == 2)
        nodes.kill("second")
        said = experiment.communicate(timeout=200)[1]
    assert experiment.returncode == 0, said
    assert said.count("its node died; started again (1 of at most 3 times)") == 1
    assert figures(out) == figures(alone)
    assert len(figures(out)) > 4 * 30 * 3


def test_nothing_goes_on_after_ctrl_c_and_the_same_command_goes_on(
    nodes: TwoNodes, toy: list[str], tmp_path: Path
) -> None:
    command = [*toy, "--out", str(tmp_path), "--ray", nodes.address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as experiment:
        wait_for(lambda: len(training(tmp_path)) == 1)
        (folder,) = training(tmp_path)
        experiment.send_signal(signal.SIGINT)
        said = experiment.communicate(timeout=60)[1]
    assert experiment.returncode == 130, said
    assert "experiments: stopped; the same command continues from here" in said
    with sole(folder, 5):  # no process has it
        assert not (folder / "outcome.json").exists()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "4 of 4 runs" in (tmp_path / "report.md").read_text()


def test_a_node_that_can_not_do_the_runs_is_named(nodes: TwoNodes, toy: list[str], tmp_path: Path) -> None:
    without, old = tmp_path / "without", tmp_path / "old"
    (without / "inspectd_tools").mkdir(parents=True)
    missing = "raise ModuleNotFoundError(\"No module named 'inspectd_tools'\")\n"
    (without / "inspectd_tools" / "__init__.py").write_text(missing)
    nodes.start("second", python_path=str(without))
    command = [*toy, "--out", str(tmp_path / "out"), "--ray", nodes.address]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 75
    assert "127.0.0.2: inspectd's tools are not installed there" in refused.stderr
    assert "install the same version as here" in refused.stderr
    nodes.kill("second")

    root = Path(__file__).parents[2]
    for source in (root / "inspectd", root / "tools" / "inspectd_tools"):
        shutil.copytree(source, old / source.name)
    with (old / "inspectd_tools" / "cli.py").open("a") as file:
        file.write("# changed\n")
    nodes.start("second", python_path=str(old))
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 75
    assert "127.0.0.2: has another version of inspectd or torch" in refused.stderr

    stranger = os.environ | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    refused = subprocess.run(command, capture_output=True, text=True, check=False, env=stranger)
    assert f"--ray {nodes.address}: the cluster asks for its token" in refused.stderr

    refused = subprocess.run([*command, "--threads", "64"], capture_output=True, text=True, check=False)
    assert "a run needs a node with 64 core(s), but the cluster has: 1 core(s)" in refused.stderr
    assert not (tmp_path / "out" / "data").exists()


def test_a_port_that_is_not_ray_is_not_waited_for(toy: list[str], tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        command = [*toy, "--out", str(tmp_path), "--ray", address]
        refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert refused.returncode == 75
    assert f"--ray {address}: what listens there is not the head of a Ray cluster" in refused.stderr


def test_a_cluster_of_this_machine_alone(toy: list[str], tmp_path: Path) -> None:
    command = [*toy, "--out", str(tmp_path), "--ray", "local", "--n_runs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs" in (tmp_path / "report.md").read_text()
