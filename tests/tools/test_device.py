"""The device of a training: which one `--device` means, and that nothing is left on the CPU when it is another one."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from inspectd.errors import ConfigError
from inspectd_tools import device as devices
from inspectd_tools.device import ahead, resolve, sent
from inspectd_tools.distributed import processes
from inspectd_tools.explain.coverage import blobs, random_classifier
from inspectd_tools.explain.methods import METHODS
from inspectd_tools.explain.network import Network
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.networks.predict import classifier_network
from inspectd_tools.settings import load_settings
from inspectd_tools.synthetic import cli as synthesize
from inspectd_tools.synthetic.gan.training import train_gan
from inspectd_tools.training import cli as train
from tests.tools.second_device import DEVICE, Second

SMALL = [
    "pretrained=false", "model=DuqCnn", "head_fit=means", "epochs=2", "batch_size=16", "centroid_size=8",
    "input.width=28", "input.height=28", "scheduler=none", "lr=0.001", "gamma=0.5", "PFM_flag=[]",
]  # fmt: skip


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    assert synthesize.main(["render", str(folder), "--count-per-class", "6", "--unknowns-per-kind", "0"]) == 0
    return folder


@pytest.fixture(autouse=True)
def second_device(monkeypatch):
    """What the second device lacks: bf16, and converting a parameter in place."""
    monkeypatch.setattr("inspectd_tools.training.step.in_bf16", lambda device: False)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(False)


@pytest.fixture
def gpus(monkeypatch):
    """As if torch saw this many GPUs."""

    def see(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
        monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)

    return see


@pytest.mark.parametrize(
    ("count", "wanted", "found"),
    [(0, "auto", "cpu"), (2, "auto", "cuda:0"), (2, "cpu", "cpu"), (2, "cuda", "cuda:0"), (2, "cuda:1", "cuda:1")],
)
def test_auto_is_a_gpu_where_there_is_one(gpus, count, wanted, found):
    gpus(count)
    assert str(resolve(wanted)) == found


def test_a_gpu_that_is_not_there_is_said_clearly(gpus, labels, tmp_path, capsys):
    gpus(0)
    with pytest.raises(ConfigError, match=r"--device cuda: torch .* finds no NVIDIA GPU"):
        resolve("cuda")
    gpus(2)
    with pytest.raises(ConfigError, match="--device cuda:2: needs GPU number 2, but torch finds 2, counted from 0"):
        resolve("cuda:2")
    gpus(0)
    arguments = ["filter-label", "--data", str(labels), "--run", str(tmp_path / "run")]
    assert train.main([*arguments, "--device", "cuda"]) == 78
    with pytest.raises(SystemExit):
        train.main([*arguments, "--device", "gpu"])
    assert "gpu: must be auto, cpu, cuda, or the number of a GPU such as cuda:1" in capsys.readouterr().err


def test_each_process_of_torchrun_takes_its_own_gpu(gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    gpus(2)
    assert str(resolve("auto")) == "cuda:1"
    with pytest.raises(ConfigError, match="each process of torchrun takes its own GPU"):
        resolve("cuda:1")
    gpus(1)
    assert resolve("auto").type == "cpu"
    with pytest.raises(ConfigError, match="needs GPU number 1, but torch finds 1"):
        resolve("cuda")


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda:1", "nccl")])
def test_nccl_is_for_tensors_on_a_gpu_only(gpus, monkeypatch, device, backend):
    """A GPU that torch sees says nothing about where the tensors are."""
    gpus(2)
    joined = {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **more: joined.update(backend=backend, **more))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    with processes(torch.device(device)):
        assert joined == {"backend": backend, "device_id": torch.device(device) if backend == "nccl" else None}


def test_gloo_joins_for_real_where_a_gpu_is_seen_but_not_used(gpus, monkeypatch):
    gpus(1)
    for name, value in {"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    with processes(resolve("cpu")):
        assert dist.get_backend() == "gloo"


def test_float32_on_a_gpu_is_not_tf32(gpus):
    gpus(1)
    resolve("cuda")
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic


def test_batches_that_are_prepared_ahead_keep_their_order_and_their_errors():
    def broken():
        yield 1
        yield 2
        raise ConfigError("the third")

    seen = []
    with pytest.raises(ConfigError, match="the third"):
        seen.extend(ahead(iter_into(seen, broken()), torch.device("cuda")))
    assert seen == [1, 2]


def iter_into(seen, items):
    yield from items


def test_a_tensor_that_is_left_on_the_cpu_is_found():
    """Otherwise the tests below would prove nothing."""
    moved = sent(torch.ones(2), DEVICE)
    assert isinstance(moved, Second)
    assert (moved * 2).cpu().tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="was left on cpu"):
        moved + torch.ones(2)


def trained(labels: Path, run: Path, device: torch.device, monkeypatch, *more: str) -> dict[str, torch.Tensor]:
    monkeypatch.setattr(devices, "resolve", lambda wanted: device)
    options = [text for setting in SMALL for text in ("--set", setting)]
    assert train.main(["filter-label", "--data", str(labels), "--run", str(run), *options, *more]) == 0
    return load_file(run / "weights.safetensors")


@pytest.mark.parametrize("setting", ["gp_const=0.1", "criterion=CrossEntropyLoss", "RBF_flag=false"])
def test_a_training_on_another_device_gives_the_same_weights(labels, tmp_path, monkeypatch, setting):
    more = ["--set", setting]
    if setting != "gp_const=0.1":
        more += ["--set", "head_fit=covariance"]
    on_cpu = trained(labels, tmp_path / "cpu", torch.device("cpu"), monkeypatch, *more)
    elsewhere = trained(labels, tmp_path / "other", DEVICE, monkeypatch, *more)
    for name, weight in on_cpu.items():
        torch.testing.assert_close(elsewhere[name], weight, rtol=1e-3, atol=1e-5)
    assert json.loads((tmp_path / "other/provenance.json").read_text())["device"] == DEVICE.type


def test_a_run_goes_on_on_another_device(labels, tmp_path, monkeypatch):
    longer = ("--set", "gp_const=0.1", "--set", "epochs=3")
    whole = trained(labels, tmp_path / "whole", torch.device("cpu"), monkeypatch, *longer)
    for first, second in ((torch.device("cpu"), DEVICE), (DEVICE, torch.device("cpu"))):
        run = tmp_path / first.type
        trained(labels, run, first, monkeypatch, "--set", "gp_const=0.1")
        for name, weight in trained(labels, run, second, monkeypatch, *longer, "--resume").items():
            torch.testing.assert_close(weight, whole[name], rtol=1e-3, atol=1e-5)
    assert [epoch["number"] for epoch in json.loads((run / "epochs.json").read_text())] == [1, 2, 3]


def test_compile_compiles_the_network_only_if_asked_and_changes_no_weight(labels, tmp_path, monkeypatch):
    compiled = []

    def traced(network):
        """As it is compiled, but the kernels stay those of PyTorch: to compile them takes half a minute."""
        compiled.append(network)
        return compile_with(network, backend="eager")

    compile_with = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    plain = trained(labels, tmp_path / "plain", torch.device("cpu"), monkeypatch)
    assert not compiled
    for name, weight in trained(labels, tmp_path / "c", torch.device("cpu"), monkeypatch, "--compile").items():
        torch.testing.assert_close(weight, plain[name], rtol=1e-3, atol=1e-5)
    assert len(compiled) == 1


def test_compile_is_refused_with_a_gradient_penalty(labels, tmp_path, capsys):
    options = [text for setting in (*SMALL, "gp_const=0.1") for text in ("--set", setting)]
    with pytest.raises(SystemExit):
        train.main(["filter-label", "--data", str(labels), "--run", str(tmp_path / "run"), *options, "--compile"])
    assert "can't differentiate twice" in capsys.readouterr().err


def test_a_gan_on_another_device_gives_the_same_images(tmp_path):
    labels = torch.arange(16) % 2
    pixels = torch.randint(0, 255, (16, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = [
        train_gan(pixels, labels, 2, 8, 1, 0, tmp_path / device.type, device).cpu()
        for device in (torch.device("cpu"), DEVICE)
    ]
    for here, there in zip(*(network.state_dict().values() for network in made), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_maps_from_another_device_are_the_same(method, monkeypatch):
    for steps in ("STEPS", "_MOST_STEPS"):
        monkeypatch.setattr(f"inspectd_tools.explain.methods.{steps}", 4)
    classifier, images = random_classifier("ResNet18", True, 64), blobs(1, 64, seed=1)
    place = Network(classifier, "contrast")(images).argmax(1)
    expected = METHODS[method].attribute(Network(classifier, "contrast"), images, place)
    found = METHODS[method].attribute(Network(classifier.to(DEVICE), "contrast"), images, place)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_scores_from_another_device_are_the_same():
    settings = load_settings("duq-fashionmnist")
    torch.manual_seed(0)
    classifier = Classifier(settings)
    pixels = torch.randint(0, 255, (4, 1, 28, 28), dtype=torch.uint8).numpy()
    expected = classifier_network(classifier, settings.input)(pixels)
    found = classifier_network(classifier.to(DEVICE), settings.input)(pixels)
    assert found == pytest.approx(expected, abs=1e-6)
