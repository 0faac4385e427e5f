"""Make synthetic labels, mix them with real photos, and measure how similar they are.

`render` draws filters with printed labels: four classes of print and sixteen kinds of unknown labels, with faults from small
to gross. Each image has its complete truth: fault, size, place, text and code. Unknown labels are for testing a model, never
for training it. `compose` makes new photos from real ones: it lifts prints or faults from some photos and puts them onto
others. `mix` makes a training set of real and synthetic photos; its test photos stay real. `score` measures how similar
synthetic photos are to real ones, and whether they help.
"""

import argparse
import sys

from inspectd_tools.cli import exit_code, new_parser
from inspectd_tools.synthetic.compose.cli import PICK, add_compose, add_pick
from inspectd_tools.synthetic.mix.cli import add_mix
from inspectd_tools.synthetic.quality.cli import add_score
from inspectd_tools.synthetic.render.cli import add_render


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__)
    verbs = program.add_subparsers(required=True, metavar="VERB")
    add_render(verbs)
    add_compose(verbs)
    add_pick(verbs)
    add_mix(verbs)
    add_score(verbs)
    return program


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    if given[:2] == PICK.split():  # argparse has no verbs of two words
        given = [PICK, *given[2:]]
    options = vars(parser().parse_args(given))
    verb = options.pop("verb")
    return exit_code("synthesize", lambda: verb(options))


if __name__ == "__main__":
    sys.exit(main())
