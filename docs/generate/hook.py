"""The mkdocs hook: adds the pages that are generated from the code, each time the site is built."""

import re
from collections.abc import Callable
from functools import partial
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


def _root_page(name: str) -> str:
    """A page that stands in the repository's root, with its links as they are from `docs/development`."""
    text = (_ROOT / name).read_text()
    return re.sub(r"\]\((?:docs/)?([\w/.-]+?)\.md", _link, text)


def _link(match: re.Match[str]) -> str:
    path = match.group(1)
    return f"](../{path}.md" if "/" in path else f"]({path.lower()}.md"


PAGES: dict[str, Callable[[], str]] = {
    "reference/command-line.md": command_line.page,
    "reference/line-config.md": schema.line_config,
    "reference/page-config.md": schema.page_config,
    "reference/metrics-config.md": schema.metrics_config,
    "reference/mqtt-config.md": schema.mqtt_config,
    "reference/mqtt-messages.md": schema.mqtt_messages,
    "reference/pull-config.md": schema.pull_config,
    "reference/training-settings.md": schema.training_settings,
    "reference/experiment-file.md": schema.experiment_file,
    "reference/engine-bundle.md": schema.engine_bundle,
    "reference/journal.md": journal.page,
    "reference/exit-codes.md": exit_codes.page,
    "development/contributing.md": partial(_root_page, "CONTRIBUTING.md"),
    "development/changelog.md": partial(_root_page, "CHANGELOG.md"),
    "development/security.md": partial(_root_page, "SECURITY.md"),
    "development/rooms.svg": rooms.daemon,
    "development/tools.svg": rooms.tools,
    "results/shipped-engine/card.md": (_ENGINE / "card.md").read_text,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, content in PAGES.items():
        files.append(File.generated(config, path, content=content()))
    for picture in ("threshold.png", "explanations.jpg", "pod.png"):
        files.append(File.generated(config, f"results/shipped-engine/{picture}", abs_src_path=str(_ENGINE / picture)))
    return files
