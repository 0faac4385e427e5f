"""The model to evaluate: a training run (PyTorch) or an engine bundle (the engine that the line uses)."""

from dataclasses import dataclass
from pathlib import Path

import torch

from inspectd.decision import Policy
from inspectd.errors import ConfigError
from inspectd.inference import Bundle, Engine, InferenceConfig, load_bundle, load_engine
from inspectd.inference.preprocess import InputSpec
from inspectd_tools.device import resolve
from inspectd_tools.evaluation.options import TORCH
from inspectd_tools.networks.predict import Network, classifier_network
from inspectd_tools.settings import TrainingSettings
from inspectd_tools.training.loop import WEIGHTS
from inspectd_tools.training.run_folder import is_run, read_run

_RUN_BATCH = 32


@dataclass(frozen=True, slots=True)
class Model:
    """An opened model; `photos_at_once` is 1 for an engine, as on the line."""

    name: str
    backend: str
    precision: str
    classes: tuple[str, ...]
    """In the order of the scores."""
    pass_class: str
    input: InputSpec
    infer: Network
    """At most `photos_at_once` photos."""
    photos_at_once: int
    seen: frozenset[str]
    """Fingerprints of the photos that were used to train it or to choose its threshold."""
    settings: TrainingSettings | None = None
    """None for an engine."""
    bundle: Bundle | None = None
    """None for a run."""
    policy: Policy | None = None
    """From scores to a verdict. None for a run, which has no threshold."""
    engine: Engine | None = None
    """None for a run."""


def open_model(path: Path, backend: str | None, precision: str, device: str = "cpu") -> Model:
    """Open an engine bundle or a run folder. With `backend` None, an engine chooses it as on the line.

    `device`: as `--device`, for a run; an engine computes where its backend does. Raises ConfigError or EngineError.
    """
    if (path / "engine.yaml").is_file():
        if backend == TORCH:
            raise ConfigError(
                f"--backend {TORCH}: {path} is an engine and has no PyTorch weights; give the run folder it was built from"
            )
        config = InferenceConfig.model_validate({"backend": backend or "auto", "precision": precision})
        return open_engine(load_bundle(path), config)
    if is_run(path):
        if backend not in (None, TORCH) or precision not in ("auto", "fp32"):
            raise ConfigError(
                f"--backend {backend or TORCH} --precision {precision}: {path} is a run, which needs {TORCH} and fp32; "
                "for others, build an engine from it with tools/build_engine.py"
            )
        return _open_run(path, resolve(device))
    raise ConfigError(
        f"{path}: is neither a run folder of tools/train.py (settings.json, {WEIGHTS}) nor an engine bundle (engine.yaml)"
    )


def open_engine(bundle: Bundle, config: InferenceConfig) -> Model:
    """Raises EngineError."""
    engine = load_engine(bundle, config)
    manifest = engine.manifest
    trained_on = manifest.training.get("run", {}).get("data_fingerprint", "")
    return Model(
        name=f"{manifest.name} {manifest.version}",
        backend=engine.backend_name,
        precision="fp32" if engine.precision == "onnxruntime" else engine.precision.removeprefix("tensorrt-"),
        classes=manifest.classes,
        pass_class=manifest.pass_class,
        input=manifest.input,
        infer=lambda batch: engine.infer(batch)[None],
        photos_at_once=1,
        seen=frozenset((manifest.threshold.calibration_fingerprint, trained_on)),
        bundle=bundle,
        policy=engine.policy,
        engine=engine,
    )


def _open_run(folder: Path, device: torch.device) -> Model:
    settings, classifier, provenance = read_run(folder)
    classifier.to(device)
    return Model(
        name=f"{folder} ({settings.model}, {'DUQ' if settings.RBF_flag else 'softmax'})",
        backend=TORCH,
        precision="fp32",
        classes=settings.classes,
        pass_class=settings.pass_class,
        input=settings.input,
        infer=classifier_network(classifier, settings.input),
        photos_at_once=_RUN_BATCH,
        seen=frozenset((provenance["data_fingerprint"],)),
        settings=settings,
    )
