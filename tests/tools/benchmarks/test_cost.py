"""What a label costs with and without the guard."""

from pathlib import Path

import cv2

from inspectd_tools.benchmarks.cost import cost_table, measure_cost
from tests.factories import add_guard, make_toy_bundle, small_label, toy_image


def _photos(folder: Path) -> list[Path]:
    """Two that pass the guard, and one that does not pass."""
    images = [small_label(seed=100), small_label(seed=101), toy_image(40, width=160, height=120)]
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image)
    return paths


def test_a_guard_takes_time_and_memory(tmp_path: Path) -> None:
    engine = add_guard(make_toy_bundle(tmp_path / "toy"))
    costs = measure_cost(engine, _photos(tmp_path), threads=1, runs=20)
    alone, guarded = costs["engine alone"], costs["with guard"]
    assert 0 < alone.latency.p50_ms < guarded.latency.p50_ms
    assert 20 < alone.resident_mb < guarded.resident_mb + 20  # the toy's guard is small
    assert cost_table(costs, 1).row_count == 2


def test_an_engine_without_a_guard_has_one_row(tmp_path: Path) -> None:
    costs = measure_cost(make_toy_bundle(tmp_path / "toy"), _photos(tmp_path), threads=1, runs=10)
    assert list(costs) == ["engine alone"]
