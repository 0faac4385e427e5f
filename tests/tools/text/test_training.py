from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")
import torch

from inspectd.errors import EngineError
from inspectd.text.network import compiled
from inspectd_tools.text import faces
from inspectd_tools.text.network import SYMBOLS, Network, export, restore
from inspectd_tools.text.source import Rendered
from inspectd_tools.text.training import Settings, Taught, train


def trained(steps: int) -> Network:
    torch.manual_seed(1)
    network = Network()
    source = Rendered(faces.printer("sans"), "0123456789")
    train(network, [Taught(source, 1)], Settings(steps, rate=5e-3, seed=1))
    return network


@pytest.fixture(scope="module")
def network() -> Network:
    return trained(8)


@pytest.fixture(scope="module")
def model(network: Network) -> bytes:
    return export(network)


def crops(width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (1, 1, 32, width), dtype=np.uint8)


def test_the_line_computes_what_training_computes_for_crops_of_any_width(network: Network, model: bytes) -> None:
    run = compiled(model)
    for width in (16, 96, 216, 1024):
        expected = network(torch.from_numpy(crops(width))).detach().numpy()
        assert run(crops(width)) == pytest.approx(expected, abs=1e-4)
        assert expected.shape == (1, width // 4, SYMBOLS)


def test_an_exported_network_can_be_trained_on(network: Network, model: bytes) -> None:
    again = restore(model, Path("model.onnx")).eval()
    assert torch.equal(again(torch.from_numpy(crops(96))), network(torch.from_numpy(crops(96))))


def test_another_network_is_refused(model: bytes) -> None:
    other = onnx.load_from_string(model)
    next(tensor for tensor in other.graph.initializer if tensor.name == "head.bias").name = "head.other"
    with pytest.raises(EngineError, match=r"other\.onnx: is not a reader's network .* no fitting weights head\.bias"):
        restore(other.SerializeToString(), Path("other.onnx"))


def test_the_same_seed_gives_the_same_network() -> None:
    first, second = (trained(2).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_light_and_contrast_change_little(network: Network) -> None:
    crop = crops(96).astype(np.float32)
    bright, dark = (torch.from_numpy(values) for values in (crop, 0.5 * crop + 20))
    assert network(bright).detach().numpy() == pytest.approx(network(dark).detach().numpy(), abs=0.3)
