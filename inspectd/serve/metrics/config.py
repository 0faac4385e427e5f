"""Settings of `inspectd serve metrics`. They are in a file of their own, because the exporter is a process of its own."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from inspectd.files.yaml_file import read_yaml
from inspectd.section import ConfigPath, Section, checked
from inspectd.serve.address import ip


class MetricsConfig(Section):
    """Everything `inspectd serve metrics` needs to know."""

    line: ConfigPath
    """The config file of the line, such as /etc/inspectd/line.yaml."""
    state: ConfigPath = Path("/var/lib/inspectd-metrics")
    """The folder in which the counts are kept, so that they go on after a restart."""
    host: Annotated[str, AfterValidator(ip)] = "127.0.0.1"
    """The IP address at which Prometheus gets the metrics. 127.0.0.1: only from this computer. 0.0.0.0: from all that reach it."""
    port: int = Field(default=9440, ge=0, le=65_535)
    """The port at which Prometheus gets the metrics. 0: any free port, which the log names."""
    pull: ConfigPath | None = None
    """The folder `state` of `inspectd engines pull`, if engines come from a repository: /var/lib/inspectd-pull."""


def metrics_schema() -> str:
    """JSON schema of the config file, for editors."""
    return json.dumps(MetricsConfig.model_json_schema(), indent=2)


def load_metrics_config(path: Path) -> MetricsConfig:
    """Read and check the config. Raises ConfigError naming the file and, for every wrong key, its value and what is allowed."""
    return checked(MetricsConfig, read_yaml(path, "'line' and 'port'"), path)
