"""Files that come with the project: configs in `config/`, engines in `engines/`."""

from pathlib import Path

_PACKAGES = Path(__file__).parent.parent
_INSTALLED = _PACKAGES / "inspectd_shipped"


def shipped(name: str) -> Path:
    """Where a shipped file or folder is, such as `config/demo.yaml`.

    In a checkout it is in the root of the repository, after `pip install` in the package `inspectd_shipped`.
    """
    return (_INSTALLED if _INSTALLED.is_dir() else _PACKAGES) / name
