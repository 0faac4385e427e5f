"""Training, calibration and test photos must be different files. A network knows the photos that it was trained with."""

from collections.abc import Mapping

from inspectd.errors import ConfigError
from inspectd.files.text_file import one_line
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.training.run_folder import TrainedWith

_NAMED = 3


def check_separate(trained: TrainedWith | None, calibration: Judged, test: Judged) -> str:
    """Compare the photos by their SHA-256, and return a remark on what was found, which may be empty.

    `trained`: None if the run does not record its photos. Raises ConfigError naming photos that are in two of the sets (but
    validation photos may calibrate).
    """
    calibrating, testing = _paths(calibration), _paths(test)
    _refuse_shared("calibration", calibrating, "test", testing)
    if trained is None:
        return "; the run does not record its training photos, so it was not checked that the calibration and test photos are others"
    _refuse_shared("training", trained["train"], "calibration", calibrating)
    _refuse_shared("training", trained["train"], "test", testing)
    _refuse_shared("validation", trained["val"], "test", testing)
    return (
        "; the calibration photos are validation photos of the training, too"
        if trained["val"].keys() & calibrating.keys()
        else ""
    )


def _paths(judged: Judged) -> dict[str, str]:
    return {digest: str(path) for digest, path in zip(judged.images.digests, judged.images.files, strict=True)}


def _refuse_shared(one: str, ours: Mapping[str, str], other: str, theirs: Mapping[str, str]) -> None:
    shared = [digest for digest in theirs if digest in ours]
    if not shared:
        return
    named = "; ".join(f"{theirs[digest]} is {ours[digest]}" for digest in shared[:_NAMED])
    raise ConfigError(
        f"{one_line(named)}: {len(shared)} of {len(theirs)} {other} photos are {one} photos, too; each photo may be in only one of "
        f"these sets, so give other {other} photos, or split all photos with tools/prepare_data.py"
    )
