"""What the page does with engines, by the commands that an engineer would type: activate, roll back, compare and learn.

Each function is the work of a job and returns what the page shows. Write the row of the audit trail before.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from inspectd.control.client import ask
from inspectd.control.protocol import GOES_ON
from inspectd.errors import ControlError, RefusedError, ReviewError
from inspectd.records.reviews import Reviewed, Reviews
from inspectd.serve.web.command import CommandError, Done, inspectd
from inspectd.serve.web.engines.bundles import Bundle, bundle_id
from inspectd.serve.web.jobs import Job
from inspectd.serve.web.site import Site

_SWITCH_WITHIN_S = 300
_COMPARE_WITHIN_S = 1800
_LEARN_WITHIN_S = 3600
_REFUSED_FOR_NOW_S, _AGAIN_S = 60.0, 0.5
"""For so long a line that loads an engine already is asked again."""
_REFUSED = 1
"""Exit code of a learn that found nothing that is proven not worse."""


def learned_folder(site: Site) -> Path:
    """Where learned bundles are kept."""
    return site.config.state / "engines"


async def activate(site: Site, bundle: Bundle, job: Job) -> dict[str, Any]:
    """Raises CommandError: then the link is as it was."""
    job.say(f"Checking {bundle.label} and its golden images ...")
    _done(await _switch(site, "activate", str(site.line.engine), str(bundle.facts.folder)))
    return {"now": bundle.label, **await _reload(site, job)}


async def roll_back(site: Site, previous: Bundle, job: Job) -> dict[str, Any]:
    """Raises CommandError: then the link is as it was."""
    job.say(f"Checking {previous.label} and its golden images ...")
    _done(await _switch(site, "rollback", str(site.line.engine)))
    return {"now": previous.label, **await _reload(site, job)}


async def compare(site: Site, active: Bundle, bundle: Bundle, job: Job) -> dict[str, Any]:
    """Both engines on the photos on which all reviewers agree. Raises CommandError."""
    with tempfile.TemporaryDirectory(prefix="compare-", dir=site.config.state) as folder:
        count = await run_in_threadpool(_sort_photos, site.config.state / "reviews", Path(folder))
        job.say(f"Running both engines on {count} photos ...")
        folders = str(active.facts.folder), str(bundle.facts.folder)
        arguments = ("engines", "compare", *folders, "--data", folder, "--json")
        done = _done(await inspectd(*arguments, within_s=_COMPARE_WITHIN_S))
    return {"a": active.label, "b": bundle.label, "id": bundle.id, **done.json()}


async def learn(site: Site, job: Job) -> dict[str, Any]:
    """Raises CommandError. Nothing is activated: that is a step of its own."""
    out = learned_folder(site)
    out.mkdir(exist_ok=True)
    out.chmod(0o755)  # the line's user loads engines from it
    arguments = ("--config", str(site.line.file), "--reviews", str(site.config.state / "reviews"), "--out", str(out))
    job.say("Reading the reviewed photos ...")
    done = await inspectd("learn", *arguments, "--json", within_s=_LEARN_WITHIN_S, progress=job.say)
    if done.code not in (0, _REFUSED):
        raise CommandError(_sentence(done))
    lines = done.answer.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        raise CommandError(_sentence(done)) from error
    if found.get("bundle"):
        found["id"] = bundle_id(Path(found["bundle"]))
    return found


async def _switch(site: Site, *arguments: str) -> Done:
    return await inspectd("engines", *arguments, "--config", str(site.line.file), within_s=_SWITCH_WITHIN_S)


async def _reload(site: Site, job: Job) -> dict[str, Any]:
    """What the line says about its new engine. `loads` is False if the line goes on with the old one."""
    if site.line.control is None:
        return {"loads": False, "said": "The line has no control socket. Run: systemctl reload inspectd"}
    job.say("Asking the line to load it ...")
    end_s = time.monotonic() + _REFUSED_FOR_NOW_S
    while True:
        try:
            answer = await run_in_threadpool(ask, site.line.control, "reload")
        except ControlError as error:
            return {"loads": False, "said": str(error)}
        except RefusedError as error:
            if str(error).startswith(GOES_ON) or time.monotonic() > end_s:
                return {"loads": False, "said": str(error)}
            job.say(f"The line says: {error}")
            await asyncio.sleep(_AGAIN_S)
            continue
        return {"loads": True, "said": f"The line judges with {answer['engine']} {answer['engine_version']}."}


def _sort_photos(reviews: Path, folder: Path) -> int:
    """One folder of links per label, as `inspectd engines compare` reads it. Raises CommandError if there is no photo."""
    try:
        count = _link_photos(Reviews(reviews, read_only=True).reviewed(), folder)
    except ReviewError as error:
        raise CommandError(str(error)) from error
    if not count:
        raise CommandError("there is no reviewed photo on which all reviewers agree")
    return count


def _link_photos(reviewed: Iterable[Reviewed], folder: Path) -> int:
    count = 0
    for label in reviewed:
        if label.label is not None:
            of_class = folder / label.label
            of_class.mkdir(exist_ok=True)
            (of_class / f"{label.part}-{label.t_trigger_utc_ns}{label.photo.suffix}").symlink_to(label.photo.resolve())
            count += 1
    return count


def _done(done: Done) -> Done:
    if done.code:
        raise CommandError(_sentence(done))
    return done


def _sentence(done: Done) -> str:
    """The error that ended the command; log lines may come before it."""
    said = f"\n{done.complaint}".rpartition("\ninspectd: ")[2].strip()
    return said or f"the command has ended with code {done.code}, without a word"
