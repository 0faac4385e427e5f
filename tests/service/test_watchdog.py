import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspectd.config import WatchdogConfig
from tests.faults.plant import Plant
from tests.system.hanging import WHITE, make_hanging_bundle

pytestmark = pytest.mark.alone


def test_a_stage_that_hangs_ends_the_process_with_the_code_that_the_config_page_names(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "plant", images=5, watchdog={"exit_after_s": 5})
    plant.engine = make_hanging_bundle(plant.folder / "hanging")
    plant.config["engine"] = "hanging"
    white = np.full((48, 64), WHITE, np.uint8)
    cv2.imwrite(str(plant.images / "00005.png"), white)
    code = plant.run_to_exit()
    assert "no progress for 5 s: inspect" in plant.log_text(), plant.log_text()[-2000:]
    assert not plant.last_signals()["run_permit"]
    description = WatchdogConfig.model_fields["exit_after_s"].description
    assert re.findall(r"exit code (\d+)", description or "") == [str(code)]
