"""Run the steps one after the other, each in a process of its own with a time limit, and write the results after each.

So an error that stays with the GPU ends one step only, and a run that is cut off keeps what it has found.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from inspectd.terminal import console
from inspectd_tools.benchmarks.gpu.packages import environment
from inspectd_tools.benchmarks.gpu.plan import STEPS, Place, StepsFailed
from inspectd_tools.benchmarks.gpu.report import as_markdown

_ROOT = Path(__file__).parents[4]
_STEP = "inspectd_tools.benchmarks.gpu.step"
_NOT_RUN = 3
"""Exit code of a step that lacks what it needs."""

Outcome = Literal["done", "not run", "failed", "out of time"]


@dataclass(frozen=True, slots=True)
class Result:
    step: str
    outcome: Outcome
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)
    says: str = ""
    """Why it is not done."""


def measure(place: Place, steps: Sequence[str], seconds: float, wheels: Path | None) -> dict[str, Any]:
    """Run the steps, within `seconds` for all. `place.out` then holds results.json, report.md, and a log of each step.

    Raises StepsFailed in the end if a step failed or took too long.
    """
    end_s = time.monotonic() + seconds
    place = replace(place, out=place.out.resolve())
    place.out.mkdir(parents=True, exist_ok=True)
    python = sys.executable if wheels is None else str(environment(wheels, place.out))
    results: list[Result] = []
    for name in steps:
        left_s = end_s - time.monotonic()
        if name != steps[-1]:
            left_s = min(left_s, STEPS[name].seconds)
        result = (
            _run(python, name, place, left_s) if left_s > 1 else Result(name, "out of time", 0, says="no time was left")
        )
        results.append(result)
        found = {"device": place.device, "quick": place.quick, "steps": [asdict(each) for each in results]}
        (place.out / "results.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
        (place.out / "report.md").write_text(as_markdown(found), encoding="utf-8")
        console().print(f"{name}: {result.outcome} in {result.seconds:.0f} s {result.says}".strip())
    print(f"{place.out / 'report.md'}")
    failed = [f"{each.step} {each.outcome}" for each in results if each.outcome not in ("done", "not run")]
    if failed:
        raise StepsFailed(f"{', '.join(failed)}: see {place.out / 'report.md'}")
    return found


def _run(python: str, name: str, place: Place, limit_s: float) -> Result:
    begin_s = time.monotonic()
    figures, log = place.out / f"{name}.json", place.out / f"{name}.log"
    figures.unlink(missing_ok=True)
    told = place.out / "place.json"
    told.write_text(json.dumps(asdict(place), default=str), encoding="utf-8")
    paths = os.pathsep.join(map(str, (_ROOT, _ROOT / "tools", *filter(None, [os.environ.get("PYTHONPATH")]))))
    with log.open("wb") as said:
        process = subprocess.Popen(
            [python, "-m", _STEP, name, str(told)],
            stdout=said,
            stderr=said,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    outcome: Outcome = (
        "out of time" if code is None else "done" if code == 0 else "not run" if code == _NOT_RUN else "failed"
    )
    words = "" if code == 0 else _last_line(log)
    found = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    return Result(name, outcome, time.monotonic() - begin_s, found, words)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what the step has started too: its daemons and trainings are in its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
