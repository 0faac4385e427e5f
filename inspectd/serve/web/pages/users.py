"""The users, for admins: who may log in, as what, and who is locked out. Each change counts at once."""

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from inspectd.records.passwords import LONGEST, SHORTEST, hash_password
from inspectd.records.users import Role
from inspectd.serve.web.access.roles import needs
from inspectd.serve.web.site import record_action, render, site_of


@needs(Role.ADMIN)
async def users(request: Request) -> Response:
    kept = site_of(request).accounts.users
    rows = [(each, kept.locked_at(each.name)) for each in kept.all()]
    return render(request, "users.html", rows=rows, roles=list(Role), shortest=SHORTEST, longest=LONGEST)


@needs(Role.ADMIN)
async def add(request: Request) -> Response:
    form = await request.form()
    name, role, password = str(form.get("name", "")), _role(form.get("role")), str(form.get("password", ""))
    password_hash = await to_thread.run_sync(hash_password, name, password, limiter=request.app.state.one_login)
    await record_action(request, "user_added", {"user": name, "role": role.name.lower()})
    site_of(request).accounts.users.add(name, role, password_hash)
    return _back()


@needs(Role.ADMIN)
async def set_role(request: Request) -> Response:
    form = await request.form()
    name, role = str(form.get("name", "")), _role(form.get("role"))
    await record_action(request, "user_changed", {"user": name, "role": role.name.lower()})
    site_of(request).accounts.users.set_role(name, role)
    return _back()


@needs(Role.ADMIN)
async def remove(request: Request) -> Response:
    name = str((await request.form()).get("name", ""))
    await record_action(request, "user_removed", {"user": name})
    site_of(request).accounts.users.remove(name)
    return _back()


@needs(Role.ADMIN)
async def unlock(request: Request) -> Response:
    name = str((await request.form()).get("name", ""))
    await record_action(request, "user_unlocked", {"user": name})
    site_of(request).accounts.users.unlock(name)
    return _back()


def _role(text: object) -> Role:
    """Raises HTTPException."""
    try:
        return Role[str(text).upper()]
    except KeyError:
        raise HTTPException(400) from None


def _back() -> Response:
    return RedirectResponse("/users", status_code=303)


routes = [
    Route("/users", users, methods=["GET"]),
    Route("/users", add, methods=["POST"]),
    Route("/users/role", set_role, methods=["POST"]),
    Route("/users/remove", remove, methods=["POST"]),
    Route("/users/unlock", unlock, methods=["POST"]),
]
