"""Runs on a cluster, without Ray: what is started again, one process per folder, and what a node must have."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from inspectd.errors import ConfigError, InUseError
from inspectd_tools.experiments.cluster import LOST_CODE, LOST_LIMIT, ClusterError, spread
from inspectd_tools.experiments.launch import Where, launcher
from inspectd_tools.experiments.node import Question, asked, trouble
from inspectd_tools.experiments.on_ray import _reach
from inspectd_tools.experiments.paths import LOG, OUTCOME
from inspectd_tools.experiments.sole import sole
from inspectd_tools.experiments.worker import main as worker


class Scripted:
    """A cluster on which each run ends as its script says, try by try. None: its node dies."""

    def __init__(self, scripts: dict[Path, list[int | None]]) -> None:
        self.scripts = {folder: list(codes) for folder, codes in scripts.items()}
        self.started: list[Path] = []
        self.going: list[Path] = []
        self.is_stopped = False

    def start(self, folder: Path) -> None:
        assert folder not in self.going, "two processes in one folder"
        self.started.append(folder)
        self.going.append(folder)

    def ended(self, within_s: float) -> list[tuple[Path, int | None]]:
        folder = self.going.pop(0)
        return [(folder, self.scripts[folder].pop(0))]

    def stop(self) -> None:
        self.is_stopped = True


def ignore(_: Sequence[Path]) -> None: ...


@given(st.lists(st.lists(st.sampled_from([0, 1, None]), min_size=LOST_LIMIT + 1, max_size=LOST_LIMIT + 1), max_size=5))
def test_only_what_was_lost_is_started_again(
    tmp_path_factory: pytest.TempPathFactory, scripts: list[list[int | None]]
) -> None:
    root = tmp_path_factory.mktemp("runs")
    of = {root / str(number): codes for number, codes in enumerate(scripts)}
    for folder in of:
        folder.mkdir()
    cluster = Scripted(of)
    ended = dict(spread(list(of), cluster, ignore))
    for folder, codes in of.items():
        own = next((code for code in codes if code is not None), None)
        assert ended[folder] == (LOST_CODE if own is None else own)
        assert cluster.started.count(folder) == (codes.index(own) if own is not None else LOST_LIMIT) + 1
    assert cluster.is_stopped


def test_a_run_that_is_lost_again_and_again_fails_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(spread([tmp_path], Scripted({tmp_path: [None] * 9}), ignore)) == [(tmp_path, LOST_CODE)]
    assert "was lost with its node 4 times; is there enough memory for it?" in (tmp_path / LOG).read_text()
    assert "its node died; started again (1 of at most 3 times)" in capsys.readouterr().err


def test_runs_are_stopped_when_the_command_is(tmp_path: Path) -> None:
    cluster = Scripted({tmp_path / "a": [0], tmp_path / "b": [0]})
    runs = spread([tmp_path / "a", tmp_path / "b"], cluster, ignore)
    next(runs)
    assert not cluster.is_stopped
    runs.close()  # type: ignore[attr-defined]
    assert cluster.is_stopped


# ---- one process per folder


def test_a_second_process_waits_and_then_gives_up(tmp_path: Path) -> None:
    with sole(tmp_path), pytest.raises(InUseError, match="another process has been doing this run"), sole(tmp_path, 0):
        pass
    with sole(tmp_path, 0):
        pass


def test_what_another_process_has_done_meanwhile_is_not_done_again(tmp_path: Path) -> None:
    (tmp_path / OUTCOME).touch()
    assert worker([str(tmp_path / "run.json")]) == 0  # the file is not even read
    assert {path.name for path in tmp_path.iterdir()} == {OUTCOME, "lock"}


def test_a_run_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """The parent is killed, so it can't end its child; the kernel does."""
    child = "from inspectd_tools.experiments.sole import *; from pathlib import Path; import time\ndie_with_parent()\n"
    child += f"with sole(Path({str(tmp_path)!r})): Path({str(tmp_path / 'begun')!r}).touch(); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        end_s = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < end_s
            time.sleep(0.02)
        with pytest.raises(InUseError), sole(tmp_path, 0):
            pass
        os.kill(process.pid, signal.SIGKILL)
    with sole(tmp_path, 10):
        pass


# ---- nodes


def ask(question: Question) -> subprocess.CompletedProcess[str]:
    return subprocess.run(question.command(sys.executable), capture_output=True, text=True, check=False)


def test_a_node_with_this_version_and_this_folder_is_taken(tmp_path: Path) -> None:
    with asked(tmp_path) as question:
        answer = ask(question)
    assert (answer.returncode, answer.stdout.strip(), answer.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_can_not_work_says_why(tmp_path: Path) -> None:
    with asked(tmp_path) as question:
        other = Question(question.file, question.secret, "2.0-abc")
        assert trouble(other).startswith("has another version of inspectd or torch")
        elsewhere = Question(tmp_path / "none", question.secret, question.code)
        assert trouble(elsewhere) == f"does not see the folder {tmp_path}; mount it there under the same path"
        same_name = Question(question.file, "another secret", question.code)
        assert "does not see the folder" in trouble(same_name)
    unlocked = tmp_path / "shared"
    unlocked.write_text("secret")
    answer = ask(Question(unlocked, "secret", question.code))
    assert answer.returncode == 78
    assert answer.stdout.startswith(f"does not see locks of other machines in {tmp_path}")


# ---- options


@pytest.mark.parametrize("address", ["", "10.0.0.5", ":6379", "10.0.0.5:", "10.0.0.5:0", "ray://10.0.0.5:x"])
def test_an_address_must_be_one(address: str) -> None:
    with pytest.raises(ConfigError, match="must be local, or host:port"):
        _reach(address)


def test_a_machine_that_does_not_answer_is_named() -> None:
    with pytest.raises(ClusterError, match=r"--ray 127\.0\.0\.1:1: not reachable: Connection refused"):
        _reach("127.0.0.1:1")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (Where(2, None, "auto", "local"), "--jobs: not with --ray"),
        (Where(1, None, "cuda:1", "local"), "give --device cuda"),
    ],
)
def test_options_that_do_not_fit_a_cluster_are_refused(where: Where, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        launcher(where, tmp_path, 0)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'inspectd\[ray\]'"):
        launcher(Where(1, None, "cpu", "local"), tmp_path, 0)


def test_on_a_cluster_auto_is_the_cpu() -> None:
    assert Where(1, None, "auto", "local").device_of_run == "cpu"
    assert Where(1, None, "auto", None).device_of_run == "auto"
    assert Where(1, None, "cuda", "local").device_of_run == "cuda"
