"""The base of every config section. Each section lives beside the part it configures."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from inspectd.config_errors import sentences
from inspectd.errors import ConfigError, InspectdError
from inspectd.files.text_file import refuse_odd

_MAX_ERRORS_SHOWN = 10


class Section(BaseModel):
    """Unknown keys are errors, values are checked as written, and nothing changes after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, str_max_length=10_000
    )


TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
"""Hours and minutes, such as 06:00. Digits of other scripts are refused: `time.fromisoformat` can't read them."""

S = TypeVar("S", bound=Section)


def checked(model: type[S], values: Mapping[str, Any], path: Path, refusal: type[InspectdError] = ConfigError) -> S:
    """A section from the values of the file at `path`. Text does not count as a number, nor a number as text or a switch.

    Raises `refusal`, which names the file and, for every wrong key, its value and what is allowed.
    """
    try:
        return model.model_validate_json(json.dumps(values), strict=True, context={"folder": path.resolve().parent})
    except ValidationError as error:
        problems = sentences(error, model)
        raise refusal("\n  ".join([f"{path}: {len(problems)} error(s)", *problems[:_MAX_ERRORS_SHOWN]])) from error


def not_a_switch(value: Any) -> Any:
    """Refuse true and false where a `Literal` of numbers follows: Python takes true for 1. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _as_a_path(value: Any) -> Any:
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        refuse_odd(text)
        if not text:
            raise ValueError("must not be empty")
        if len(os.fsencode(text)) > 2000 or any(len(os.fsencode(part)) > 255 for part in text.split("/")):
            raise ValueError("must have at most 2000 bytes, and 255 between two slashes")
    return value


def _relative_to_config(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return folder / path if folder is not None else path


ConfigPath = Annotated[Path, BeforeValidator(_as_a_path), AfterValidator(_relative_to_config)]
"""A path; a relative one is taken from the folder of the config file."""
