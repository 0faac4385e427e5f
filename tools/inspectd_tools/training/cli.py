"""Train a classifier on photos: a manifest of prepare_data.py, or a folder with one folder of photos per class.

The run folder then holds the weights, the settings that were used, the epochs and the results.
`tools/build_engine.py` makes an engine from it.
"""

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inspectd.errors import ConfigError
from inspectd.files.csv_file import is_csv
from inspectd.terminal import console
from inspectd_tools.changes import add_set_option, as_changes
from inspectd_tools.cli import add_device_option, exit_code, new_parser, positive, renamed
from inspectd_tools.data.manifest import SPLITS, DataManifest, read_manifest
from inspectd_tools.data.published import usual_unknown
from inspectd_tools.metrics.classification import over_runs, summary_table
from inspectd_tools.settings import TrainingSettings, load_settings, names
from inspectd_tools.training.folds import FEW_PARTS, FOLDS, usual_folds

if TYPE_CHECKING:
    import torch

_EPILOG = """\
examples:
  python tools/synthesize.py render out/train --count-per-class 1500 --seed 1
  python tools/train.py filter-label --data out/train --weights mobilenet_v2-imagenet-features.safetensors \\
      --run runs/filter-label --set epochs=8
  python tools/prepare_data.py photos/tiles --out tiles.csv
  python tools/train.py photos --data tiles.csv --set pass_class=free \\
      --weights mobilenet_v2-imagenet-features.safetensors --run runs/tiles --unknown photos/steel
  python tools/train.py duq-fashionmnist --n_runs 3
  torchrun --nproc-per-node 4 tools/train.py duq-fashionmnist
      the same training; 4 processes share each batch, each on a GPU of its own if there are 4

exit codes: 0 done, 1 the disk reports an error, 2 wrong usage, 78 the settings or the photos can't be used"""


@dataclass(frozen=True, slots=True)
class Options:
    settings: str
    data: Path | None
    run: Path | None
    resume: bool
    weights: Path | None
    unknown: list[Path]
    n_runs: int
    folds: int | None
    device: str
    compile: bool
    changes: list[str]


def parser() -> ArgumentParser:
    parser = new_parser(__doc__, _EPILOG)
    parser.add_argument("settings", help=f"training settings, a file of config/training: {', '.join(names())}")
    parser.add_argument(
        "--data",
        type=Path,
        help="manifest (csv), or folder with one folder of photos per class; not needed for a published data set",
    )
    parser.add_argument("--run", type=Path, help="new folder for weights and results; default: runs/<settings>")
    parser.add_argument("--resume", action="store_true", help="continue a run that was interrupted")
    parser.add_argument(
        "--weights",
        type=Path,
        help="file with the pretrained backbone (safetensors or state dict), for settings with pretrained: true; "
        "default: the weights of torchvision",
    )
    parser.add_argument(
        "--unknown",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="unknown photos, a folder or an idx file: measure how well certainty distinguishes them from the test "
        "photos; may be repeated",
    )
    parser.add_argument(
        "--n_runs",
        type=positive,
        default=1,
        metavar="N",
        help="train N times, each with another seed, into <run>/seed-<n>; default: 1",
    )
    parser.add_argument(
        "--folds",
        type=_folds,
        metavar="N",
        help="cross-validate: train with all train and val photos of the manifest, and judge each by a network that did not "
        "learn from its part, in N folds; 0: do not. A network that is trained (epochs above 0) takes N trainings more; "
        f"default: {FOLDS} if only the head is fitted and a class has photos of fewer than {FEW_PARTS} parts, else 0",
    )
    add_device_option(parser)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the network with torch.compile, which takes a minute or two at the start; not with gp_const",
    )
    renamed(parser, "--ood", "--unknown")
    add_set_option(parser, "the training settings")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = Options(**vars(parser().parse_args(arguments)))
    return exit_code("train", lambda: _in_all_processes(options))


def _in_all_processes(options: Options) -> None:
    from inspectd_tools.device import resolve  # torch takes seconds to import
    from inspectd_tools.distributed import is_first, processes

    device = resolve(options.device)
    with processes(device), ExitStack() as stack:
        if not is_first():
            stack.enter_context(redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
        _train(options, device)


def _train(options: Options, device: "torch.device") -> None:
    from inspectd_tools.distributed import is_first
    from inspectd_tools.training.run import Start, run

    if options.data is not None and not options.data.exists():
        raise ConfigError(f"--data {options.data}: no such folder or manifest")
    manifest = read_manifest(options.data, "train") if options.data is not None and is_csv(options.data) else None
    # the order of the classes is the manifest's, whatever the settings say
    order = [] if manifest is None else as_changes({"classes": manifest.classes})
    settings = load_settings(options.settings, [*order, *options.changes])
    if options.compile and settings.gp_const is not None:
        parser().error(
            "--compile: torch.compile can't differentiate twice, which gp_const needs; set gp_const=null or leave it out"
        )
    folder = options.run or Path("runs") / options.settings
    if options.weights is not None and not settings.pretrained:
        parser().error("--weights: the settings have pretrained: false, which uses no weights")
    if is_first() and folder.exists() and not options.resume:
        parser().error(f"{folder}: exists; give a new folder, so that no earlier run is lost, or --resume")
    folds = _chosen_folds(options, manifest, settings)
    unknown = options.unknown or usual_unknown(settings)
    results = []
    for seed in range(settings.seed, settings.seed + options.n_runs):
        own_folder = folder / f"seed-{seed}" if options.n_runs > 1 else folder
        own_settings = settings.model_copy(update={"seed": seed})
        start = Start(options.weights, device, options.compile)
        results.append(run(own_settings, manifest or options.data, start, unknown, own_folder, folds))
    if options.n_runs > 1 and is_first():
        summary = over_runs(results)
        (folder / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
        console().print(summary_table(summary))
    if is_first():
        data = f"--data {options.data}" if manifest else "--calibration PATH --test PATH"
        print(
            f"written to {folder}; next: build_engine.py {folder if options.n_runs == 1 else own_folder} --name NAME {data} --out FOLDER"
        )


def _chosen_folds(options: Options, manifest: DataManifest | None, settings: TrainingSettings) -> int:
    """How many folds; 0: none. Raises ConfigError if a manifest lacks photos of a class where they are needed."""
    if manifest is None or options.data is None:
        if options.folds:
            raise ConfigError(
                "--folds: needs a manifest of prepare_data.py as --data; it says which photos show the same part"
            )
        return 0
    folds = usual_folds(settings, manifest) if options.folds is None else options.folds
    if not folds:
        read_manifest(options.data, *(SPLITS if manifest.of("test") else SPLITS[:2]))
    elif options.folds is None:
        print(
            f"A class has photos of fewer than {FEW_PARTS} parts, so all train and val photos are used for both, by "
            f"cross-validation in {folds} folds; --folds 0 keeps them apart."
        )
    return folds


def _folds(text: str) -> int:
    number = int(text)
    if number < 0 or number == 1:
        raise ArgumentTypeError(f"{text}: must be 0 or at least 2")
    return number


if __name__ == "__main__":
    sys.exit(main())
