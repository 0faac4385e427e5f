"""The first page: the line now. And what every page has at its top: the acknowledgement of a stop."""

import asyncio

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from inspectd.control.client import ask
from inspectd.errors import ControlError, RefusedError
from inspectd.serve.web.access.roles import Role, needs
from inspectd.serve.web.live.poller import live_of
from inspectd.serve.web.pages.errors import error_page
from inspectd.serve.web.site import record_action, render, site_of


@needs(Role.VIEWER)
async def line(request: Request) -> Response:
    live = live_of(request)
    await live.first_look()
    return render(request, "line.html", shown=live.fragments, rejects=live.rejects)


@needs(Role.OPERATOR)
async def acknowledge(request: Request) -> Response:
    """The answer is a sentence for scripts, and the page that was open for a form.

    A page that says which stop it has shown can't acknowledge one that came after it.
    """
    site = site_of(request)
    control = site.line.control
    if control is None:
        return _answer(
            request, 409, "This line has no control socket. Acknowledge on its computer: sudo systemctl reload inspectd"
        )
    state, shown = live_of(request).state, (await request.form()).get("stop", "")
    if state.can_acknowledge and shown and not state.was_shown_as(str(shown)):
        return _answer(request, 409, f"Another stop has come: {state.sentence} Nothing was acknowledged yet.")
    await record_action(request, "acknowledge", {"stop": ", ".join(state.stops) or state.words})
    try:
        said = await asyncio.to_thread(ask, control, "acknowledge", stops=state.stops)
    except RefusedError as error:
        return _answer(request, 409, f"The line refuses: {error}. The stop was not acknowledged.")
    except ControlError as error:
        return _answer(
            request, 503, f"The line does not answer ({error}). It is not known whether the stop was acknowledged."
        )
    live_of(request).asker.again()
    if not said["stops"]:
        return _answer(request, 200, "The line had no stop to acknowledge.")
    return _answer(request, 200, "Acknowledged. Run permit comes back when nothing else is wrong.")


def _answer(request: Request, status: int, sentence: str) -> Response:
    if "text/plain" in request.headers.get("accept", ""):
        return PlainTextResponse(sentence, status)
    return error_page(request, status, sentence) if status >= 400 else RedirectResponse("/", status_code=303)


routes = [
    Route("/", line, methods=["GET"]),
    Route("/acknowledge", acknowledge, methods=["POST"]),
]
