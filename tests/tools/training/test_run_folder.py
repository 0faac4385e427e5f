"""Run folders that other versions wrote."""

import pytest

pytest.importorskip("torch")

from inspectd.errors import ConfigError
from inspectd_tools.evaluation.model import open_model
from inspectd_tools.training.run_folder import read_settings


@pytest.mark.parametrize("read", [read_settings, lambda run: open_model(run, None, "fp32")])
def test_a_run_with_settings_under_their_old_name_says_which_file_to_rename(tmp_path, read):
    (tmp_path / "experiment.json").write_text("{}")
    with pytest.raises(
        ConfigError, match=r"experiment\.json: training settings are called settings\.json now; rename the file"
    ):
        read(tmp_path)
