import os
import pty
import subprocess
import sys
import time

import pytest

from inspectd.logs import Throttle

_CHATTER = (
    "import sys, time\n"
    "from inspectd.logs import configure_logs, last_words\n"
    "import structlog\n"
    "configure_logs(drop=True)\n"
    "log = structlog.get_logger()\n"
    "begun = time.monotonic()\n"
    "for number in range(3000): log.error('chatter', number=number, text='x' * 100)\n"
    "print(time.monotonic() - begun, flush=True)\n"
    "last_words('the end')\n"
)


def test_a_process_does_not_wait_for_whoever_reads_its_log():
    chatter = subprocess.Popen([sys.executable, "-c", _CHATTER], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert chatter.stdout is not None
    assert chatter.stderr is not None
    assert float(chatter.stdout.readline()) < 5, "it waited for a reader that never came"
    time.sleep(0.1)
    assert chatter.wait(timeout=10) == 0


def test_what_was_dropped_is_counted_and_the_last_lines_are_written():
    reading, writing = os.pipe()
    chatter = subprocess.Popen([sys.executable, "-c", _CHATTER], stdout=subprocess.PIPE, stderr=writing)
    os.close(writing)
    assert chatter.stdout is not None
    chatter.stdout.readline()
    with os.fdopen(reading) as log:
        lines = log.read().splitlines()
    assert chatter.wait(timeout=10) == 0
    assert '"number": 0' in lines[0]
    assert any("log lines were dropped because nobody read them" in line for line in lines)
    chatter.stdout.close()


def test_every_line_arrives_where_somebody_reads():
    script = _CHATTER.replace("range(3000)", "range(50)")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    lines = done.stderr.splitlines()
    assert [f'"number": {number},' in line for number, line in enumerate(lines[:-1])] == [True] * 50
    assert lines[-1] == "the end"


_BUG = (
    "import structlog\n"
    "from inspectd.logs import configure_logs, last_words\n"
    "configure_logs(drop=True)\n"
    "def grab(config, device):\n"
    "    raise RuntimeError('no answer from ' + device)\n"
    "device = 'rtsp://op:' + 's3cr3t@camera/1'\n"
    "try:\n"
    "    grab({'device': device}, device)\n"
    "except RuntimeError as error:\n"
    "    structlog.get_logger().critical('stage died', exc_info=error, error=str(error))\n"
    "    last_words(str(error))\n"
)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_nobody_foresaw_gives_no_password_away(is_terminal):
    reading, writing = pty.openpty() if is_terminal else os.pipe()
    ended = subprocess.run([sys.executable, "-c", _BUG], stderr=writing, check=False, timeout=30)
    text = os.read(reading, 100_000).decode()
    os.close(reading)
    os.close(writing)
    assert ended.returncode == 0
    assert "Traceback" in text
    assert text.count("no answer from rtsp://***@camera/1") == 3
    assert "s3cr3t@" not in text
    assert "op:s3cr3t" not in text


def test_a_throttle_lets_one_line_through_per_interval():
    throttle = Throttle(every_s=2)
    assert [throttle.is_open(now_s) for now_s in (5, 5.5, 6.9, 7, 8.9, 30, 31.9)] == [
        *(True, False, False, True),
        *(False, True, False),
    ]
