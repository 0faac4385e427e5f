"""inspectd: line-side print inspection. A label is guilty until proven good."""

__version__ = "0.1.0"
