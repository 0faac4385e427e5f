"""What the config says about the size of the images, before the camera is open."""

import pytest
from pydantic import TypeAdapter

from inspectd.camera import CameraConfig

PYLON = {"kind": "pylon", "trigger": {"source": "free_run"}}


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ({"kind": "replay", "source": "images"}, None),
        ({"kind": "opencv", "device": 0}, None),
        ({"kind": "opencv", "device": 0, "width_px": 640}, None),
        ({"kind": "opencv", "device": 0, "width_px": 640, "height_px": 480}, (640, 480)),
        (PYLON, None),
        ({**PYLON, "region": {"width_px": 800, "height_px": 600}}, (800, 600)),
        ({**PYLON, "region": {"width_px": 800, "height_px": 600}, "emulated": {"images": "images"}}, None),
    ],
)
def test_the_size_is_known_where_the_config_states_it(values: dict[str, object], size: tuple[int, int] | None) -> None:
    assert TypeAdapter(CameraConfig).validate_python(values).known_size() == size
