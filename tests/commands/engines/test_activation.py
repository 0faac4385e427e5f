"""A line's link is switched whole or not at all, only to what loads, and the way back is kept."""

import contextlib
import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import cv2
import pytest
import yaml

from inspectd.cli import main
from inspectd.errors import JournalError
from inspectd.inference import load_bundle
from inspectd.records.reading import open_for_reading
from tests.factories import add_guard, edit_manifest, make_toy_bundle, toy_image

pytestmark = pytest.mark.slow

CUT_OFF = """
import os, signal, sys
from inspectd.cli import main

folder, steps = sys.argv[1], int(sys.argv[2])

def cut(event, arguments):
    global steps
    if event in ("os.symlink", "os.rename", "os.remove") and folder in str(arguments):
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        steps -= 1

sys.addaudithook(cut)
sys.exit(main(["engines", *sys.argv[3:]]))
"""
"""Runs a verb and kills it before its step n in the folder."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """toy-1.0.0, toy-1.1.0 and toy-1.2.0"""
    folder = tmp_path_factory.mktemp("bundles")
    for minor in range(3):
        make_toy_bundle(folder / f"toy-1.{minor}.0", version=f"1.{minor}.0", backends=["onnxruntime"])
    return folder


@pytest.fixture
def home(bundles: Path, tmp_path: Path) -> Path:
    """A folder with copies of the three, in which links are made."""
    return Path(shutil.copytree(bundles, tmp_path / "engines"))


def engines(*arguments: object) -> int:
    return main(["engines", *map(str, arguments)])


def version(link: Path) -> str:
    return load_bundle(link).manifest.version


def test_there_and_back(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = home / "toy"
    assert engines("activate", link, home / "toy-1.0.0") == 0
    assert engines("activate", link, home / "toy-1.1.0") == 0
    assert (str(link.readlink()), str((home / "toy.previous").readlink())) == ("toy-1.1.0", "toy-1.0.0")
    assert engines("rollback", link) == 0
    assert str(link.readlink()) == "toy-1.0.0"
    out = capsys.readouterr().out
    assert f"{link} -> toy-1.0.0 (toy 1.0.0); before: toy-1.1.0" in out
    assert out.count("systemctl reload inspectd") == 3
    assert sorted(path.name for path in home.iterdir()) == ["toy", "toy-1.0.0", "toy-1.1.0", "toy-1.2.0"]


def test_only_a_guard_that_gives_its_golden_scores_is_activated(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = home / "toy"
    add_guard(home / "toy-1.0.0")
    assert engines("activate", link, home / "toy-1.0.0") == 0
    add_guard(home / "toy-1.1.0")
    edit_manifest(home / "toy-1.1.0", lambda values: values["guard"]["golden_scores"][3].__setitem__(0, 9.0))
    assert engines("activate", link, home / "toy-1.1.0") == 78
    assert "golden/no_fail.png: the guard gives print the score" in capsys.readouterr().err
    assert version(link) == "1.0.0"


def _learned_from(home: Path, folder: str, other: str) -> None:
    learned = {"engine": "1.0.0", "engine_hash": load_bundle(home / other).hash}
    edit_manifest(home / folder, lambda values: values["training"].update(learned=learned))


def test_a_learned_engine_follows_only_the_engine_that_it_was_proven_against(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = home / "toy"
    _learned_from(home, "toy-1.1.0", "toy-1.0.0")
    _learned_from(home, "toy-1.2.0", "toy-1.1.0")
    for other in ("toy-1.0.0", "toy-1.1.0", "toy-1.2.0"):
        assert engines("activate", link, home / other) == 0
    assert engines("rollback", link) == 0, "the way back is always open"
    link.unlink()
    assert engines("activate", link, home / "toy-1.0.0") == 0
    capsys.readouterr()
    assert engines("activate", link, home / "toy-1.2.0") == 78
    proven, active = (load_bundle(home / each).hash[:12] for each in ("toy-1.1.0", "toy-1.0.0"))
    said = capsys.readouterr().err
    assert f"is proven not worse than 1.0.0 ({proven})" in said
    assert f"points to toy 1.0.0 ({active}). Activate 1.0.0 ({proven}) first" in said
    assert version(link) == "1.0.0"
    shutil.rmtree(home / "toy-1.0.0")
    assert engines("activate", link, home / "toy-1.1.0") == 78
    assert "the active engine can't be compared" in capsys.readouterr().err
    link.unlink()
    assert engines("activate", link, home / "toy-1.2.0") == 0, "there is no engine that it could be worse than"


@pytest.mark.parametrize("learned", [{}, [], "1.0.0", {"engine_hash": 7}, {"engine_hash": ""}])
def test_a_learned_engine_that_names_no_other_one_is_not_activated(
    home: Path, capsys: pytest.CaptureFixture[str], learned: object
) -> None:
    edit_manifest(home / "toy-1.1.0", lambda values: values["training"].update(learned=learned))
    assert engines("activate", home / "toy", home / "toy-1.0.0") == 0
    assert engines("activate", home / "toy", home / "toy-1.1.0") == 78
    assert "not worse than" in capsys.readouterr().err


def test_one_step_back_is_remembered_and_no_more(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = home / "toy"
    engines("activate", link, home / "toy-1.0.0")
    assert engines("rollback", link) == 78
    assert "there is no bundle to go back to" in capsys.readouterr().err
    for number in (1, 2):
        engines("activate", link, home / f"toy-1.{number}.0")
    assert engines("rollback", link) == 0
    assert engines("rollback", link) == 78
    assert version(link) == "1.1.0"


def test_activating_the_active_one_keeps_the_way_back(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = home / "toy"
    engines("activate", link, home / "toy-1.0.0")
    engines("activate", link, home / "toy-1.1.0")
    capsys.readouterr()
    assert engines("activate", link, home / "toy-1.1.0") == 0
    assert engines("activate", link, link) == 0
    assert "already" in capsys.readouterr().out
    assert engines("rollback", link) == 0
    assert version(link) == "1.0.0"


def test_a_bundle_elsewhere_is_named_in_full(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "etc" / "toy"
    link.parent.mkdir()
    monkeypatch.chdir(home)
    assert engines("activate", link, "toy-1.0.0") == 0
    assert str(link.readlink()) == str(home / "toy-1.0.0")


def test_a_folder_of_links_reached_through_a_link(home: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(home)
    assert engines("activate", tmp_path / "alias" / "toy", home / "toy-1.0.0") == 0
    assert str((home / "toy").readlink()) == "toy-1.0.0"


def test_a_damaged_bundle_is_not_activated(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = home / "toy"
    engines("activate", link, home / "toy-1.0.0")
    (home / "toy-1.1.0" / "model.onnx").write_bytes(b"")
    assert engines("activate", link, home / "toy-1.1.0") == 78
    assert "model.onnx" in capsys.readouterr().err
    assert version(link) == "1.0.0"
    assert not os.path.lexists(home / "toy.previous")


def forget_golden_scores(folder: Path) -> None:
    edit_manifest(folder, lambda values: values["golden"][0].update(scores=[0.5] * 4))


def test_a_bundle_that_answers_otherwise_than_recorded_is_not_activated(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_golden_scores(home / "toy-1.0.0")
    assert engines("activate", home / "toy", home / "toy-1.0.0") == 78
    assert "training recorded 0.5" in capsys.readouterr().err
    assert not (home / "toy").is_symlink()


@pytest.mark.parametrize(
    "spoil", [lambda path: (path / "model.onnx").write_bytes(b""), shutil.rmtree, forget_golden_scores]
)
def test_no_rollback_to_what_does_not_load(
    home: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], object]
) -> None:
    link = home / "toy"
    engines("activate", link, home / "toy-1.0.0")
    engines("activate", link, home / "toy-1.1.0")
    spoil(home / "toy-1.0.0")
    assert engines("rollback", link) == 78
    assert "toy-1.0.0" in capsys.readouterr().err
    assert version(link) == "1.1.0"


def test_a_dangling_link_is_replaced_but_not_remembered(home: Path) -> None:
    link = home / "toy"
    engines("activate", link, home / "toy-1.0.0")
    engines("activate", link, home / "toy-1.1.0")
    shutil.rmtree(home / "toy-1.1.0")
    assert engines("activate", link, home / "toy-1.2.0") == 0
    assert engines("rollback", link) == 0
    assert version(link) == "1.0.0"


@pytest.mark.parametrize("name", ["toy", "toy.previous"])
@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_only_links_are_replaced(
    home: Path, capsys: pytest.CaptureFixture[str], name: str, make: Callable[[Path], object]
) -> None:
    make(home / name)
    assert engines("activate", home / "toy", home / "toy-1.0.0") == 78
    assert f"{home / name}: is not a symbolic link" in capsys.readouterr().err
    assert not (home / name).is_symlink()


def test_the_folder_of_the_link_must_be_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert engines("activate", home / "nowhere" / "toy", home / "toy-1.0.0") == 78
    assert f"{home / 'nowhere'}: No such file" in capsys.readouterr().err


def test_a_running_line_follows_the_link_at_each_reload(home: Path) -> None:
    link = home / "toy"
    engines("activate", link, home / "toy-1.0.0")
    (home / "images").mkdir()
    for number in range(2):
        cv2.imwrite(str(home / "images" / f"{number}.png"), toy_image("no_fail", seed=number))
    config = write_config(home, {"threads": 1}, camera={"rate_hz": 20, "forever": True})
    line = subprocess.Popen([sys.executable, "-m", "inspectd", "run", "--config", str(config)])
    try:
        wait_for_parts(home, "toy-1.0.0")
        engines("activate", link, home / "toy-1.1.0", "--config", config)
        line.send_signal(signal.SIGHUP)
        wait_for_parts(home, "toy-1.1.0")
        engines("rollback", link, "--config", config)
        line.send_signal(signal.SIGHUP)
        wait_for_parts(home, "toy-1.0.0")
    finally:
        line.terminate()
    assert line.wait(30) == 0


def wait_for_parts(home: Path, name: str) -> None:
    """Until the last part of the line's journal was judged by this engine."""
    wanted = load_bundle(home / name).hash
    last = "SELECT hash FROM parts JOIN engines ON engine = engines.id ORDER BY parts.id DESC LIMIT 1"
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        with (
            contextlib.suppress(JournalError, sqlite3.Error),
            closing(open_for_reading(home / "journal.sqlite")) as journal,
        ):
            if [row["hash"] for row in journal.execute(last)] == [wanted]:
                return
        time.sleep(0.1)
    pytest.fail(f"no part was judged by {name}")


