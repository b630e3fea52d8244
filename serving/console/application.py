"""The console as an application: who may see a page, what forms may do, how errors look."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from core.access import AccessKey, Verb
from core.errors import PlatformError
from serving.access import Access, Asked
from serving.console.forms import form_of
from serving.console.pages import Answer, Asking, Drawn, Gone, Home, Page, Section, Sent
from serving.console.rendering import Frame, html, page_headers
from serving.console.visitors import KEY, TOKEN, Cookies, Visitor, is_own_host, place
from serving.errors import NoKeyError, NotFoundError, OutOfScopeError
from serving.process import Told
from serving.settings import HttpSettings
from serving.telemetry.log_lines import ending_in_words, tell_failed
from serving.telemetry.repeats import Repeats
from serving.transport.problems import status_of
from stores.audit.user import user_name
from stores.home_id import home_id
from stores.keys.access_keys import AccessKeyFile

ICON = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M1 12h5l4-8h5" '
    b'fill="none" stroke="#2f7a6d" stroke-width="2.4"/></svg>'
)
_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Console:
    """ASGI application of all pages.

    Attributes
    ----------
    limits
        What a connection may use, for `serving.transport.connections`.
    """

    def __init__(
        self, home: Home, told: Told, *, pages: Iterable[Page], sections: tuple[Section, ...]
    ) -> None:
        self._home = home
        self._sections = sections
        self._access = Access(
            AccessKeyFile(home.layout.access), home.clock, told, n_workers=1, who="the console"
        )
        self._cookies = Cookies(is_secure=not home.settings.is_local)
        self._repeats = Repeats(home.clock)
        self.limits: HttpSettings = home.settings.http
        routes = [Route(p.path, partial(self._page, p), methods=[p.method]) for p in pages]
        self._app = Starlette(
            routes=[*routes, *self._own_routes()],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: self._lost},
        )
        self._app.router.redirect_slashes = False  # it would tell the caller's Host back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await self._app(scope, receive, send)

    def refused(self, code: str) -> None:
        """Take note of a connection that was refused: nobody counts those of the console."""

    def _own_routes(self) -> list[Route]:
        return [
            Route("/sign-in", self._sign_in_page),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route("/icon.svg", self._icon),
            Route("/livez", self._live),
        ]

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Follow the keys; put down at the end who was refused."""
        del app
        following = asyncio.create_task(self._access.follow())
        with ending_in_words("the console did not end in good order"):
            try:
                yield
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
                self.look()

    def look(self) -> None:
        """Read the keys if they changed, and put down who was refused."""
        self._access.look(self._access.taken_refusals(), is_last=True)

    # -- pages --------------------------------------------------------------------------

    async def _page(self, page: Page, request: Request) -> Response:
        visitor = Visitor.of(request.headers.get("cookie", ""))
        key = None
        try:
            key = self._identified(page, request, visitor)
            self._check_page(page, request, visitor, key)
            form = await self._form(request, visitor) if page.method == "POST" else {}
            answer = await _answered(page, self._asking(request, key, form, page.path))
            return self._sent(request, visitor, key, answer)
        except NoKeyError as error:
            if page.method == "GET":
                return self._to_sign_in(request)
            return self._trouble(request, visitor, key, error)
        except PlatformError as error:
            return self._trouble(request, visitor, key, error, route=page.path)
        except Exception as error:  # the last line: nobody gets a trace
            self._tell(page.path, error)
            return self._trouble(request, visitor, key, _unforeseen())

    def _identified(self, page: Page, request: Request, visitor: Visitor) -> AccessKey | None:
        """The key under which a request goes on; None where nobody is asked for one."""
        _check_host(request, is_open=self._access.is_open)
        return self._access.identified(self._asked(request, visitor, page.verb, page.path))

    def _check_page(
        self, page: Page, request: Request, visitor: Visitor, key: AccessKey | None
    ) -> None:
        """Return when a key opens a page, for the use case that it is about."""
        if key is not None:
            asked = self._asked(request, visitor, page.verb, page.path)
            about = page.use_cases(request.path_params)
            self._access.check_scope(key, replace(asked, use_cases=about), page.verb)

    def _asked(self, request: Request, visitor: Visitor, verb: Verb, route: str) -> Asked:
        return Asked(
            authorization=f"Bearer {visitor.key}" if visitor.key else None,
            verb=verb,
            use_cases=(),
            route=route,
            client=request.client.host if request.client else "",
        )

    async def _form(self, request: Request, visitor: Visitor) -> dict[str, str]:
        form = dict(await form_of(request, timeout_ms=self.limits.body_timeout_ms))
        if not self._cookies.is_token(visitor, form.pop(TOKEN, "")):
            raise OutOfScopeError(
                "this form was not loaded from this console, or before it was started again",
                remedy="load the page again, and send the form from there",
                code="stale_form",
            )
        return form

    def _asking(
        self, request: Request, key: AccessKey | None, form: dict[str, str], route: str = ""
    ) -> Asking:
        return Asking(
            home=self._home,
            path=request.path_params,
            query=dict(request.query_params),
            form=form,
            key=key,
            who=user_name() if key is None else key.owner,
            now_ms=self._home.clock.now_ms(),
            check=partial(self._check, request, key, route),
        )

    def _check(
        self,
        request: Request,
        key: AccessKey | None,
        route: str,
        verb: Verb,
        use_cases: Sequence[str],
    ) -> None:
        if key is not None:
            visitor = Visitor.of(request.headers.get("cookie", ""))
            asked = self._asked(request, visitor, verb, route)
            self._access.check_scope(key, replace(asked, use_cases=use_cases), verb)

    def _sent(
        self, request: Request, visitor: Visitor, key: AccessKey | None, answer: Answer
    ) -> Response:
        if isinstance(answer, Gone):
            gone = RedirectResponse(answer.path, status_code=303)
            if answer.said:
                self._cookies.say(gone, answer.said)
            return gone
        if isinstance(answer, Sent):
            headers = {**page_headers(), "Content-Security-Policy": _PICTURE_POLICY}
            return Response(answer.content, media_type=answer.media_type, headers=headers)
        return self._drawn(request, visitor, key, answer)

    def _drawn(
        self, request: Request, visitor: Visitor, key: AccessKey | None, drawn: Drawn
    ) -> Response:
        asking = self._asking(request, key, {})
        is_known = key is not None or self._access.is_open
        frame = Frame(
            sections=tuple(
                s for s in self._sections if is_known and asking.opens(s.verb, *s.use_cases)
            ),
            path=request.url.path,
            owner="" if key is None else key.owner,
            token=self._cookies.token(visitor),
            said=visitor.said,
            may_search=is_known and asking.opens("passports"),
        )
        page = html(drawn.template, drawn.facts, frame=frame, now_ms=asking.now_ms)
        response = HTMLResponse(page, status_code=drawn.status, headers=page_headers())
        self._cookies.keep_form(response, visitor)
        self._cookies.was_said(response, visitor)
        return response

    # -- errors -------------------------------------------------------------------------

    def _trouble(
        self,
        request: Request,
        visitor: Visitor,
        key: AccessKey | None,
        error: PlatformError,
        *,
        route: str = "",
    ) -> Response:
        status = status_of(error)
        if route and status == 500:
            self._tell(route, error)
        facts = {"error": error, "status": status}
        return self._drawn(request, visitor, key, Drawn("error.html", facts, status))

    async def _lost(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        visitor = Visitor.of(request.headers.get("cookie", ""))
        lost = NotFoundError(
            "there is no such page here",
            remedy="look for it from the overview, or by the id of a prediction",
            code="not_found" if status == 404 else "method_not_allowed",
        )
        key = None
        if visitor.key:
            with suppress(PlatformError):
                key = self._access.identified(
                    self._asked(request, visitor, "rollouts", "another path")
                )
        drawn = Drawn("error.html", {"error": lost, "status": status}, status)
        return self._drawn(request, visitor, key, drawn)

    def _tell(self, route: str, error: Exception) -> None:
        kind = getattr(error, "code", type(error).__name__)
        self._repeats.met(kind, partial(tell_failed, route, error))

    # -- keys ---------------------------------------------------------------------------

    def _to_sign_in(self, request: Request) -> Response:
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        gone = RedirectResponse(f"/sign-in?to={quote(asked, safe='/')}", status_code=303)
        if request.cookies.get(KEY):
            self._cookies.drop_key(gone)
            self._cookies.say(gone, "The key opens nothing any more. Give another.")
        return gone

    async def _sign_in_page(self, request: Request) -> Response:
        visitor = Visitor.of(request.headers.get("cookie", ""))
        if self._access.is_open:
            return RedirectResponse("/", status_code=303)
        facts = {"to": place(request.query_params.get("to", "/")), "trouble": ""}
        return self._drawn(request, visitor, None, Drawn("sign_in.html", facts))

    async def _sign_in(self, request: Request) -> Response:
        visitor = Visitor.of(request.headers.get("cookie", ""))
        to = "/"
        try:
            form = await self._form(request, visitor)
            to = place(form.get("to", "/"))
            given = Visitor(form.get("key", ""), visitor.form, "", has_form=True)
            self._access.identified(self._asked(request, given, "rollouts", "/sign-in"))
        except PlatformError as error:
            facts = {"to": to, "trouble": error.wrong, "remedy": error.remedy}
            drawn = Drawn("sign_in.html", facts, status_of(error))
            return self._drawn(request, visitor, None, drawn)
        response = RedirectResponse(to, status_code=303)
        self._cookies.keep_key(response, given.key)
        return response

    async def _sign_out(self, request: Request) -> Response:
        visitor = Visitor.of(request.headers.get("cookie", ""))
        try:
            await self._form(request, visitor)
        except PlatformError as error:
            return self._trouble(request, visitor, None, error)
        response = RedirectResponse("/sign-in", status_code=303)
        self._cookies.drop_key(response)
        self._cookies.say(response, "Signed out: this browser shows no key any more.")
        return response

    async def _icon(self, request: Request) -> Response:
        del request
        return Response(ICON, media_type="image/svg+xml")

    async def _live(self, request: Request) -> Response:
        """That this process runs, and of which home it is."""
        del request
        return JSONResponse({"live": True, "home": home_id(self._home.layout)})


async def _answered(page: Page, asking: Asking) -> Answer:
    if inspect.iscoroutinefunction(page.answer):
        answer: Answer = await page.answer(asking)
        return answer
    found = await asyncio.to_thread(page.answer, asking)
    assert not inspect.isawaitable(found)  # noqa: S101 - for the type checker
    return found


def _check_host(request: Request, *, is_open: bool) -> None:
    if is_open and not is_own_host(request.headers.get("host", "")):
        raise OutOfScopeError(
            "this console has no keys, so it answers under the names of its own machine only",
            found="another name",
            remedy="open http://127.0.0.1 and its port, or make a key (`throughline keys create`)",
            code="open_to_others",
        )


def _unforeseen() -> PlatformError:
    return PlatformError(
        "an error that nobody foresaw",
        remedy="what it was stands in the log of the console",
        code="internal",
    )
