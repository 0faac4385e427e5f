"""`inspectd config`: the whole config of a line, with its defaults and its schema, for programs and for a second look."""

import json
from pathlib import Path
from typing import Any

from inspectd.config import Config, load_config
from inspectd.redaction import redacted


def run(path: Path) -> int:
    """Print it as one JSON object: `config`, where all paths are absolute and passwords of URLs are hidden, and `schema`.

    Raises ConfigError.
    """
    config = _without_passwords(load_config(path).model_dump(mode="json", by_alias=True))
    print(json.dumps({"config": config, "schema": Config.model_json_schema()}, indent=2))
    return 0


def _without_passwords(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_passwords(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_passwords(each) for each in value]
    return redacted(value) if isinstance(value, str) else value
