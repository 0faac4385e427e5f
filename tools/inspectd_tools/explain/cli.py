"""Show where a trained classifier looks, and check which of the ways to show it can be believed.

`maps` draws attribution maps of photos, `check` holds the methods against masks and against the network, `methods` tries
every method on every backbone and head.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from inspectd.errors import ConfigError
from inspectd.terminal import console, track
from inspectd_tools.cli import exit_code, positive
from inspectd_tools.data.manifest import SPLITS
from inspectd_tools.explain.check import CONTROLS, Checked, Measured, SanityStep, check, truths
from inspectd_tools.explain.coverage import TARGETS, Trial, trials
from inspectd_tools.explain.explanation import Explanation, explain, look
from inspectd_tools.explain.methods import METHODS, STEPS, is_whole
from inspectd_tools.explain.network import Network
from inspectd_tools.explain.pictures import class_of, draw, write_pages, write_sheet
from inspectd_tools.explain.report import Row, rows, table, write_rows, wrong_reason
from inspectd_tools.explain.source import Source, Subject, choose, find_subjects, open_source

_EXAMPLES = f"""\
examples:
  python tools/explain.py maps runs/tiles --data tiles.csv --method integrated_gradients --out out/tiles-maps
  python tools/explain.py maps engines/filter-label --run runs/filter-label --data /var/lib/inspectd/archive \\
      --parts 1042 1043 --out out/why-rejected
  python tools/explain.py check runs/tiles --data tiles.csv --masks magnetic_tile/masks --limit 40 --out out/tiles-check
  python tools/explain.py methods --images 20 --size 96

methods, fastest first:
  grad_cam                which region of the last feature map; coarse, seconds for a whole data set
  saliency_map            which pixels the score moves with
  guided_backpropagation  the same, with ReLUs that pass nothing negative back; ReLU networks only
  deeplift                how each pixel's difference from mean grey adds up to the score
  integrated_gradients    the same, along {STEPS} steps or more from mean grey to the image; slow

exit codes: 0 done, 1 the disk refused, 2 wrong usage, 78 the model, the photos or the masks can't be used, or the method does
not apply to the network"""

_MAPS = """\
in --out afterwards:
  <class>/<number>-<photo>.png    photo with prediction and certainty, heat map, overlay
  <class>.png                     the overlays of a class on one page
  maps.csv                        a row a photo: prediction, certainty, how far the map is from adding up

exit codes: as of explain.py"""

_CHECK = """\
in --out afterwards:
  check.csv                   a row a method, as printed
  photos.csv                  a row a method and photo
  sanity.csv                  how alike the maps stay while the weights become random, layer by layer
  wrong_reason.csv            right and certain photos whose map is mostly off the label
  wrong_reason_<method>.png   the same, as overlays, the least on the label first

what is measured, means over the photos:
  in fault (area)     share of the map's magnitude inside the fault's mask; an even map has the area's share
  points at fault     photos whose largest value is in the mask or 15 px beside it, with its 95 % interval
  in label            share inside the label's outline (rendered photos, by their truth.csv)
  deletion AUC        of the class's score while pixels turn grey, the most important first: low is good
  insertion AUC       while a blurred photo gets them back: high is good
  unexplained         infidelity to noise, 0: foretells every move of the score, 1: none (--probes photos)
  sensitivity         how far the map moves when pixels move by up to 0.02, as a share (--probes photos)
  random net          Spearman's rank correlation and SSIM of maps before and after all weights are random: above 0.5 the
                      map shows the photo, not the network (--probes photos); a map that stays when the head alone is
                      random would show the same for any class
(edges) and (chance) are controls that know nothing of the network.

exit codes: as of explain.py"""

_METHODS = """\
Weights are random and the images noise: it shows what works and what it costs, not what a map is worth.
"off by": the largest distance of a map's sum from f(image) - f(baseline), as a share; above 1 % it is no completeness.

