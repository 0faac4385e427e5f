"""The base of every config section. Each section lives beside the part it configures."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


class Section(BaseModel):
    """Unknown keys are errors, values are checked as written, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _relative_to_config(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return folder / path if folder is not None else path


ConfigPath = Annotated[Path, AfterValidator(_relative_to_config)]
"""A path; a relative one is taken from the folder of the config file."""
