"""In place of the real steps: one is done, one lacks something, one fails, one hangs and has begun another process."""

import json
import subprocess
import sys
import time
from pathlib import Path

name, told = sys.argv[1:]
place = json.loads(Path(told).read_text())
out = Path(place["out"])


def write(**figures: object) -> None:
    (out / f"{name}.json").write_text(json.dumps(figures))


if name == "machine":
    write(card="a card")
elif name == "tests":
    print("pytest is not installed")
    sys.exit(3)
elif name == "swaps":
    write(swaps=3)
    raise RuntimeError("the GPU is lost")
elif name == "line":
    child = subprocess.Popen(["sleep", "60"])
    write(rates=[{"parts/s": 100, "p99 ms": 1.23456}, {"parts/s": 200, "missed": "a | b"}], child=child.pid)
    time.sleep(60)
