import json
import subprocess
import sys
import time

from inspectd.service.startup import StartTimes


def test_stages_add_up_and_the_first_begins_with_the_process():
    program = """
import json, time
time.sleep(0.3)
from inspectd.service.startup import StartTimes
times = StartTimes()
time.sleep(0.1)
times.passed("engine")
print(json.dumps(times.ms()))
"""
    begin_s = time.monotonic()
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    most_ms = (time.monotonic() - begin_s) * 1000
    stages = json.loads(output)
    assert list(stages) == ["imports_ms", "engine_ms", "total_ms"]
    assert 300 <= stages["imports_ms"] < most_ms
    assert 100 <= stages["engine_ms"] < most_ms
    assert abs(stages["imports_ms"] + stages["engine_ms"] - stages["total_ms"]) <= 1


def test_a_process_that_runs_for_long_knows_it():
    first = StartTimes().ms()["total_ms"]
    time.sleep(0.05)
    assert StartTimes().ms()["total_ms"] >= first + 40
