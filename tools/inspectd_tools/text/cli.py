"""Train a reader of printed text for the fonts of your printers, and measure it.

A line reads only fonts that its reader was commissioned for: each has a threshold, which its own calibration chose.
"""

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from inspectd.errors import ConfigError
from inspectd.files.text_file import read_bytes
from inspectd.text.bundle import load_reader_bundle
from inspectd.text.manifest import ReaderManifest
from inspectd_tools.cli import Verbs, add_verb, exit_code, new_parser, not_negative, positive, refuse_used_folder, share
from inspectd_tools.text import trial
from inspectd_tools.text.building import Description, build
from inspectd_tools.text.calibration import USUAL_ALPHA
from inspectd_tools.text.fonts import PRINTERS, PrintedFont, font, usual_sources
from inspectd_tools.text.network import Network, restore
from inspectd_tools.text.texts import ALPHABET
from inspectd_tools.text.training import Settings, Taught, train
from inspectd_tools.text.views import VIEWS

_EPILOG = """\
examples:
  python tools/reader.py train --out engines/filter-label-reader --name filter-label-reader
  python tools/reader.py commission engines/filter-label-reader --font jet=printer.ttf,rows=9 \\
      --font plate=photos/crops --out engines/line-3-reader --name line-3-reader
  python tools/reader.py evaluate engines/line-3-reader --font jet=printer.ttf,rows=9 --out out/line-3-reader

fonts:
  NAME=FILE.ttf                    a font file, printed as an outline (thermal transfer, laser)
  NAME=FILE.ttf,rows=9,drop=0.5    the same, printed in drops (ink-jet): 9 drops per capital, drops as large as half their distance
  NAME=FOLDER                      crops of good labels, one line each, with lines.csv (columns file and text)
  NAME=printer:dots                a font of the rendered labels: dots, sans, stroke, small_dots

exit codes: 0 done; 1 the disk reports an error, or `evaluate` found that a wrong line is accepted; 2 wrong usage;
78 a font or reader can't be used, or a font is not learned"""

_STEPS = 13_000
_COMMISSION_STEPS = 4500


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EPILOG)
    verbs = program.add_subparsers(required=True, metavar="VERB")
    verb = add_verb(verbs, "train", "train a reader from nothing; 10 to 15 minutes on 2 cores")
    _add_common(verb, _STEPS, "; default: the four fonts of the rendered labels")
    verb.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="model.onnx of an earlier training with the same command, to train on",
    )
    verb.set_defaults(work=_train)
    verb = add_verb(verbs, "commission", "make a reader for other fonts from a trained one; minutes")
    verb.add_argument("reader", type=Path, help="bundle of the trained reader; it is not changed")
    _add_common(verb, _COMMISSION_STEPS, "", required=True)
    verb.set_defaults(work=_commission)
    _add_evaluate(verbs)
    return program


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    is_bad: list[bool] = []
    code = exit_code("reader", lambda: is_bad.append(bool(options.work(options))))
    return code or int(any(is_bad))


def _add_common(verb: argparse.ArgumentParser, steps: int, default: str, *, required: bool = False) -> None:
    _add_font(verb, default, required=required)
    verb.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder for the bundle")
    verb.add_argument("--name", required=True, help="name of the reader, such as line-3-reader")
    verb.add_argument("--bundle-version", default="1.0.0", metavar="X.Y.Z", help="default: %(default)s")
    verb.add_argument(
        "--steps",
        type=not_negative,
        default=steps,
        metavar="N",
        help="batches of lines; 0: only calibrate again; default: %(default)s",
    )
    verb.add_argument("--seed", type=not_negative, default=0, metavar="N", help="default: %(default)s")
    verb.add_argument(
        "--alpha",
        type=share,
        default=USUAL_ALPHA,
        help="at most this share of the wrong lines may be accepted; with too few crops to show it, the least that they can show; "
        "default: %(default)s",
    )


def _add_font(verb: argparse.ArgumentParser, default: str, *, required: bool) -> None:
    verb.add_argument(
        "--font",
        action="append",
        default=[],
        required=required,
        metavar="NAME=...",
        help=f"a font of the printer, see below; may be repeated{default}",
    )


