"""Show where a trained classifier looks, and check which attribution methods can be trusted.

`maps` draws attribution maps of photos. `check` compares every method with the masks of faults and with the network.
`methods` tries every method on every backbone and head.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from inspectd.errors import ConfigError
from inspectd.terminal import console, track
from inspectd_tools.cli import Verbs, add_device_option, add_verb, exit_code, new_parser, positive, share
from inspectd_tools.data.manifest import SPLITS, Split
from inspectd_tools.device import resolve
from inspectd_tools.explain.check import check, truths
from inspectd_tools.explain.coverage import TARGETS, Trial, methods_table, trial_count, trials
from inspectd_tools.explain.explanation import look
from inspectd_tools.explain.maps import write_maps
from inspectd_tools.explain.methods import METHODS, STEPS
from inspectd_tools.explain.network import Target
from inspectd_tools.explain.report import print_report, rows, write_report, write_rows, wrong_reason
from inspectd_tools.explain.source import Source, Subject, choose, find_subjects, open_source

_EXAMPLES = f"""\
examples:
  python tools/explain.py maps runs/tiles --data tiles.csv --method integrated_gradients --out out/tiles-maps
  python tools/explain.py maps engines/filter-label --run runs/filter-label --data /var/lib/inspectd/archive \\
      --parts 1042 1043 --out out/why-rejected
  python tools/explain.py check runs/tiles --data tiles.csv --masks magnetic_tile/masks --limit 40 --out out/tiles-check
  python tools/explain.py methods --images 20 --size 96

methods, fastest first:
  grad_cam                which region of the last feature map matters; coarse, a whole data set takes seconds
  saliency_map            which pixels change the score most
  guided_backpropagation  the same, but ReLUs pass only positive gradients back; only for networks with ReLU
  deeplift                how the difference of each pixel from mean grey adds up to the score
  integrated_gradients    the same, in {STEPS} steps or more from mean grey to the image; slow

exit codes: 0 done, 1 a file could not be written, 2 wrong usage, 78 the model, the photos or the masks cannot be used, or the
method does not apply to the network"""

_MAPS = """\
written to --out:
  <class>/<number>-<photo>.png    photo with prediction and certainty, heat map, overlay
  <class>.png                     one page per class with its overlays
  maps.csv                        one row per photo: prediction, certainty, error of the sum

exit codes: as explain.py"""

_CHECK = """\
written to --out:
  check.csv                   one row per method, as printed
  photos.csv                  one row per method and photo
  sanity.csv                  how similar the maps stay while the weights become random, layer by layer
  wrong_reason.csv            photos that are right and certain although most of their map is outside the label
  wrong_reason_<method>.png   their overlays, lowest share inside the label first

what is measured, means over the photos:
  in fault (area)     share of the map's magnitude inside the mask of the fault; an even map has the share of the area
  points at fault     photos whose largest value is in the mask or up to 15 px beside it, with its 95 % interval
  in label            share inside the outline of the label (rendered photos, from their truth.csv)
  deletion AUC        area under the score while pixels turn grey, most important first: low is good
  insertion AUC       area under the score while a blurred photo gets its pixels back: high is good
  unexplained         infidelity under noise, 0: the map predicts every change of the score, 1: none (--probes photos)
  sensitivity         how much the map changes, as a share, when pixels change by up to 0.02 (--probes photos)
  random net          Spearman's rank correlation and SSIM of the maps before and after all weights are random: above 0.5
                      the map shows the photo, not the network (--probes photos); a map that stays the same when only the
                      head is random would show the same for any class
(edges) and (chance) are controls that do not use the network.

exit codes: as explain.py"""

_METHODS = """\
The weights are random and the images are noise. The table shows what works and how long it takes, not how good a map is.
"off by": largest difference between the sum of a map and f(image) - f(baseline), as a share; above 1 % the map is not complete.

