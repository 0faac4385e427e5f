"""Synthetic labels.

`render` draws filters with printed labels from nothing: four classes of print and twelve kinds of unknowns, each with
its whole truth. Unknowns are there to test a model, never to train it. `compose` makes new photos of real ones: it lifts
prints or faults and puts them elsewhere. `mix` makes a training set of real and synthetic photos; its test stays real.
`score` says how close synthetic photos are to real ones, and whether they help.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from inspectd.terminal import console, progress_bar
from inspectd_tools.cli import exit_code, not_negative, refuse_used_folder
from inspectd_tools.synthetic.compose.cli import PICK, add_compose
from inspectd_tools.synthetic.mix.mix import add_mix
from inspectd_tools.synthetic.render.dataset import folders_of_classes, mixed_stream, write
from inspectd_tools.synthetic.render.style import STYLES

_EXAMPLES = """\
examples:
  one folder a class, to train with:
    python tools/synthesize.py render out/train --count-per-class 500 --seed 1
  one flat folder in random order, a tenth of it unknown, as a line sees it:
    python tools/synthesize.py render out/labels --flat --count 400 --unknown-share 0.1 --seed 2

exit codes: 0 done, 1 the disk refused, 2 wrong usage"""

_SCORE_EXAMPLES = """\
examples:
  python tools/synthesize.py score runs/labels-gan/images labels.csv --weights mobilenet_v2-imagenet-features.safetensors
  python tools/synthesize.py score out/train photos/labels --weights inception_v3_google.pth --network InceptionV3 \\
      --out score.json

A manifest's train photos count as those that the synthetic ones were made from, its test photos as unseen. A folder is
halved at random: fine where nothing was made from it, else give a manifest.

exit codes: 0 done, 1 the disk refused, 2 wrong usage, 78 the photos or weights can't be used"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_render(verbs)
    add_compose(verbs)
    add_mix(verbs)
    _add_score(verbs)
    given = sys.argv[1:] if arguments is None else arguments
    if given[:2] == PICK.split():  # a verb of two words
        given = [PICK, *given[2:]]
    args = parser.parse_args(given)
    return exit_code("synthesize", lambda: args.verb(args, parser))


def _add_render(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "render",
        help="draw labels from nothing, with their truth",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="a new or empty folder")
    parser.add_argument("--count-per-class", type=not_negative, default=100, metavar="N", help="default: 100")
    parser.add_argument("--unknowns-per-kind", type=not_negative, default=0, metavar="N", help="default: 0")
    parser.add_argument(
        "--flat", action="store_true", help="one folder in random order; takes --count, --unknown-share"
    )
    parser.add_argument("--count", type=not_negative, default=400, metavar="N", help="with --flat; default: 400")
    parser.add_argument("--unknown-share", type=_share, default=0.1, metavar="X", help="with --flat; default: 0.1")
    parser.add_argument("--masks", action="store_true", help="write masks/ too: 255 where the fault shows")
    parser.add_argument(
        "--style",
        choices=STYLES,
        default="training",
        help="plant: other fabric, fonts, light and camera, as a stand-in for real photos; default: training",
    )
    parser.add_argument("--seed", type=not_negative, default=0, help="same seed, same bytes; default: 0")
    parser.add_argument(
        "--workers", type=not_negative, default=os.cpu_count(), metavar="N", help="processes; default: all cores"
    )
    parser.set_defaults(verb=_render)


def _render(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    refuse_used_folder(parser, args.out)
    if args.flat:
        orders = mixed_stream(args.count, args.unknown_share, args.seed)
    else:
        orders = folders_of_classes(args.count_per_class, args.unknowns_per_kind, args.seed)
    if not orders:
        parser.error("nothing to render: all counts are 0")
    start_s = time.monotonic()
    with progress_bar() as progress:
        task = progress.add_task("render", total=len(orders))
        for _ in write(orders, args.out, masks=args.masks, workers=max(1, args.workers), style=STYLES[args.style]):
            progress.advance(task)
    seconds = time.monotonic() - start_s
    print(f"{len(orders)} images in {seconds:.1f} s ({len(orders) / seconds:.0f}/s) -> {args.out}")


def _add_score(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = verbs.add_parser(
        "score",
        help="how close are synthetic photos to real ones, and do they help?",
        epilog=_SCORE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("synthetic", type=Path, help="folder with one folder of photos a class")
    parser.add_argument("real", type=Path, help="manifest of prepare_data.py (csv), or a folder like it")
    parser.add_argument(
        "--weights", type=Path, help="network in whose features photos are compared; default: torchvision's own"
    )
    parser.add_argument("--network", choices=("MobileNetV2", "InceptionV3"), default="MobileNetV2")
    parser.add_argument("--out", type=Path, metavar="JSON", help="write all figures here too")
    parser.add_argument("--seed", type=not_negative, default=0, help="of halves and resampling; default: 0")
    parser.set_defaults(verb=_score)


def _score(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    # the workers of `render` import this module too, and need no torch
    from inspectd_tools.synthetic.quality.features import FeatureSpace
    from inspectd_tools.synthetic.quality.photos import load
    from inspectd_tools.synthetic.quality.score import closeness_table, probe_table, score

    space = FeatureSpace(args.network, args.weights)
    found = score(load(args.synthetic, args.real, args.seed), space, args.seed)
    console().print(closeness_table(found), probe_table(found))
    if args.out:
        args.out.write_text(json.dumps(found.as_json(), indent=2), encoding="utf-8")


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: must be between 0 and 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
