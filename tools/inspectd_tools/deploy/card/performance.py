"""How the engine does on test images: how many of each class and kind are correct, and where it is blind."""

from collections.abc import Sequence
from pathlib import Path

from inspectd.inference.manifest import Manifest
from inspectd.learning.rates import Rate, false_rejects
from inspectd_tools.deploy.card.cases import Case, Kind, worst_first
from inspectd_tools.deploy.card.markdown import literal, table
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.deploy.precision import Candidate

_NEAREST = 5


def performance(found: Sequence[Case], manifest: Manifest, fingerprint: str) -> list[str]:
    """The section on correct and wrong verdicts. `fingerprint`: of the test images."""
    known = [case for case in found if case.kind != "unknown"]
    kinds: tuple[Kind, ...] = ("faulty", "unknown", "good")
    faulty, unknown, good = (_passed([case for case in found if case.kind == kind]) for kind in kinds)
    by_class = {name: [case for case in known if case.truth == name] for name in manifest.classes}
    return [
        "## Performance",
        "",
        f"On test images that were used for no choice (fingerprint {fingerprint[:16]}). Here each image counts, so the intervals "
        "hold if each shows another part:",
        *table(
            ("", "images", "95 % interval"),
            [
                ("taken for another class", *_cells(_count([case.predicted != case.truth for case in known]))),
                ("faulty labels passed", *_cells(faulty)),
                ("unknown labels passed", *_cells(unknown)),
                ("good labels rejected", *_cells(Rate(good.n - good.errors, good.n))),
            ],
        ),
        "Right: the largest score is that of its class, at any certainty. Passed: the line would let the label through.",
        *table(
            ("class", "right", "95 % interval", "passed", "95 % interval"),
            [
                (
                    literal(name),
                    *_cells(_count([case.predicted == name for case in members])),
                    *_cells(_passed(members)),
                )
                for name, members in by_class.items()
            ],
        ),
    ]


def blind_spots(found: Sequence[Case], manifest: Manifest, test: Judged) -> list[str]:
    """The section on the unknowns, the worst first, and on the images nearest to the wrong side of the threshold."""
    good = literal(manifest.pass_class)
    return [
        "## Blind spots",
        "",
        *_unknowns(found, good, f"none taken for {good}{' that the guard lets pass' if manifest.guard else ''}"),
        f"Images closest to a wrong verdict (threshold {manifest.threshold.value:.4f}, fp32). '+' = already wrong. Bad labels have "
        f"the highest certainty as {good}, good ones the lowest. The distance is that of the certainty as {good}, which is 0 if "
        f"another class is at least as likely{' or the guard stops the label' if manifest.guard else ''}.",
        *table(
            ("is", "image", "beyond by", "verdict", "taken for", "certainty"),
            [
                (
                    literal(case.truth),
                    literal(_place(test.images.files[case.place], case.truth)),
                    f"{case.margin:+.4f}",
                    case.outcome,
                    literal(case.predicted),
                    f"{case.certainty:.4f}",
                )
                for is_good in (False, True)
                for case in worst_first(case for case in found if (case.kind == "good") == is_good)[:_NEAREST]
            ],
        ),
    ]


def precisions(candidates: Sequence[Candidate], manifest: Manifest, test: Judged) -> list[str]:
    """The section on the precisions that are offered, each at its own threshold."""
    rows = []
    for candidate in candidates:
        judged = test if candidate.precision == "fp32" else test.by(candidate.network, f"test: {candidate.precision}")
        kinds, value = judged.by_kind(manifest), candidate.threshold.value
        p50, p99 = candidate.p50_p99
        passed = (f"{(values >= value).sum()} of {len(values)}" for values in (kinds.all_faulty, kinds.all_unknown))
        rejected = false_rejects(kinds.good, value)
        rows.append(
            (
                candidate.precision,
                f"{p50} ({p99})",
                f"{value:.4f}",
                f"{candidate.changed:.2%}",
                f"{candidate.moved:.3f}",
                *passed,
                f"{rejected.errors} of {rejected.n}",
            )
        )
    return [
        "## Precisions",
        "",
        f"`inference.precision: auto` uses {manifest.recommended}. The times are of one inference, on the machine that built the "
        "engine. Changes against fp32 were counted on the calibration images, the rest on the test images.",
        *table(
            (
                *("precision", "ms p50 (p99)", "threshold", "verdicts changed", "certainty moved by"),
                *("faulty passed", "unknown passed", "good rejected"),
            ),
            rows,
        ),
        *(
            ["TensorRT: its ONNX graph was run on the CPU; the plan itself was not run on a GPU.", ""]
            if any(candidate.precision.startswith("tensorrt") for candidate in candidates)
            else []
        ),
    ]


def _unknowns(found: Sequence[Case], good: str, none: str) -> list[str]:
    """`none`: where no image has any certainty as good. Those that pass most often first, then those with the highest certainty as good."""
    by_kind: dict[str, list[Case]] = {}
    for case in found:
        if case.kind == "unknown":
            by_kind.setdefault(case.truth, []).append(case)
    if not by_kind:
        return ["No unknown was tried: what the engine does with unknown labels was not measured.", ""]
    rated = [(name, _passed(members), max(case.as_good for case in members)) for name, members in by_kind.items()]
    rated.sort(key=lambda row: (-row[1].share, -row[2]))
    return [
        "The kinds of unknowns that were tried, the worst first. Other kinds may be worse.",
        *table(
            ("unknown", "passed", "95 % interval", f"highest certainty as {good}"),
            [
                (literal(name), *_cells(passed), f"{highest:.4f}" if highest else none)
                for name, passed, highest in rated
            ],
        ),
    ]


def _place(photo: Path, truth: str) -> str:
    """The file name; in a folder that is not named like its class, with the name of the folder."""
    return photo.name if photo.parent.name == truth else "/".join(photo.parts[-2:])


def _passed(members: Sequence[Case]) -> Rate:
    return _count([case.outcome == "passed" for case in members])


def _count(answers: Sequence[bool]) -> Rate:
    return Rate(sum(answers), len(answers))


def _cells(rate: Rate) -> tuple[str, str]:
    if not rate.n:
        return "none tried", ""
    low, high = rate.interval
    return f"{rate.errors} of {rate.n} ({rate.share:.2%})", f"{low:.2%} to {high:.2%}"
