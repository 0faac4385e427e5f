"""The daemon with an emulated camera, and its engine on the GPU."""

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

from inspectd_tools.benchmarks.daemon import Bench
from inspectd_tools.benchmarks.gpu.engines import engine_for
from inspectd_tools.benchmarks.gpu.plan import Place

_RATES_HZ = (100, 200, 400)
_SECONDS = 10.0


def line(place: Place) -> Iterator[dict[str, Any]]:
    engine, backend = engine_for(place)
    bench = Bench(place.out / "line", engine, threads=max(1, (os.cpu_count() or 1) // 2))
    has_camera = importlib.util.find_spec("pypylon") is not None
    rows: list[dict[str, Any]] = []
    for rate_hz in _RATES_HZ[:1] if place.quick else _RATES_HZ:
        camera = bench.emulator(rate_hz) if has_camera else bench.replay(rate_hz)
        inference = {"threads": bench.threads, "backend": backend}
        run = bench.run(camera, 2 if place.quick else _SECONDS, inference=inference)
        p50, p99, most = run.ms("verdict_us", 50, 99, 100)
        rows.append(
            {
                "parts/s": rate_hz,
                "parts": len(run.rows),
                "missed": sum(run.missed.values()),
                "verdict p50 ms": p50,
                "p99 ms": p99,
                "max ms": most,
                "infer p50 ms": run.ms("infer_us", 50)[0],
                "pulse late p99 ms": next(iter(run.lateness_ms(99)), None),
            }
        )
        yield {"camera": camera["kind"], "backend": backend, "rates": rows}
