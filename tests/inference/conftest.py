from pathlib import Path

import pytest

from tests.factories import make_toy_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fresh toy bundle to spoil."""
    return make_toy_bundle(tmp_path / "toy")


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
