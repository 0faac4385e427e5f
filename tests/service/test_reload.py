"""Reloads of a running line: one at a time, the last one wins, none harms the line, and a stop may come at any moment."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from inspectd.config import load_config
from inspectd.service import reload as module
from inspectd.service.reload import Reload
from tests.factories import add_guard, make_toy_bundle
from tests.faults.plant import Plant

pytestmark = pytest.mark.alone


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path / "plant", rate_hz=20)
    yield plant
    if plant.daemon is not None and plant.daemon.poll() is None:
        plant.kill()


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6])
def test_a_stop_during_a_reload_is_a_clean_stop(plant: Plant, after_s: float) -> None:
    """The thread that loads the engine is inside a native library then, and must not be there when the interpreter ends."""
    plant.engine = make_toy_bundle(plant.folder / "large", width=1024, height=768)
    plant.config["engine"] = "large"
    plant.start()
    assert plant.daemon is not None
    plant.daemon.send_signal(signal.SIGHUP)
    time.sleep(after_s)
    assert plant.stop() == 0, plant.log_text()[-2000:]
    assert plant._query("SELECT * FROM sessions WHERE ended_utc_ns IS NULL") == []
    assert not plant.last_signals()["run_permit"]
    assert "stopped" in plant.log_text()


def test_of_a_hundred_reloads_in_a_second_the_last_wins(plant: Plant) -> None:
    plant.start(until_parts=10)
    assert plant.daemon is not None
    for name in ("first", "last"):
        make_toy_bundle(plant.folder / name, name=name)
    for number in range(100):
        engine = "last" if number == 99 else "first"
        unfinished = plant.config_path.with_suffix(".part")
        unfinished.write_text(yaml.safe_dump({**plant.config, "engine": engine}))
        unfinished.replace(plant.config_path)
        plant.daemon.send_signal(signal.SIGHUP)
        time.sleep(0.01)
    plant.wait_for(lambda: '"engine": "last"' in plant.log_text(), "the last engine")
    before = len(plant.rows())
    plant.wait_for(lambda: len(plant.rows()) > before + 10, "parts with the last engine")
    assert plant.stop() == 0
    plant.assert_books_balance()
    swaps = [line for line in plant.log_text().splitlines() if "engine in use" in line]
    assert '"engine": "last"' in swaps[-1]
    assert len(swaps) < 20
    assert "reload refused" not in plant.log_text()


@pytest.fixture
def config(plant: Plant) -> Path:
    plant.config_path.write_text(yaml.safe_dump(plant.config))
    return plant.config_path


def reloaded(config: Path, image_size: tuple[int, int] | None = None, **gate: Any) -> tuple[Any, list[str]]:
    """The engine, and why it was refused, on a line whose gate has these values."""
    running = load_config(config)
    running = running.model_copy(update={"gate": running.gate.model_copy(update=gate)})
    with capture_logs() as logs:
        reload = Reload(config, running, image_size)
        while not reload.done:
            time.sleep(0.01)
    return reload.judges, [log["error"] for log in logs if log["event"].startswith("reload refused")]


@pytest.mark.parametrize(
    "error", [MemoryError("no memory left"), RecursionError("too deep"), OSError(5, "disk"), KeyError("x")]
)
def test_whatever_a_reload_raises_the_line_goes_on(
    config: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, "load_judges", fail)
    engine, (reason,) = reloaded(config)
    assert engine is None
    assert type(error).__name__ in reason


def test_an_engine_too_slow_for_this_line_is_refused(config: Path) -> None:
    engine, (reason,) = reloaded(config, delay_ms=0.001)
    assert engine is None
    assert "every label would be rejected as late" in reason
    assert reloaded(config)[0] is not None


def test_a_guard_for_images_of_another_size_is_refused(plant: Plant, config: Path) -> None:
    add_guard(plant.engine)
    engine, (reason,) = reloaded(config, image_size=(64, 48))
    assert engine is None
    assert "fitted to images of 160x120 px, but the image has 64x48 px" in reason
    assert reloaded(config, image_size=(160, 120))[0] is not None
    assert reloaded(config)[0] is not None, "the size is not known before the first image"


@pytest.mark.parametrize(
    "text", ["name: 2026-02-30", "a: 1\na: 2", "a: &a [*a]", "x: " + "[" * 5000, "\x00", "", "engine: ''"]
)
def test_a_file_that_can_not_be_read_is_refused(config: Path, text: str) -> None:
    running = load_config(config)
    config.write_text(text)
    with capture_logs() as logs:
        reload = Reload(config, running)
        while not reload.done:
            time.sleep(0.01)
    assert reload.judges is None
    (reason,) = [log["error"] for log in logs if log["event"].startswith("reload refused")]
    assert str(config) in reason
