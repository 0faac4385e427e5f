"""Latency of a busy, an overloaded and a sparse line, with a simulated and a Modbus rejector; memory over time."""

import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from inspectd.part import Missed
from inspectd.terminal import console, track
from inspectd_tools.benchmarks.cost import cost_table, measure_cost
from inspectd_tools.benchmarks.daemon import Bench, Run, rss_mb
from inspectd_tools.plc.modbus_plc import ModbusPlc

_COST_RUNS = 500
_STAGES = ("acquire_us", "queue_us", "preprocess_us", "infer_us", "guard_us", "record_us")


def measure_line(bench: Bench, rate_hz: float, seconds: float, sparse_parts: int) -> dict[str, Any]:
    screen = console()
    costs = measure_cost(bench.engine, bench.photos, bench.threads, _COST_RUNS)
    screen.print(cost_table(costs, bench.threads))
    bare, preprocess = bench.bare_engine_ms()
    busy = bench.run(bench.emulator(rate_hz), seconds)
    with ModbusPlc(bench.folder / "coils.csv") as plc:
        output = {"kind": "modbus", "host": "127.0.0.1", "port": plc.port, "actuator_coil": 0, "run_permit_coil": 1}
        modbus = bench.run(bench.emulator(rate_hz), seconds / 3, output)
    screen.print(_busy_table(rate_hz, bare, preprocess, busy, modbus))
    overload = {rate: bench.run(bench.replay(rate), 8) for rate in (100, 200, 300, 400, 600, 800)}
    screen.print(_overload_table(overload))
    figures: dict[str, Any] = {
        "cost": {name: asdict(cost) for name, cost in costs.items()},
        "bare_engine_ms": {"p50": bare[0], "p99": bare[1]},
        "busy": _summary(busy),
        "modbus": _summary(modbus),
        "overload": {rate: {"parts": len(run.rows), "missed": dict(run.missed)} for rate, run in overload.items()},
    }
    if sparse_parts:
        sparse = bench.run(bench.emulator(0.1), 10 * sparse_parts + 30, parts=sparse_parts)
        screen.print(_sparse_table(busy, sparse))
        figures["sparse"] = _summary(sparse)
    return figures


def _summary(run: Run) -> dict[str, Any]:
    return {
        "parts": len(run.rows),
        "missed": dict(run.missed),
        "verdict_ms": dict(zip(("p50", "p99", "max"), run.ms("verdict_us", 50, 99, 100), strict=True)),
        "lateness_ms": dict(zip(("p50", "p99", "p99.9", "max"), run.lateness_ms(50, 99, 99.9, 100), strict=False)),
    }


def _busy_table(rate_hz: float, bare: list[float], preprocess: list[float], busy: Run, modbus: Run) -> Table:
    table = Table(
        "ms", "p50", "p99", "p99.9", "max", title=f"{len(busy.rows)} parts at {rate_hz:g}/s, emulated Basler camera"
    )
    table.add_row("bare engine: infer", *_cells(bare))
    table.add_row("bare engine: preprocess", *_cells(preprocess))
    for stage in _STAGES:
        table.add_row(f"line: {stage.removesuffix('_us')}", *_cells(busy.ms(stage, 50, 99, 99.9, 100)))
    verdict = busy.ms("verdict_us", 50, 99, 99.9, 100)
    table.add_row(Text("trigger to verdict", "bold"), *_cells(verdict), end_section=True)
    table.add_row("p50 above the bare engine", f"{verdict[0] - bare[0]:+.2f}")
    table.add_row("pulse lateness, simulated", *_cells(busy.lateness_ms(50, 99, 99.9, 100)))
    table.add_row("pulse lateness, Modbus coil acknowledged", *_cells(modbus.lateness_ms(50, 99, 99.9, 100)))
    table.caption = f"missed: {dict(busy.missed) or 'none'}; with Modbus: {dict(modbus.missed) or 'none'}"
    return table


def _overload_table(runs: dict[int, Run]) -> Table:
    table = Table(
        "parts/s",
        "parts",
        "inspected",
        "missed",
        "of them rejected",
        "verdict p50 ms",
        "p99 ms",
        title="overload, from files",
    )
    for rate, run in runs.items():
        missed = [row for row in run.rows if row["verdict"] == Missed.word]
        rejected = sum(str(row["gate_outcome"]).startswith("rejected") for row in missed)
        unrecorded = sum(row["parts"] for row in run.outages)
        table.add_row(
            str(rate),
            str(len(run.rows) + unrecorded),
            str(len(run.rows) - len(missed)),
            ", ".join(f"{count} {reason}" for reason, count in run.missed.items()) or "0",
            str(rejected),
            *(f"{value:.2f}" for value in run.ms("verdict_us", 50, 99)),
        )
    return table


def _sparse_table(busy: Run, sparse: Run) -> Table:
    table = Table("trigger to verdict, ms", "parts", "p50", "p99", "max", title="a sparse line: one part in 10 s")
    for name, run in (("busy", busy), ("sparse", sparse)):
        table.add_row(name, str(len(run.rows)), *_cells(run.ms("verdict_us", 50, 99, 100)), style="bold")
        for stage in _STAGES:
            table.add_row(f"  {stage.removesuffix('_us')}", "", *_cells(run.ms(stage, 50, 99, 100)))
    return table


def measure_memory(bench: Bench, rate_hz: float, minutes: float) -> dict[str, Any]:
    daemon, _ = bench.start(bench.emulator(rate_hz))
    samples: list[dict[str, float]] = []
    try:
        for minute in track(range(1, round(minutes) + 1), "minutes"):
            time.sleep(60)
            children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
            samples.append({"minute": minute, "line_mb": rss_mb(daemon.pid), "gate_mb": rss_mb(int(children[0]))})
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=60)
    table = Table("minute", "line MB", "gate MB", title=f"resident memory at {rate_hz:g} parts/s")
    for sample in samples:
        table.add_row(f"{sample['minute']:.0f}", f"{sample['line_mb']:.1f}", f"{sample['gate_mb']:.1f}")
    console().print(table)
    return {"memory": samples}


def _cells(values: list[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]
