"""`synthesize.py score`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inspectd.terminal import console
from inspectd_tools.cli import Verbs, add_verb, not_negative

_EXAMPLES = """\
examples:
  python tools/synthesize.py score runs/labels-gan/images labels.csv --weights mobilenet_v2-imagenet-features.safetensors
  python tools/synthesize.py score out/train photos/labels --weights inception_v3_google.pth --network InceptionV3 \\
      --out score.json

The train photos of a manifest count as those that the synthetic photos were made from, its test photos as unseen. A folder
is split into two halves at random. That is correct only if no synthetic photo was made from it; otherwise give a manifest.

exit codes: 0 done, 1 a file could not be written, 2 wrong usage, 78 the photos or weights cannot be used"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; its help explains each field."""

    synthetic: Path
    real: Path
    weights: Path | None
    network: Literal["MobileNetV2", "InceptionV3"]
    out: Path | None
    seed: int


def add_score(verbs: Verbs) -> None:
    verb = add_verb(verbs, "score", "how similar are synthetic photos to real ones, and do they help?", _EXAMPLES)
    verb.add_argument("synthetic", type=Path, help="folder with one folder of photos per class")
    verb.add_argument("real", type=Path, help="manifest of prepare_data.py (csv), or such a folder")
    verb.add_argument(
        "--weights",
        type=Path,
        help="weights of the network whose features are compared; default: those of torchvision",
    )
    verb.add_argument("--network", choices=("MobileNetV2", "InceptionV3"), default="MobileNetV2")
    verb.add_argument("--out", type=Path, metavar="JSON", help="also write all figures to this file")
    verb.add_argument("--seed", type=not_negative, default=0, help="for halves and resampling; default: 0")
    verb.set_defaults(verb=lambda given: _score(Options(**given)))


def _score(options: Options) -> None:
    # the processes of `render` import this module too, and do not need torch
    from inspectd_tools.synthetic.quality.features import FeatureSpace
    from inspectd_tools.synthetic.quality.photos import load
    from inspectd_tools.synthetic.quality.score import probe_table, score, similarity_table

    space = FeatureSpace(options.network, options.weights)
    found = score(load(options.synthetic, options.real, options.seed), space, options.seed)
    console().print(similarity_table(found), probe_table(found))
    if options.out:
        options.out.write_text(json.dumps(found.as_json(), indent=2), encoding="utf-8")
