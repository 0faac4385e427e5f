"""One step, in a process of its own: `python -m inspectd_tools.benchmarks.gpu.step NAME PLACE.json`. Writes NAME.json.

Exit codes: 0 done, 3 this machine lacks what the step needs, 1 it failed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from inspectd_tools.benchmarks.gpu.plan import STEPS, NotRun, Place
from inspectd_tools.cli import new_parser

_MODULES = {
    "machine": "machine",
    "tests": "machine",
    "parity": "engines",
    "swaps": "engines",
    "lost": "lost",
    "line": "line",
    "step": "training",
    "faster": "faster",
    "fashion": "training",
    "cifar": "training",
}


@dataclass(frozen=True, slots=True)
class Options:
    name: str
    place: Path


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__)
    program.add_argument("name", choices=STEPS)
    program.add_argument("place", type=Path, help="place.json, written by tools/benchmark.py gpu")
    return program


def main(arguments: list[str] | None = None) -> int:
    options = Options(**vars(parser().parse_args(arguments)))
    told = json.loads(options.place.read_text(encoding="utf-8"))
    datasets = told["datasets"] and Path(told["datasets"])
    place = Place(Path(told["out"]), told["device"], told["quick"], datasets)
    module = import_module(f"inspectd_tools.benchmarks.gpu.{_MODULES[options.name]}")
    do: Callable[[Place], Iterator[dict[str, Any]]] = getattr(module, options.name)
    figures: dict[str, Any] = {}
    try:
        for more in do(place):
            figures |= more
            (place.out / f"{options.name}.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    except NotRun as error:
        print(error)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
