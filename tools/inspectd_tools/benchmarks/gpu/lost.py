"""An error that the GPU does not recover from, on a running line: does the belt stop, and does a restart go on?

`python -m inspectd_tools.benchmarks.gpu.lost CONFIG JOURNAL PARTS DEVICE` runs the daemon and breaks the GPU after some parts. On the
CPU, the engine pretends it.
"""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from inspectd_tools.benchmarks.gpu.plan import Place

_PARTS = 100
_FAULT = os.EX_SOFTWARE
"""Exit code of a line that ends with a fault; systemd starts it again."""
_WRITES_TO_NOWHERE = b"""
.version 7.0
.target sm_52
.address_size 64
.visible .entry nowhere() {
    .reg .b32 %r1;
    .reg .b64 %rd1;
    mov.u32 %r1, 1;
    mov.u64 %rd1, 16;
    st.global.u32 [%rd1], %r1;
    ret;
}
\0"""


def lost(place: Place) -> Iterator[dict[str, Any]]:
    from inspectd.files.yaml_file import dump_yaml
    from inspectd_tools.benchmarks.daemon import Bench
    from inspectd_tools.benchmarks.gpu.engines import engine_for

    engine, backend = engine_for(place)
    bench = Bench(place.out / "lost", engine, threads=2)
    parts = 20 if place.quick else _PARTS
    breaks = "cuda" if backend == "tensorrt" else "pretend"
    yield {
        "backend": backend,
        "error": "a kernel that writes to nowhere" if breaks == "cuda" else "pretended by the engine",
    }
    config = bench.config(bench.replay(50), inference={"threads": 2, "backend": backend})
    config["gate"]["output"] = {"kind": "simulated", "record": "output.jsonl"}
    (bench.folder / "line.yaml").write_text(dump_yaml(config))
    for start in (1, 2):
        begin_s, journal = time.monotonic(), bench.folder / "journal.sqlite"
        told = [str(bench.folder / "line.yaml"), str(journal), str(start * parts), breaks]
        code = subprocess.run(
            [sys.executable, "-m", "inspectd_tools.benchmarks.gpu.lost", *told], check=False
        ).returncode
        last = json.loads((bench.folder / "output.jsonl").read_text().splitlines()[-1])
        yield {
            f"start {start}: exit code": code,
            f"start {start}: parts": _count(journal),
            f"start {start}: run permit at the end": last["run_permit"],
            f"start {start}: s": time.monotonic() - begin_s,
        }
        if code != _FAULT or last["run_permit"]:
            raise SystemExit(
                f"start {start} ended with exit code {code}, run permit {last['run_permit']}; expected {_FAULT}, false"
            )


def main() -> int:
    from inspectd.cli import main as inspectd

    config, journal, parts, breaks = sys.argv[1:]
    threading.Thread(target=_break_after, args=(Path(journal), int(parts), breaks), daemon=True).start()
    return inspectd(["run", "--config", config])


def _break_after(journal: Path, parts: int, breaks: str) -> None:
    while _count(journal) < parts:
        time.sleep(0.02)
    if breaks == "cuda":
        write_to_nowhere()
    else:
        _pretend()


def write_to_nowhere() -> None:
    """Start a kernel with an illegal access, which no later call of this process survives."""
    from cuda.bindings import driver, runtime

    runtime.cudaFree(0)  # this thread uses the context of the runtime
    _, module = driver.cuModuleLoadData(_WRITES_TO_NOWHERE)
    _, kernel = driver.cuModuleGetFunction(module, b"nowhere")
    driver.cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)


def _pretend() -> None:
    from inspectd.errors import EngineLost
    from inspectd.inference import Engine

    def fail(*_: Any) -> None:
        raise EngineLost("pretended: the GPU does not answer any more")

    for name in ("infer", "warm"):
        setattr(Engine, name, fail)


def _count(journal: Path) -> int:
    if not journal.exists():
        return 0
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM parts").fetchone()[0])
        except sqlite3.OperationalError:  # the table does not exist yet
            return 0


if __name__ == "__main__":
    sys.exit(main())
