"""Packages for a machine without a network: wheels in a folder, large ones cut into parts."""

import subprocess
import sys
from pathlib import Path

from inspectd.errors import ConfigError

_PART = ".part-"


def environment(wheels: Path, folder: Path) -> Path:
    """A virtual environment in `folder` that has this Python's packages and the wheels; returns its interpreter.

    A large wheel may be in parts: NAME.whl.part-00, NAME.whl.part-01, as `split -d` writes them. Raises ConfigError.
    """
    joined = folder / "wheels"
    joined.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[Path]] = {}
    for path in sorted(wheels.rglob(f"*.whl{_PART}*"), key=lambda path: path.name):
        parts.setdefault(path.name.partition(_PART)[0], []).append(path)
    for name, pieces in parts.items():
        (joined / name).write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    found = [*wheels.rglob("*.whl"), *joined.glob("*.whl")]
    if not found:
        raise ConfigError(f"--wheels {wheels}: holds no wheel (.whl)")
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", "--system-site-packages", str(folder / "venv")])
    _run([str(python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *map(str, found)])
    return python


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ConfigError(f"{' '.join(command)} failed: {(ended.stderr or ended.stdout).strip()[-1000:]}")
