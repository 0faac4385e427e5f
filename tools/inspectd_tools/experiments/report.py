"""The report of an experiment, in Markdown: question, claims, what was run, and the results.

Its sentences come from the file of the experiment or follow from the results.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inspectd_tools.experiments.aggregate import Over
from inspectd_tools.experiments.claims import check
from inspectd_tools.experiments.graphs import captions
from inspectd_tools.experiments.results import Results

FIGURES = "figures"
_MAIN = ("validation accuracy", "validation loss", "test accuracy", "test balanced accuracy")
_OF_MEASURES = ("cost", "speed", "unknown", "noise")


def write_report(results: Results, pictures: dict[str, list[str]], seconds: float, path: Path) -> None:
    """Write the report. `pictures`: kind -> files in `figures/` beside it; `seconds`: duration of this command."""
    sections = [
        _head(results),
        _answers(results),
        _run(results, seconds),
        _main_table(results),
        _pictures(pictures, ("epochs", "final")),
        _measures(results, pictures),
        _similarity(results),
        _troubles(results),
    ]
    path.write_text("\n\n".join(text for section in sections if (text := "\n".join(section))) + "\n", encoding="utf-8")


def _head(results: Results) -> Iterator[str]:
    yield f"# {results.name}: {results.experiment.question}"
    yield f"\n**Scale {results.scale}.** {_completeness(results)}"
    yield f"\nThe thesis: {results.experiment.thesis}"


def _completeness(results: Results) -> str:
    done = f"{len(results.done)} of {results.planned} runs"
    if results.changes:
        return f"{done}; smaller than in the file of the experiment; *What was run* lists the differences. So these are not the figures of the full experiment."
    return f"{done}, as in the file of the experiment."


def _answers(results: Results) -> Iterator[str]:
    if not results.experiment.claims:
        return
    yield "## Claims, and what these runs say\n"
    yield "| claim | by | verdict | figures |"
    yield "|---|---|---|---|"
    for claim in results.experiment.claims:
        values = [value for of_variant in results.final.get(claim.metric, {}).values() for value in of_variant]
        checked = check(claim, values)
        yield f"| {_cell(claim.says)} | {claim.source} | **{checked.verdict}** | {_cell(checked.figures)} |"
    yield "\nA verdict is valid for this scale and these photos, at 95 % confidence for each figure separately."


def _run(results: Results, seconds: float) -> Iterator[str]:
    yield "## What was run\n"
    yield f"- Photos: {results.photos}"
    for name, part in results.experiment.parts.items():
        varied = "; ".join(f"{key}: {', '.join(map(str, values))}" for key, values in part.vary.items())
        yield f"- Part {name}, {part.title}: `config/training/{part.base}.json`, {varied}"
    for machine, count in _machines(results):
        yield f"- {count} run(s) on {machine}"
    if results.done:
        took = [outcome.seconds for _, outcome in results.done]
        trained = [v.value for of in results.final.get("train seconds", {}).values() for v in of]
        yield (
            f"- Time: {_minutes(sum(took))} in the runs, {_minutes(sum(trained))} of it in training; "
            f"this command took {_minutes(seconds)} (runs that were done before are not repeated)"
        )
        loads = [outcome.machine["load"] for _, outcome in results.done]
        yield f"- Other work on the machine: load {min(loads):.1f} to {max(loads):.1f} at the end of the runs; it makes times longer, but does not change results"
        weights = {run.weights.name if run.weights else None for run, _ in results.done}
        random = sorted(
            {
                str(run.options.get("model", run.base))
                for run, _ in results.done
                if run.changes.get("pretrained") is False
            }
        )
        yield f"- Pretrained weights given: {', '.join(sorted(name for name in weights if name)) or 'none'}" + (
            f"; started from random weights, because none were given: {', '.join(random)}" if random else ""
        )
    if results.changes:
        yield f"\nWhat scale {results.scale} and the options of the command changed:\n"
        yield "| part | number | in the experiment | here |"
        yield "|---|---|---|---|"
        for change in results.changes:
            yield f"| {change.where} | {change.what} | {change.experiment} | {change.here} |"


def _machines(results: Results) -> Iterator[tuple[str, int]]:
    said = [_machine(outcome.machine) for _, outcome in results.done]
    for machine in dict.fromkeys(said):
        yield machine, said.count(machine)


def _machine(values: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in values["libraries"].items())
    gpu = f", {values['gpu']}" if values["gpu"] else ", no GPU"
    return (
        f"{values['processor']}, {values['cores']} core(s){gpu}; Python {values['python']}, {libraries}; "
        f"commit {values['git_commit'][:12]}"
    )


def _main_table(results: Results) -> Iterator[str]:
    metrics = [metric for metric in _MAIN if metric in results.final]
    metrics += [metric for metric in results.final if metric.startswith("test ") and metric not in _MAIN]
    yield "## Results\n"
    yield "Mean ± standard deviation over the runs; for three or more runs, Student's 95 % interval of the mean (it may go above 1).\n"
    yield from _table(results, metrics)


def _table(results: Results, metrics: list[str]) -> Iterator[str]:
    yield "| variant | runs | " + " | ".join(metrics) + " |"
    yield "|---|---|" + "---|" * len(metrics)
    for name, runs in results.variants.items():
        found = [results.over_runs(metric, name) for metric in metrics]
        if any(found):
            yield f"| {name} | {len(runs)} | " + " | ".join(_figures(over_) for over_ in found) + " |"


def _figures(figures: Over | None) -> str:
    return "" if figures is None else str(figures)


def _measures(results: Results, pictures: dict[str, list[str]]) -> Iterator[str]:
    for kind in _OF_MEASURES:
        metrics = [metric for metric in results.final if metric.startswith(f"{kind} ")]
        if metrics:
            yield f"\n## Also measured: {kind}\n"
            shown = [metric for metric in metrics if kind != "noise" or "certainty" in metric or "AUROC" in metric]
            means = [_means(results, metric) for metric in shown]
            yield "| metric | " + " | ".join(results.variants) + " |"
            yield "|---|" + "---|" * len(results.variants)
            for metric, row in zip(shown, means, strict=True):
                yield f"| {metric.removeprefix(kind + ' ')} | " + " | ".join(row) + " |"
            yield ""
            yield from _pictures(pictures, (kind,))
    yield from _pictures(pictures, ("maps",))


def _means(results: Results, metric: str) -> list[str]:
    found = (results.over_runs(metric, name) for name in results.variants)
    return ["" if figures is None else f"{figures.mean:.3g}" for figures in found]


def _pictures(pictures: dict[str, list[str]], kinds: tuple[str, ...]) -> Iterator[str]:
    for kind, caption in captions(kind for kind in kinds if kind in pictures).items():
        yield f"\n{caption}:\n"
        yield from (f"![{kind}]({FIGURES}/{name})" for name in pictures[kind])


def _similarity(results: Results) -> Iterator[str]:
    found = results.similarity
    if found is None:
        return
    yield "## How similar are the synthetic photos to real ones?\n"
    yield f"Features of {found['feature_space']}, images compared at {found['compared_at_px']} px. KID: 0 means no difference. FID falls with n: compare only the two rows of one class.\n"
    yield "| class | compared | n : unseen real | KID x 1000 (95 %) | FID |"
    yield "|---|---|---|---|---|"
    for row in found["similarity"]:
        kid = row["kid"]
        figures = f"{1000 * kid['value']:.2f} ({1000 * kid['low']:.2f} to {1000 * kid['high']:.2f})"
        yield f"| {row['of_class']} | {row['compared']} | {row['n']} : {row['n_unseen']} | {figures} | {row['fid']:.1f} (n = {row['n_fid']}) |"


def _troubles(results: Results) -> Iterator[str]:
    refused = {(run.variant, kind, words) for run, outcome in results.done for kind, words in outcome.refused.items()}
    warned = {(run.variant, run.seed, words) for run, outcome in results.done for words in outcome.warnings}
    if not (refused or warned or results.failed):
        return
    yield "## What failed or does not apply\n"
    for place, words in sorted(results.failed.items()):
        yield f"- failed: {place}: {_cell(words)}"
    for variant, kind, words in sorted(refused):
        yield f"- {variant}: {kind} does not apply: {_cell(words)}"
    for variant, seed, words in sorted(warned):
        yield f"- {variant}, seed {seed}: {_cell(words)}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
