"""The graphs of an experiment: accuracy and loss per epoch as in the thesis, final values, and one per measure.

Every graph shows the scale. Each function returns the names of the files that it has written.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from inspectd_tools.experiments.config import Options
from inspectd_tools.experiments.paths import MAPS
from inspectd_tools.experiments.results import Results
from inspectd_tools.sampling import spread

_DPI = 100
_TILES = 4
_TILE_PX = 420
_METRICS = ("accuracy", "loss")


def draw(results: Results, folder: Path) -> dict[str, list[str]]:
    """Kind -> files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, Callable[[Results, Path], list[str]]] = {
        "epochs": _epochs,
        "final": _final,
        "noise": _noise,
        "unknown": _unknown,
        "speed": _speed,
        "maps": _maps,
    }
    return {kind: names for kind, function in kinds.items() if (names := function(results, folder))}


def _epochs(results: Results, folder: Path) -> list[str]:
    """One figure per part; if models and something else vary, one row of axes per model."""
    written = []
    for part in results.experiment.parts:
        names = [name for name, runs in results.variants.items() if runs[0].part == part]
        rows = _by_model(results, names)
        if not names or not any(_curve(results, name, "loss") for name in names):
            continue
        figure = Figure(figsize=(11, 1 + 3.2 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 2, squeeze=False)
        for (model, lines), pair in zip(rows.items(), axes, strict=True):
            for metric, ax in zip(_METRICS, pair, strict=True):
                for place, (label, name) in enumerate(lines.items()):
                    _band(ax, _curve(results, name, metric), label, place)
                ax.set(xlabel="epoch", ylabel=f"validation {metric}", title=model)
                ax.xaxis.get_major_locator().set_params(integer=True)
            pair[0].legend(fontsize="small")
        written.append(_save(results, figure, folder, f"epochs-{part}.png"))
    return written


def _final(results: Results, folder: Path) -> list[str]:
    """One dot per run, and the mean with its interval."""
    metrics = [name for name in ("validation accuracy", "test accuracy") if name in results.final]
    figure = Figure(figsize=(11, 1.5 + 0.3 * len(results.variants)), layout="constrained")
    axes = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for metric, ax in zip(metrics, axes, strict=True):
        for place, name in enumerate(results.variants):
            figures = results.over_runs(metric, name)
            if figures is None:
                continue
            values = [value.value for value in results.final[metric][name]]
            ax.plot(values, [place] * len(values), "o", color="tab:blue", alpha=0.4)
            if figures.n > 1:
                half = [[figures.mean - max(0, figures.low)], [min(1, figures.high) - figures.mean]]
                ax.errorbar(figures.mean, place, xerr=np.maximum(half, 0), fmt="|", color="black", capsize=4)
        ax.set(xlabel=f"{metric}: runs, mean, 95 % of the mean")
        ax.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(results.variants)), list(results.variants))
    axes[0].invert_yaxis()
    return [_save(results, figure, folder, "final.png")]


def _noise(results: Results, folder: Path) -> list[str]:
    kinds = [(metric, _along(results, f"noise {metric} at sigma ")) for metric in ("certainty", "accuracy", "AUROC")]
    if not kinds[0][1]:
        return []
    titles = {"certainty": "mean certainty", "accuracy": "accuracy", "AUROC": "AUROC, clean against noisy"}
    figure = Figure(figsize=(15, 4.5), layout="constrained")
    for ax, (metric, curves) in zip(figure.subplots(1, len(kinds)), kinds, strict=True):
        for place, (name, points) in enumerate(curves.items()):
            _band(ax, points, name, place)
        ax.set(xlabel="sigma of the noise, grey values", ylabel=titles[metric], ylim=(-0.02, 1.02))
    ax.figure.axes[0].legend(fontsize="small")
    return [_save(results, figure, folder, "noise.png")]


def _unknown(results: Results, folder: Path) -> list[str]:
    bars = [name for name in results.final if name.startswith("unknown certainty of")]
    return _bars(results, folder, "unknown.png", bars, "mean certainty", "unknown certainty of ")


def _speed(results: Results, folder: Path) -> list[str]:
    bars = [name for name in results.final if name.startswith("speed ") and name.endswith(" ms p50")]
    return _bars(results, folder, "speed.png", bars, "ms p50, one photo at a time", "speed ")