def test_with_a_config_the_bundle_must_run_on_that_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(home, {"backend": "openvino"})  # the bundles have model.onnx alone
    assert engines("activate", home / "toy", home / "toy-1.0.0", "--config", config) == 78
    assert "openvino at fp32 needs exactly one .xml file" in capsys.readouterr().err
    assert not os.path.lexists(home / "toy")
    config = write_config(home, {"backend": "onnxruntime"})
    assert engines("activate", home / "toy", home / "toy-1.0.0", "--config", config) == 0
    assert engines("activate", home / "other", home / "toy-1.0.0", "--config", config) == 78
    assert f"engine: is {home / 'toy'}, not {home / 'other'}" in capsys.readouterr().err


def write_config(home: Path, inference: dict[str, object], camera: Mapping[str, object] = MappingProxyType({})) -> Path:
    values = {
        "engine": "toy",
        "camera": {"kind": "replay", "source": "images", "max_age_ms": 80, **camera},
        "inference": inference,
        "gate": {
            "wiring": "pulse_to_reject",
            "delay_ms": 120,
            "width_ms": 30,
            "realtime_priority": 0,
            "output": {"kind": "simulated", "record": "o.jsonl"},
        },
        "journal": {"path": "journal.sqlite"},
    }
    path = home / "line.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def cut_off(home: Path, step: int, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CUT_OFF, home, step, *arguments]
    return subprocess.Popen(list(map(str, command)), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_killed_at_any_step_activate_leaves_old_or_new_and_can_be_repeated(bundles: Path, tmp_path: Path) -> None:
    steps = 6
    homes = [Path(shutil.copytree(bundles, tmp_path / str(step))) for step in range(steps + 1)]
    for home in homes:
        engines("activate", home / "toy", home / "toy-1.0.0")
        engines("activate", home / "toy", home / "toy-1.1.0")
    runs = [cut_off(home, step, "activate", home / "toy", home / "toy-1.2.0") for step, home in enumerate(homes)]
    for run in runs:
        run.communicate()
    assert [run.returncode for run in runs] == [-signal.SIGKILL] * steps + [0]
    assert [version(home / "toy") for home in homes] == ["1.1.0"] * steps + ["1.2.0"]
    before = [version(home / "toy.previous") for home in homes]
    assert before == sorted(before)
    assert set(before) == {"1.0.0", "1.1.0"}
    for home in homes:
        assert engines("activate", home / "toy", home / "toy-1.2.0") == 0
        assert version(home / "toy") == "1.2.0"
        assert engines("rollback", home / "toy") == 0
        assert version(home / "toy") == "1.1.0"
        assert not list(home.glob(".*"))


def test_killed_before_its_one_step_rollback_has_done_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = home / "toy"
    engines("activate", link, home / "toy-1.0.0")
    engines("activate", link, home / "toy-1.1.0")
    run = cut_off(home, 0, "rollback", link)
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert version(link) == "1.1.0"
    run = cut_off(home, 1, "rollback", link)
    run.communicate()
    assert run.returncode == 0
    assert version(link) == "1.0.0"


def test_a_reader_always_finds_a_whole_engine(home: Path) -> None:
    link = home / "toy"
    engines("activate", link, home / "toy-1.0.0")
    done = threading.Event()

    def read() -> set[str]:
        seen = set()
        while not done.is_set():
            seen.add(version(link))
        return seen

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(read)
        for number in range(12):
            engines("activate", link, home / f"toy-1.{number % 3}.0")
        done.set()
        seen = reader.result()
    assert len(seen) == 3


def test_two_commands_at_a_time_take_turns(home: Path) -> None:
    descriptor = os.open(home, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    command = threading.Thread(target=engines, args=("activate", home / "toy", home / "toy-1.0.0"))
    command.start()
    command.join(1)
    assert command.is_alive()
    assert not os.path.lexists(home / "toy")
    os.close(descriptor)
    command.join()
    assert version(home / "toy") == "1.0.0"
