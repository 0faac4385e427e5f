"""What the pages say is what the code does."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from inspectd.config import Config, load_config
from inspectd.errors import InspectdError
from tests.docs.pages import DOCS, ROOT, Block, blocks, pages

_CONFIGS = [block for block in blocks("yaml") if block.mark.startswith("line config")]
_TROUBLESHOOTING = (DOCS / "line" / "troubleshooting.md").read_text()
_LEVELS = {"debug", "info", "warning", "error", "critical"}


@pytest.mark.parametrize("block", _CONFIGS, ids=lambda block: f"{block.page}:{block.line}")
def test_line_configs_can_be_loaded(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "line.yaml"
    if block.mark.endswith("part"):
        [(name, values)] = yaml.safe_load(block.text).items()
        TypeAdapter(Config.model_fields[name].annotation).validate_python(values)
    else:
        path.write_text(block.text)
        load_config(path)


def test_the_archive_is_where_the_service_has_it() -> None:
    archive = load_config(ROOT / "systemd" / "line.yaml").archive
    assert archive is not None
    named = {
        path for page in pages() for path in re.findall(r"/var/lib/inspectd/(?:archive|images)\b", page.read_text())
    }
    assert named == {str(archive.folder)}


def test_troubleshooting_lists_every_log_message() -> None:
    logged = set(_log_events())
    listed = set(re.findall(r"^\| `([^`]+)` \|", _TROUBLESHOOTING, re.MULTILINE))
    assert logged - listed == set(), "logged by the code, but not explained on the page"
    assert listed - logged == set(), "explained on the page, but not logged by the code"


def _log_events() -> Iterator[str]:
    """What `log.info(...)` and the like are given first. Parts that change are shown as an ellipsis."""
    for path in sorted((ROOT / "inspectd").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            match node:
                case ast.Call(ast.Attribute(ast.Name("log"), level), [event, *_]) if level in _LEVELS:
                    yield _shown(event, tree)


def _shown(event: ast.expr, module: ast.Module) -> str:
    match event:
        case ast.Constant(str() as text):
            return text
        case ast.JoinedStr(values):
            return "".join(_shown(value, module) for value in values)
        case ast.FormattedValue() | ast.Name():
            return "…"
        case ast.Call(ast.Name(name)):  # a function of the same module that makes the sentence
            function = next(each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == name)
            return _shown(
                next(each.value for each in function.body if isinstance(each, ast.Return) and each.value), module
            )
    raise AssertionError(f"{ast.unparse(event)}: a log message must be text, so that people can look it up")


def test_troubleshooting_lists_every_exit_code() -> None:
    listed = set(map(int, re.findall(r"^\| (\d+) \|", _TROUBLESHOOTING, re.MULTILINE)))
    raised = {error.exit_code for error in (InspectdError, *InspectdError.__subclasses__())}
    assert raised | {0, 1, 2, 130} == listed


def test_files_that_the_pages_name_exist() -> None:
    named = re.compile(r"`((?:inspectd|tools|tests|config|systemd)/[\w./-]+)`")
    missing = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in pages()
        for path in named.findall(page.read_text())
        if not (ROOT / path).exists() and not path.startswith("config/training/<")
    ]
    assert missing == []


def test_the_readme_is_short_and_its_links_work() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.encode()) <= 6144
    for link in re.findall(r"\]\(([^)#]+)", readme):
        assert (ROOT / link).exists(), link


@pytest.mark.slow
def test_the_site_builds_and_fetches_nothing(tmp_path: Path) -> None:
    """Strict: a broken link or anchor, or a page that is not in the navigation, is an error."""
    if find_spec("material") is None:
        pytest.skip("needs mkdocs-material: pip install -e '.[docs]'")
    if find_spec("torch") is None:
        pytest.skip("the command line reference needs the training tools: pip install -e '.[train]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    fetched = re.compile(
        r"""<(?:script|img|iframe)[^>]+src=["']?(?:https?:)?//|<link[^>]+rel=["']?(?:stylesheet|preconnect)[^>]+//"""
    )
    assert [page.name for page in tmp_path.rglob("*.html") if fetched.search(page.read_text())] == []
