"""A GPU that stops answering, on a running line: the belt stops, and the exit code lets systemd start the line again.

The GPU exists only in the daemon's process (tests/inference/fake_gpu.py); daemon, gate, journal and TensorRT backend are the real ones.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("cuda.bindings.runtime")

from cuda.bindings import runtime

from tests.factories import edit_manifest
from tests.faults.plant import Plant

pytestmark = pytest.mark.slow

PARTS = 20
PROGRAM = """
    import sqlite3, sys, threading, time
    from inspectd.cli import main
    from inspectd.inference import gpu
    from tests.inference.fake_gpu import Error, FakeCuda, FakeTensorRt

    gpu.runtime = cuda = FakeCuda()
    sys.modules["tensorrt"], sys.modules["tensorrt_rtx"] = None, FakeTensorRt(cuda)

    def break_the_gpu():
        while True:
            time.sleep(0.02)
            try:
                with sqlite3.connect("file:{journal}?mode=ro", uri=True) as journal:
                    if journal.execute("SELECT count(*) FROM parts").fetchone()[0] >= {parts}:
                        break
            except sqlite3.OperationalError:
                pass
        cuda.lasting = Error.cudaErrorIllegalAddress

    threading.Thread(target=break_the_gpu, daemon=True).start()
    sys.exit(main(["run", "--config", "{config}"]))
"""


def run_until_the_gpu_breaks(plant: Plant, parts: int) -> int:
    program = textwrap.dedent(PROGRAM.format(journal=plant.journal, parts=parts, config=plant.config_path))
    with plant.log.open("ab") as log:
        root = Path(__file__).parents[2]
        return subprocess.run([sys.executable, "-c", program], stderr=log, cwd=root, timeout=60).returncode


def plant_with_a_plan(folder: Path) -> Plant:
    plant = Plant(folder, inference={"backend": "tensorrt"})
    (plant.engine / "model.plan").write_bytes((plant.engine / "model.onnx").read_bytes())
    listed = {"path": "model.plan", "sha256": "", "backend": "tensorrt", "precision": "fp16"}
    edit_manifest(plant.engine, lambda values: values["files"].append(listed))
    edit_manifest(plant.engine)
    return plant


def test_a_gpu_that_is_missing_at_the_start_ends_it_so_that_systemd_tries_again(tmp_path: Path) -> None:
    """Its driver may load later than the line starts. systemd does not start a line again that ended with 78."""
    pytest.importorskip("tensorrt_rtx")
    if runtime.cudaGetDeviceCount()[0] == runtime.cudaError_t.cudaSuccess:
        pytest.skip("there is a GPU")
    plant = plant_with_a_plan(tmp_path / "plant")
    assert plant.run_to_exit() == 75
    assert "no usable NVIDIA GPU" in plant.log_text()


def test_a_gpu_that_stops_answering_ends_the_line_and_a_restart_goes_on(tmp_path: Path) -> None:
    plant = plant_with_a_plan(tmp_path / "plant")
    plant.write_config()
    for start in (1, 2):
        assert run_until_the_gpu_breaks(plant, start * PARTS) == 70, plant.log_text()[-2000:]
        rows = plant.rows()
        assert len(rows) >= start * PARTS
        assert sum(row["reason"] == "engine_error" for row in rows) <= start, "it is not tried again and again"
        assert not plant.last_signals()["run_permit"], "the belt stops"
        assert plant.log_text().count("cudaErrorIllegalAddress") < 5 * start, "and the log is not flooded"
    assert "the line ends" in plant.log_text()