exit codes: 0 done, 2 wrong usage"""


@dataclass(frozen=True, slots=True)
class _SourceOptions:
    model: Path
    run: Path | None
    data: Path
    split: Split
    out: Path
    limit: int
    target: Target
    device: str

    def open(self, parts: list[int]) -> tuple[Source, list[Subject]]:
        """The model, and the photos to explain. Raises ConfigError or EngineError."""
        source = open_source(self.model, self.run)
        source.classifier.to(resolve(self.device))
        return source, choose(find_subjects(self.data, self.split, parts), self.limit)


@dataclass(frozen=True, slots=True)
class MapsOptions(_SourceOptions):
    method: str
    parts: list[int]


@dataclass(frozen=True, slots=True)
class CheckOptions(_SourceOptions):
    masks: Path | None
    methods: list[str]
    probes: int
    certain: float | None


@dataclass(frozen=True, slots=True)
class MethodsOptions:
    images: int
    size: int
    out: Path | None
    device: str


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EXAMPLES)
    verbs = program.add_subparsers(required=True, metavar="VERB")
    _add_maps(verbs)
    _add_check(verbs)
    _add_methods(verbs)
    return program


def main(arguments: list[str] | None = None) -> int:
    program = parser()
    given = vars(program.parse_args(arguments))
    options = given.pop("options")(**given)
    if options.out is not None and options.out.exists():
        program.error(f"--out {options.out}: exists; give a new one, so that no earlier result is lost")
    return exit_code("explain", lambda: _explain(options))


def _explain(options: MapsOptions | CheckOptions | MethodsOptions) -> None:
    match options:
        case MapsOptions():
            _maps(options)
        case CheckOptions():
            _check(options)
        case MethodsOptions():
            _methods(options)


def _add_maps(verbs: Verbs) -> None:
    verb = add_verb(verbs, "maps", "draw attribution maps of photos", _MAPS)
    _add_source(verb, limit=100)
    verb.add_argument("--method", choices=METHODS, default="saliency_map", help="default: saliency_map")
    verb.add_argument(
        "--parts",
        type=int,
        nargs="+",
        default=[],
        metavar="ID",
        help="numbers of parts in the journal; --data is then the daemon's archive.folder",
    )
    verb.set_defaults(options=MapsOptions)


def _add_check(verbs: Verbs) -> None:
    verb = add_verb(verbs, "check", "compare the methods with masks and with the network", _CHECK)
    _add_source(verb, limit=40)
    verb.add_argument(
        "--masks",
        type=Path,
        metavar="FOLDER",
        help="<class>/<photo>.png, 255 where the fault is, as tools/synthesize.py render --masks writes them",
    )
    verb.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME", help="default: all"
    )
    verb.add_argument(
        "--probes",
        type=positive,
        default=8,
        metavar="N",
        help="number of photos for the measurements that need many maps per photo; default: 8",
    )
    verb.add_argument(
        "--certain",
        type=share,
        metavar="X",
        help="a photo is certain from this certainty on; default: the threshold of the engine, 0.5 for a run",
    )
    verb.set_defaults(options=CheckOptions)


def _add_methods(verbs: Verbs) -> None:
    verb = add_verb(verbs, "methods", "try every method on every backbone and head", _METHODS)
    verb.add_argument("--images", type=positive, default=20, metavar="N", help="default: 20")
    verb.add_argument("--size", type=_side, default=96, metavar="PX", help="side of the images; default: 96")
    verb.add_argument("--out", type=Path, metavar="FILE", help="also write the table to this CSV file")
    add_device_option(verb)
    verb.set_defaults(options=MethodsOptions)


def _add_source(verb: argparse.ArgumentParser, limit: int) -> None:
    verb.add_argument("model", type=Path, help="run folder of tools/train.py, or engine bundle with its --run")
    verb.add_argument("--run", type=Path, help="the run that the engine was built from")
    verb.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="manifest of tools/prepare_data.py (csv), or folder of photos; folders in it are named like their class",
    )
    add_device_option(verb)
    verb.add_argument("--split", choices=SPLITS, default="test", help="part of the manifest; default: test")
    verb.add_argument("--out", type=Path, required=True, help="new folder")
    verb.add_argument(
        "--limit",
        type=positive,
        default=limit,
        metavar="N",
        help=f"number of photos, equally many per class; default: {limit}",
    )
    verb.add_argument(
        "--target",
        choices=TARGETS,
        default="contrast",
        help="class: log K of the predicted class, or its logit; contrast: the same minus the mean of the other classes; "
        "certainty: K itself, or the probability; default: contrast",
    )


def _maps(options: MapsOptions) -> None:
    source, subjects = options.open(options.parts)
    write_maps(source, look(source, subjects), options.method, options.target, options.out)


def _check(options: CheckOptions) -> None:
    source, subjects = options.open([])
    photos = look(source, subjects)
    known = truths(photos, options.masks, source)
    if options.masks is not None and all(truth.fault is None for truth in known):
        raise ConfigError(
            f"--masks {options.masks}: has no mask for any of the {len(photos)} photos (<class>/<photo>.png)"
        )
    checked = check(source, options.target, options.methods, photos, known, options.probes)
    certain = options.certain if options.certain is not None else source.threshold or 0.5
    found, wrong = rows(checked), wrong_reason(checked, certain)
    write_report(options.out, checked, found, wrong, source.settings.input)
    title = f"{source.name}, {options.target}: {len(photos)} photos, {min(options.probes, len(photos))} probes"
    print_report(title, checked, found, wrong, certain)
    print(f"all figures: {options.out}")


def _methods(options: MethodsOptions) -> None:
    found = list(track(trials(options.images, options.size, resolve(options.device)), "methods", total=trial_count()))
    if options.out is not None:
        write_rows(options.out, found, Trial)
    screen = console()
    screen.print(methods_table(found, f"ms per image, {options.images} images of {options.size} px"))
    for reason in dict.fromkeys(trial.refused for trial in found if trial.refused):
        screen.print(f"refused: {reason}")


def _side(text: str) -> int:
    value = int(text)
    if not 64 <= value <= 1024:
        raise argparse.ArgumentTypeError(f"{text}: must be between 64 and 1024")
    return value


if __name__ == "__main__":
    sys.exit(main())