def _bars(results: Results, folder: Path, file: str, metrics: Sequence[str], axis: str, prefix: str) -> list[str]:
    """One group of bars per variant: mean and standard deviation over its runs."""
    names = [name for name in results.variants if any(name in results.final[metric] for metric in metrics)]
    if not names:
        return []
    figure = Figure(figsize=(11, 1.5 + 0.22 * len(metrics) * len(names)), layout="constrained")
    ax = figure.subplots()
    height = 0.8 / len(metrics)
    for number, metric in enumerate(metrics):
        found = [(place, over) for place, name in enumerate(names) if (over := results.over_runs(metric, name))]
        ax.barh(
            [place + (number - (len(metrics) - 1) / 2) * height for place, _ in found],
            [over.mean for _, over in found],
            height,
            xerr=[0 if np.isnan(over.deviation) else over.deviation for _, over in found],
            label=metric.removeprefix(prefix).removesuffix(" ms p50"),
        )
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel=axis)
    ax.legend(fontsize="small")
    return [_save(results, figure, folder, file)]


def _maps(results: Results, folder: Path) -> list[str]:
    """Some photos with their maps, from the first run of each variant."""
    shown = {
        name: spread(sorted((results.runs_folder / runs[0].place / MAPS).glob("*/*.png")), _TILES)
        for name, runs in results.variants.items()
    }
    shown = {name: paths for name, paths in shown.items() if paths}
    if not shown:
        return []
    figure = Figure(figsize=(4.2 * max(map(len, shown.values())), 0.6 + 1.9 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), max(map(len, shown.values())), squeeze=False)
    for row, (name, paths) in zip(axes, shown.items(), strict=True):
        row[0].set_title(name, fontsize="small", loc="left")
        for ax in row:
            ax.axis("off")
        for ax, path in zip(row, paths, strict=False):
            with Image.open(path) as image:
                image.thumbnail((_TILE_PX, _TILE_PX))
                ax.imshow(np.asarray(image.convert("RGB")))
    return [_save(results, figure, folder, "maps.png")]


def _by_model(results: Results, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Title -> label of a line -> variant."""
    options = {name: results.variants[name][0].options for name in names}
    others = {key for own in options.values() for key in own if key != "model"}
    if not others or not all("model" in own for own in options.values()):
        return {"": {_label(own) or name: name for name, own in options.items()}}
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    for name, own in options.items():
        rows[str(own["model"])][_label({key: value for key, value in own.items() if key != "model"})] = name
    return rows


def _label(options: Options) -> str:
    return ", ".join(value if isinstance(value, str) else f"{key} {value}" for key, value in options.items())


Points = dict[float, list[float]]
"""x -> the value of each run"""


def _curve(results: Results, variant: str, metric: str) -> Points:
    points: Points = defaultdict(list)
    for row in results.rows:
        if row.variant == variant and row.epoch is not None and (row.phase, row.metric) == ("validation", metric):
            points[row.epoch].append(row.value)
    return points


def _along(results: Results, prefix: str) -> dict[str, Points]:
    """Variant -> points of the metrics whose names are `prefix` and a number."""
    curves: dict[str, Points] = defaultdict(dict)
    for metric, of_variant in results.final.items():
        if metric.startswith(prefix):
            for name, values in of_variant.items():
                curves[name][float(metric.removeprefix(prefix))] = [value.value for value in values]
    return {name: curves[name] for name in results.variants if name in curves}


def _band(ax: Axes, points: Points, label: str, place: int) -> None:
    """Mean line, and a band of one standard deviation if there are several runs."""
    colour = colormaps["tab10"](place % 10)
    x = sorted(points)
    mean = np.array([np.mean(points[key]) for key in x])
    deviation = np.array([np.std(points[key], ddof=1) if len(points[key]) > 1 else 0 for key in x])
    ax.plot(x, mean, color=colour, label=label, marker="o" if len(x) < 4 else None)
    ax.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.2, linewidth=0)


def _save(results: Results, figure: Figure, folder: Path, file: str) -> str:
    figure.suptitle(results.label, fontsize="small", color="dimgray")
    figure.savefig(folder / file, dpi=_DPI)
    return file


def captions(kinds: Iterable[str]) -> dict[str, str]:
    """Kind -> caption, for every kind of graph in `kinds`."""
    said = {
        "epochs": "Validation accuracy and loss per epoch: mean line, band of one standard deviation over the runs",
        "final": "Final values: one dot per run, the mean and its 95 % interval",
        "noise": "The same test photos under gaussian noise: mean over the runs, band of one standard deviation",
        "unknown": "Certainty of the model's own test photos, and of photos from another data set",
        "speed": "One photo at a time, all cores, without preprocessing",
        "maps": "Attribution maps of test photos, first run of each variant",
    }
    return {kind: said[kind] for kind in kinds}
