"""Engine bundles: check, load and run one. To add a backend, write one module and add its name to `base` and `manifest`."""

from inspectd.inference.base import InferenceConfig
from inspectd.inference.bundle import Bundle, load_bundle, write_manifest
from inspectd.inference.engine import Engine, Judged, load_engine

__all__ = ["Bundle", "Engine", "InferenceConfig", "Judged", "load_bundle", "load_engine", "write_manifest"]
