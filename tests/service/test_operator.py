"""What the line does when somebody asks it by a signal."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from inspectd.service import operator as module
from inspectd.service.operator import Operator, Signals


@pytest.fixture
def handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_sighup_acknowledges_at_once_also_while_a_reload_runs(
    handlers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the reload has ended, there may be a stop that nobody has seen."""
    told: list[str] = []
    judges = SimpleNamespace(texts=None)
    line: Any = SimpleNamespace(judges=judges, image_size=None, acknowledge=lambda by: told.append("acknowledged"))
    notifier: Any = SimpleNamespace(reloading=lambda: told.append("reload"), ready=lambda: None)

    class Endless:
        judges = None
        refusal = ""
        done = False

        def __init__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(module, "Reload", Endless)
    operator = Operator(tmp_path, cast(Any, None), line, Signals(), None, notifier, cast(Any, None))
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGHUP)
        operator.beat(cast(Any, None))
    assert told == ["acknowledged", "reload", "acknowledged"]
    Endless.done = True
    operator.beat(cast(Any, None))
    operator.beat(cast(Any, None))
    assert told == ["acknowledged", "reload", "acknowledged", "reload"]
