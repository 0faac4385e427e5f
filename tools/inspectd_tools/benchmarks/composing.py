"""How well composing works, on rendered photos whose truth is known: what `benchmark.py compose` prints."""

import json
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from inspectd.binomial import interval
from inspectd.errors import ConfigError
from inspectd.files.csv_file import read_csv
from inspectd.terminal import track
from inspectd_tools.synthetic.compose.compose import Assets, bare_part, compose
from inspectd_tools.synthetic.compose.config import ComposeConfig
from inspectd_tools.synthetic.compose.dataset import FAST_PNG, gather, orders, prepare_all, write_composed
from inspectd_tools.synthetic.compose.extraction import Ground, Prepared
from inspectd_tools.synthetic.dataset import write_image
from inspectd_tools.synthetic.render.label import render
from inspectd_tools.synthetic.render.style import PLANT

Grey = NDArray[np.uint8]
NEAR_PX, NEAR_DEG = 3.0, 1.0
LEFT_SHARE = 0.25
"""A pixel still shows ink if it is darker than the true bare surface by more than this share of the contrast of the ink."""


@dataclass(frozen=True, slots=True)
class Finding:
    photos: int
    discarded: int
    near: int
    """Photos that were kept, with the centre within NEAR_PX and the angle within NEAR_DEG of the truth."""
    worst_px: float
    worst_deg: float
    """Largest errors of the photos that were kept."""


@dataclass(frozen=True, slots=True)
class Removal:
    photos: int
    left: float
    """Share of the pixels of the ink that still show ink, mean over the photos."""
    worst: float
    by_chance: float
    """The same share for the true surface, smoothed: how often its texture alone looks like ink."""


@dataclass(frozen=True, slots=True)
class Speed:
    images: int
    wall_s: float
    cpu_s: float
    workers: int
    stages_ms: dict[str, float]
    """CPU time per image."""


def prepared_photos(config: ComposeConfig, workers: int) -> tuple[list[Prepared], float]:
    """All photos of the config, and the CPU time per photo in s."""
    before = _children_cpu_s()
    prepared = [entry for _, entry in track(prepare_all(config, workers), "find and lift")]
    return prepared, (_children_cpu_s() - before) / len(prepared)


def measure_finding(prepared: Sequence[Prepared], truth: dict[Path, dict[str, str]]) -> dict[str, Finding]:
    """Class -> how well its labels were found."""
    result = {}
    for name in dict.fromkeys(entry.source.class_ for entry in prepared):
        of_class = [entry for entry in prepared if entry.source.class_ == name]
        errors = []
        for entry in of_class:
            if entry.stamp is None or entry.outline is None:
                continue
            true = np.array(json.loads(truth[entry.source.path.resolve()]["polygon"]))
            shift = float(np.linalg.norm(entry.outline.mean(axis=0) - true.mean(axis=0)))
            errors.append((shift, abs(_angle_deg(entry.outline) - _angle_deg(true))))
        near = sum(shift <= NEAR_PX and turn <= NEAR_DEG for shift, turn in errors)
        worst = np.array(errors).max(axis=0) if errors else (float("nan"),) * 2
        result[name] = Finding(len(of_class), len(of_class) - len(errors), near, float(worst[0]), float(worst[1]))
    return result


def measure_removal(prepared: Sequence[Prepared], truth: dict[Path, dict[str, str]]) -> Removal:
    """Only on good labels: the renderer can draw the same photo again without its print."""
    left, chance = [], []
    for entry in prepared:
        if entry.ground is None or entry.source.class_ != "no_fail":
            continue
        seed = json.loads(truth[entry.source.path.resolve()]["seed"])
        printed = render("no_fail", np.random.default_rng(seed), PLANT)
        bare = render("blank_filter", np.random.default_rng(seed), PLANT).image.astype(np.float32)
        ink = printed.ink > 127
        threshold = LEFT_SHARE * np.median((bare - printed.image)[ink])
        left.append(float((bare - entry.ground.image > threshold)[ink].mean()))
        chance.append(float((bare - cv2.GaussianBlur(bare, (0, 0), 4) > threshold)[ink].mean()))
    return Removal(len(left), float(np.mean(left)), float(np.max(left)), float(np.mean(chance)))


def bare_photos(assets: Assets, config: ComposeConfig, seed: int) -> tuple[list[Grey], list[Grey]]:
    """One composed photo without print per ground, and equally many rendered ones."""
    rng = np.random.default_rng([seed, 0xBA2E])
    composed = [bare_part(ground, assets.backgrounds, config, rng)[0] for ground in assets.grounds]
    rendered = [
        render("blank_filter", np.random.default_rng([seed, 0xB1A2, number]), PLANT).image
        for number in range(len(composed))
    ]
    return composed, rendered


def measure_speed(config: ComposeConfig, assets: Assets, count_per_class: int, folder: Path, workers: int) -> Speed:
    wanted = orders(config, count_per_class, 0)
    before_s, before_cpu_s = time.monotonic(), _children_cpu_s()
    for _ in track(write_composed(config, assets, wanted, folder, workers), "compose", total=len(wanted)):
        pass
    wall_s, cpu_s = time.monotonic() - before_s, _children_cpu_s() - before_cpu_s
    return Speed(len(wanted), wall_s, cpu_s, workers, _stages(config, assets, folder))


