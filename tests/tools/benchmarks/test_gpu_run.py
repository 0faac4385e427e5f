"""The prepared run for a machine with a GPU: a step that fails or hangs takes nothing from the others."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from inspectd.errors import ConfigError
from inspectd_tools.benchmarks.cli import parser
from inspectd_tools.benchmarks.gpu import packages, run
from inspectd_tools.benchmarks.gpu.plan import STEPS, Place, Step, StepsFailed


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(run, "_STEP", "tests.tools.benchmarks.gpu_steps")
    monkeypatch.setitem(STEPS, "line", Step("hangs", 1.5))
    return Place(tmp_path / "out", "cpu", quick=True, datasets=None)


def test_each_step_ends_on_its_own_and_keeps_what_it_found(place: Place) -> None:
    with pytest.raises(StepsFailed, match=r"swaps failed, line out of time: see .*report\.md"):
        run.measure(place, ["machine", "tests", "swaps", "line", "cifar"], 100, None)
    found = json.loads((place.out / "results.json").read_text())
    outcomes = {step["step"]: step["outcome"] for step in found["steps"]}
    assert outcomes == {
        "machine": "done",
        "tests": "not run",
        "swaps": "failed",
        "line": "out of time",
        "cifar": "done",
    }
    says = {step["step"]: step["says"] for step in found["steps"]}
    assert says["tests"] == "pytest is not installed"
    assert says["swaps"] == "RuntimeError: the GPU is lost"
    child = found["steps"][3]["figures"]["child"]
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]
    page = (place.out / "report.md").read_text()
    assert page.startswith("# a card\n")
    assert "its figures mean nothing" in page
    assert "| 100 | 1.235 |  |" in page
    assert "| 200 |  | a / b |" in page


def test_no_step_begins_after_the_time_for_all(place: Place) -> None:
    with pytest.raises(StepsFailed, match="machine out of time"):
        run.measure(place, ["machine"], 0, None)
    (step,) = json.loads((place.out / "results.json").read_text())["steps"]
    assert (step["outcome"], step["says"]) == ("out of time", "no time was left")


def test_the_last_step_gets_all_the_time_that_is_left(place: Place) -> None:
    with pytest.raises(StepsFailed, match="line out of time"):
        run.measure(place, ["line"], 2.5, None)
    (step,) = json.loads((place.out / "results.json").read_text())["steps"]
    assert 2.3 < step["seconds"] < 4


def test_a_wheel_in_parts_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = []
    monkeypatch.setattr(packages, "_run", lambda command: installed.append(command[-1]))
    with pytest.raises(ConfigError, match="holds no wheel"):
        packages.environment(tmp_path, tmp_path / "out")
    for number, content in enumerate((b"first", b"second")):
        folder = tmp_path / "wheels" / str(11 - number)  # folder 10 sorts before folder 2, and before 11
        folder.mkdir(parents=True)
        (folder / f"large-1-py3-none-any.whl.part-0{number}").write_bytes(content)
    packages.environment(tmp_path / "wheels", tmp_path / "out")
    joined = tmp_path / "out" / "wheels" / "large-1-py3-none-any.whl"
    assert joined.read_bytes() == b"firstsecond"
    assert installed[-1] == str(joined)


def test_every_step_is_known_to_the_command() -> None:
    for name in STEPS:
        assert vars(parser().parse_args(["gpu", "--out", "out", "--step", name]))["step"] == [name]
    assert sum(step.seconds for step in STEPS.values()) <= 440, "of 480; the rest is for the installation of wheels"
