"""The mkdocs hook: adds the pages that are generated from the code, each time the site is built."""

from collections.abc import Callable
from pathlib import Path

import command_line
import exit_codes
import journal
import rooms
import schema
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parents[2]
_ENGINE = _ROOT / "engines" / "filter-label"

PAGES: dict[str, Callable[[], str]] = {
    "reference/command-line.md": command_line.page,
    "reference/line-config.md": schema.line_config,
    "reference/training-settings.md": schema.training_settings,
    "reference/experiment-file.md": schema.experiment_file,
    "reference/engine-bundle.md": schema.engine_bundle,
    "reference/journal.md": journal.page,
    "reference/exit-codes.md": exit_codes.page,
    "development/rooms.svg": rooms.drawing,
    "results/shipped-engine/card.md": (_ENGINE / "card.md").read_text,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, content in PAGES.items():
        files.append(File.generated(config, path, content=content()))
    for picture in ("threshold.png", "explanations.jpg"):
        files.append(File.generated(config, f"results/shipped-engine/{picture}", abs_src_path=str(_ENGINE / picture)))
    return files