def _stages(config: ComposeConfig, assets: Assets, folder: Path, repeats: int = 60) -> dict[str, float]:
    """Stage -> ms of CPU time, in this process."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    names = list(config.classes)
    made = [
        compose(names[number % len(names)], assets, config, np.random.default_rng(number)) for number in range(repeats)
    ]
    rng = np.random.default_rng(0)

    def timed(do: Callable[[int], object]) -> float:
        start_s = time.process_time()
        for number in range(repeats):
            do(number)
        return 1000 * (time.process_time() - start_s) / repeats

    def ground(number: int) -> Ground:
        return assets.grounds[number % len(assets.grounds)]

    part = timed(lambda number: bare_part(ground(number), assets.backgrounds, config, rng))
    whole = timed(lambda number: compose(names[number % len(names)], assets, config, np.random.default_rng(number)))
    stages = {
        "bare part": part,
        "print or fault on part": whole - part,
        f"write {config.format}": timed(
            lambda n: write_image(folder / f"timing.{config.format}", made[n].image, *FAST_PNG)
        ),
        "write mask": timed(lambda number: write_image(folder / "timing.png", made[number].mask, *FAST_PNG)),
    }
    cv2.setNumThreads(threads)
    return stages


def read_truth(folder: Path) -> dict[Path, dict[str, str]]:
    """Photo -> its row in truth.csv. Raises ConfigError."""
    try:
        return {(folder / row["file"]).resolve(): row.cells for row in read_csv(folder / "truth.csv", ("file",))}
    except ConfigError as error:
        raise ConfigError(
            f"{error}; render photos whose truth is known: "
            f"python tools/synthesize.py render {folder} --style plant --count-per-class 70 --unknowns-per-kind 70 --seed 7"
        ) from error


def measure(
    config: ComposeConfig, folder: Path, *, count_per_class: int, workers: int, weights: Path | None
) -> tuple[list[Table], dict[str, Any]]:
    """Measure everything, as tables and figures. `weights`: of MobileNetV2; None: no classifier. Raises ConfigError."""
    truth = read_truth(config.photos)
    prepared, prepare_s = prepared_photos(config, workers)
    finding, removal = measure_finding(prepared, truth), measure_removal(prepared, truth)
    assets = gather(config, prepared)
    speed = measure_speed(config, assets, count_per_class, folder, workers)
    figures: dict[str, Any] = {
        "finding": {name: asdict(found) for name, found in finding.items()},
        "removal": asdict(removal),
        "speed": asdict(speed),
        "prepare_cpu_s": prepare_s,
    }
    if weights is not None:
        from inspectd_tools.benchmarks.two_sample_test import classified_correctly  # needs torch; the rest does not

        right, n = classified_correctly(*bare_photos(assets, config, 0), weights)
        figures["two_sample_test"] = {"right": right, "n": n}
    return _tables(figures, finding, removal, speed, prepare_s), figures


def _tables(
    figures: dict[str, Any], finding: dict[str, Finding], removal: Removal, speed: Speed, prepare_s: float
) -> list[Table]:
    found = Table("class", "photos", "discarded", f"within {NEAR_PX:g} px, {NEAR_DEG:g} deg", "of those kept", "worst")
    for name, entry in finding.items():
        found.add_row(name, *_found_cells(entry), f"{entry.worst_px:.1f} px, {entry.worst_deg:.2f} deg")
    photos, discarded, near = (
        sum(getattr(entry, key) for entry in finding.values()) for key in ("photos", "discarded", "near")
    )
    whole = Finding(photos, discarded, near, worst_px=0, worst_deg=0)
    found.add_row("all", *_found_cells(whole), "", style="bold")
    found.caption = f"{1000 * prepare_s:.0f} ms of CPU per photo, including lifting and inpainting"
    bare = Table("without print", "", title=f"{removal.photos} good labels")
    bare.add_row("ink left, share of pixels", f"{removal.left:.2%}, worst photo {removal.worst:.2%}")
    bare.add_row("the same on the true surface, smoothed", f"{removal.by_chance:.2%}")
    if "two_sample_test" in figures:
        right, n = figures["two_sample_test"]["right"], figures["two_sample_test"]["n"]
        bare.add_row("composed or rendered, classified correctly", _rate(right, n) + "; 50% is chance")
    fast = Table("compose", "ms of CPU", title=f"{speed.images} images, {speed.workers} processes")
    for stage, ms in speed.stages_ms.items():
        fast.add_row(stage, f"{ms:.2f}")
    fast.add_row(
        "total, including the start of the processes", f"{1000 * speed.cpu_s / speed.images:.2f}", style="bold"
    )
    per_core = speed.images / speed.cpu_s
    fast.caption = f"{speed.images / speed.wall_s:.0f} images/s elapsed, {2 * per_core:.0f}/s on two idle cores"
    return [found, bare, fast]


def _found_cells(entry: Finding) -> list[str]:
    kept = entry.photos - entry.discarded
    return [str(entry.photos), str(entry.discarded), _rate(entry.near, entry.photos), _rate(entry.near, kept)]


def _rate(count: int, n: int) -> str:
    if n == 0:
        return "none"
    low, high = interval(count, n)
    return f"{count / n:.1%} ({low:.1%} to {high:.1%})"


def _angle_deg(corners: NDArray[np.floating]) -> float:
    along = corners[1] - corners[0]
    return float(np.degrees(np.arctan2(along[1], along[0])))


def _children_cpu_s() -> float:
    """CPU time of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