exit codes: 0 done, 2 wrong usage"""

_SHEET = 30


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_maps(verbs)
    _add_check(verbs)
    _add_methods(verbs)
    args = parser.parse_args(arguments)
    if args.out is not None and args.out.exists():
        parser.error(f"--out {args.out}: exists; give a new one, so that no earlier result is lost")
    return exit_code("explain", lambda: args.verb(args))


def _add_maps(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "maps", "draw attribution maps of photos", _MAPS)
    _add_source(parser, limit=100)
    parser.add_argument("--method", choices=METHODS, default="saliency_map", help="default: saliency_map")
    parser.add_argument(
        "--parts",
        type=int,
        nargs="+",
        default=[],
        metavar="ID",
        help="parts of the line by their number in the journal; --data is then the daemon's archive.folder",
    )
    parser.set_defaults(verb=_maps)


def _add_check(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "check", "hold the methods against masks and against the network", _CHECK)
    _add_source(parser, limit=40)
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="FOLDER",
        help="<class>/<photo>.png, 255 where the fault is, as tools/synthesize.py render --masks writes them",
    )
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME", help="default: all"
    )
    parser.add_argument(
        "--probes", type=positive, default=8, metavar="N", help="photos for what takes many maps each; default: 8"
    )
    parser.add_argument(
        "--certain",
        type=_share,
        metavar="X",
        help="from which certainty a photo counts as certain; default: the engine's threshold, 0.5 for a run",
    )
    parser.set_defaults(verb=_check, parts=[])


def _add_methods(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "methods", "try every method on every backbone and head", _METHODS)
    parser.add_argument("--images", type=positive, default=20, metavar="N", help="default: 20")
    parser.add_argument("--size", type=_side, default=96, metavar="PX", help="of the images; default: 96")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the table as CSV, too")
    parser.set_defaults(verb=_methods)


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str, epilog: str
) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name, help=what, description=what, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _add_source(parser: argparse.ArgumentParser, limit: int) -> None:
    parser.add_argument("model", type=Path, help="run folder of tools/train.py, or engine bundle with its --run")
    parser.add_argument("--run", type=Path, help="the run that the engine was built from")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="manifest of tools/prepare_data.py (csv), or folder of photos; folders in it name their classes",
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="of the manifest; default: test")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument(
        "--limit", type=positive, default=limit, metavar="N", help=f"photos, as many of each class; default: {limit}"
    )
    parser.add_argument(
        "--target",
        choices=TARGETS,
        default="contrast",
        help="class: log K of the predicted class, or its logit; contrast: the same, less the mean of the other classes; "
        "certainty: K itself, or the probability; default: contrast",
    )


def _maps(args: argparse.Namespace) -> None:
    source, subjects = _opened(args)
    method, spec = METHODS[args.method], source.settings.input
    photos = look(source, subjects)
    network = Network(source.classifier, args.target)
    title = f"{args.method} of {args.target}"
    explanations: list[Explanation] = []
    written = []
    for number, explanation in enumerate(
        track(explain(network, method, photos), args.method, total=len(photos)), start=1
    ):
        seen = explanation.seen
        path = args.out / class_of(seen) / f"{number:04d}-{seen.subject.path.stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(explanation, spec, title).save(path)
        explanations.append(explanation)
        written.append((path, explanation))
    pages = write_pages(args.out, explanations, spec)
    _write_maps_csv(args.out / "maps.csv", written)
    _warn(explanations)
    print(f"{len(explanations)} maps in {args.out}; a page a class: {', '.join(page.name for page in pages)}")


def _write_maps_csv(path: Path, written: Sequence[tuple[Path, Explanation]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("photo", "truth", "predicted", "certainty", "off_by", "map"))
        for drawn, explanation in written:
            seen = explanation.seen
            gap = "" if explanation.gap is None else explanation.gap
            row = (seen.subject.path, seen.subject.truth, seen.predicted, seen.certainty, gap)
            writer.writerow((*row, drawn.relative_to(path.parent)))


def _warn(explanations: Sequence[Explanation]) -> None:
    blank = sum(explanation.is_blank for explanation in explanations)
    broken = sum(explanation.gap is not None and not is_whole(explanation.gap) for explanation in explanations)
    if blank:
        print(f"explain: {blank} map(s) are zero everywhere and say nothing; try another --method", file=sys.stderr)
    if broken:
        print(
            f"explain: {broken} map(s) don't add up to the score within 1 % (off_by in maps.csv): don't rely on them",
            file=sys.stderr,
        )


def _check(args: argparse.Namespace) -> None:
    source, subjects = _opened(args)
    photos = look(source, subjects)
    known = truths(photos, args.masks, source)
    if args.masks is not None and all(truth.fault is None for truth in known):
        raise ConfigError(
            f"--masks {args.masks}: holds no mask of any of the {len(photos)} photos (<class>/<photo>.png)"
        )
    checked = check(source, args.target, args.methods, photos, known, args.probes)
    certain = args.certain or source.threshold or 0.5
    found = rows(checked)
    wrong = wrong_reason(checked, certain)
    args.out.mkdir(parents=True)
    write_rows(args.out / "check.csv", found, Row)
    write_rows(args.out / "photos.csv", checked.measured, Measured)
    write_rows(args.out / "sanity.csv", checked.sanity, SanityStep)
    write_rows(args.out / "wrong_reason.csv", [row for suspects, _ in wrong.values() for row in suspects], Measured)
    _write_suspects(args.out, checked, wrong, source)
    title = f"{source.name}, {args.target}: {len(photos)} photos, {min(args.probes, len(photos))} probes"
    console().print(table(title, found))
    for row in found:
        if row.method not in CONTROLS:
            print(f"{row.method}, {row.seconds:.2f} s per photo: {row.remarks or 'nothing speaks against it'}")
    for name, reason in checked.refused.items():
        print(f"{name} does not apply: {reason}")
    for name, (suspects, looked) in wrong.items():
        print(
            f"{name}: {len(suspects)} of {looked} right and certain (>= {certain:.2f}) photos mostly off the label or fault"
        )
    print(f"all figures: {args.out}")


def _write_suspects(
    folder: Path, checked: Checked, wrong: dict[str, tuple[list[Measured], int]], source: Source
) -> None:
    for name, (suspects, _) in wrong.items():
        by_path = {explanation.seen.subject.path: explanation for explanation in checked.explanations[name]}
        shown = [by_path[row.path] for row in suspects[:_SHEET]]
        if shown:
            write_sheet(folder / f"wrong_reason_{name}.png", shown, source.settings.input)


def _methods(args: argparse.Namespace) -> None:
    total = 2 * 4 * len(TARGETS) * len(METHODS)
    found = list(track(trials(args.images, args.size), "methods", total=total))
    if args.out is not None:
        write_rows(args.out, found, Trial)
    page = Table(box=SIMPLE_HEAD, title=f"ms per image, {args.images} images of {args.size} px", pad_edge=False)
    for column in ("backbone", "head", "target", *METHODS):
        page.add_column(column.replace("_", "_\n"), overflow="fold")
    for model, head, target in dict.fromkeys((trial.model, trial.head, trial.target) for trial in found):
        own = [trial for trial in found if (trial.model, trial.head, trial.target) == (model, head, target)]
        page.add_row(model, head, target, *(_cell(trial) for trial in own))
    screen = console()
    screen.print(page)
    for reason in dict.fromkeys(trial.refused for trial in found if trial.refused):
        screen.print(f"refused: {reason}")


def _cell(trial: Trial) -> str:
    if trial.refused:
        return "refused"
    off = "" if trial.largest_gap is None else f"\noff by {trial.largest_gap:.1%}"
    return f"{1000 * trial.seconds:.0f}{off}"


def _opened(args: argparse.Namespace) -> tuple[Source, list[Subject]]:
    source = open_source(args.model, args.run)
    return source, choose(find_subjects(args.data, args.split, args.parts), args.limit)


def _side(text: str) -> int:
    value = int(text)
    if not 64 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"{text}: must be between 64 and 1024")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: must be above 0 and at most 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
