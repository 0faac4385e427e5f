"""Engine bundles: check one, load it, run it. A new backend is one module and its name in `base` and `manifest`."""

from inspectd.inference.base import InferenceConfig
from inspectd.inference.bundle import Bundle, load_bundle, write_manifest
from inspectd.inference.engine import Engine, load_engine

__all__ = ["Bundle", "Engine", "InferenceConfig", "load_bundle", "load_engine", "write_manifest"]