def _add_evaluate(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "evaluate",
        "count how many wrong lines a reader accepts and how many right ones it rejects, with its speed",
        description="Renders lines in print, light and fabric that trained and calibrated nothing: as many that say the right text as "
        "wrong ones of each kind. Without --font the fonts of the rendered labels are used.",
    )
    verb.add_argument("reader", type=Path, help="bundle; it is not changed")
    _add_font(verb, "", required=False)
    verb.add_argument(
        "--lines",
        type=positive,
        default=10_000,
        metavar="N",
        help="right lines, and as many wrong ones, of all fonts together; default: %(default)s",
    )
    verb.add_argument("--seed", type=not_negative, default=77, metavar="N", help="default: %(default)s")
    verb.add_argument(
        "--view", choices=VIEWS, help="draw each line under a condition that the reader was not trained for"
    )
    verb.add_argument(
        "--out", type=Path, metavar="FOLDER", help="new or empty folder for trial.json and pictures of the errors"
    )
    verb.set_defaults(work=_evaluate)


def _train(options: argparse.Namespace) -> None:
    refuse_used_folder(parser(), options.out)
    fonts = _fonts(options.font or [f"{name}=printer:{name}" for name in PRINTERS])
    torch.manual_seed(options.seed)
    network, made_from, rate = Network(), {"from": "nothing"}, 5e-3
    if options.weights is not None:
        model = read_bytes(options.weights)
        network, rate = restore(model, options.weights), 3e-3
        made_from = {"from": f"weights with SHA-256 {hashlib.sha256(model).hexdigest()}"}
    _make(network, fonts, options, Settings(options.steps, rate, seed=options.seed), made_from)


def _commission(options: argparse.Namespace) -> None:
    refuse_used_folder(parser(), options.out)
    fonts = _fonts(options.font)
    bundle = load_reader_bundle(options.reader)
    if bundle.manifest.alphabet != ALPHABET:
        raise ConfigError(
            f"{options.reader}: knows other characters than this version of the tools: train a reader from nothing"
        )
    network = restore(bundle.network, bundle.folder / bundle.manifest.network.path)
    made_from = {"from": f"{bundle.manifest.name} {bundle.manifest.version}", "reader_hash": bundle.hash}
    _make(network, fonts, options, Settings(options.steps, rate=2e-3, seed=options.seed), made_from)


def _make(
    network: Network,
    fonts: Sequence[PrintedFont],
    options: argparse.Namespace,
    settings: Settings,
    made_from: Mapping[str, object],
) -> None:
    usual = usual_sources()
    own_weight = 2 * len(usual) / len(fonts)
    taught = [Taught(one.source, own_weight) for one in fonts] + [Taught(source, 1) for source in usual]
    train(network, taught, settings)
    training = {**made_from, "steps": settings.steps, "rate": settings.rate, "seed": settings.seed}
    manifest = build(
        network, fonts, Description(options.name, options.bundle_version, options.alpha, training), options.out
    )
    _print_fonts(manifest)
    print(
        f"written to {options.out}; next: name it in `text.reader` of the line's config, or measure it: reader.py evaluate {options.out}"
    )


def _print_fonts(manifest: ReaderManifest) -> None:
    for name, one in manifest.fonts.items():
        print(
            f"{name} ({one.characters}): threshold {one.threshold:.4f}; of {one.right} right lines {one.right_rejected} are rejected; of {one.near_misses} lines "
            f"with near misses {one.near_misses_accepted} are accepted as another text (at most {one.false_accept_bound:.2%}, with {one.confidence:.0%} confidence)"
        )


def _evaluate(options: argparse.Namespace) -> bool:
    """Whether a wrong line is accepted."""
    if options.out is not None:
        refuse_used_folder(parser(), options.out)
    fonts = _fonts(options.font or [f"{name}=printer:{name}" for name in PRINTERS])
    found = trial.run(options.reader, fonts, options.lines, options.seed, VIEWS.get(options.view))
    trial.show(found)
    if options.out is not None:
        trial.write(found, options.out)
    return trial.all_wrong(found).errors > 0


def _fonts(texts: Sequence[str]) -> list[PrintedFont]:
    fonts = [font(text) for text in texts]
    names = [one.name for one in fonts]
    if len(set(names)) < len(names):
        raise ConfigError(f"--font: a name is given twice: {', '.join(names)}")
    return fonts


if __name__ == "__main__":
    sys.exit(main())
