import subprocess
import sys
import threading
import time

import pytest

from inspectd.errors import InUseError
from inspectd.ownership import Claim

_HOLDER = (
    "import sys, time; from inspectd.ownership import Claim; c = Claim(sys.argv[1]); print(flush=True); time.sleep(60)"
)


@pytest.mark.parametrize("device", ["test: a device", "test: " + "long " * 60])
def test_a_device_has_one_owner_and_is_free_when_its_process_is_killed(device):
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, device], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(InUseError, match=f"process {holder.pid}"):
        Claim(device)
    holder.kill()
    holder.wait()
    with Claim(device, wait_s=2), pytest.raises(InUseError):
        Claim(device)
    Claim(device).release()


def test_a_claim_waits_for_an_owner_that_is_about_to_leave():
    first = Claim("test: leaving")
    threading.Timer(0.2, first.release).start()
    begun_s = time.monotonic()
    with Claim("test: leaving", wait_s=5):
        assert 0.1 < time.monotonic() - begun_s < 4
