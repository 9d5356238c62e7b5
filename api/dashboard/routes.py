"""The routes of the dashboard: who may see it, its pages, their CSV, and its errors as pages."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import Forbidden, NotFound, Unauthorized

from api.auth import BearerAuth
from api.csv_text import csv_text
from api.dashboard.formats import time_text
from api.dashboard.login_links import LoginLinks
from api.dashboard.page import (
    ROOT,
    SPAN,
    DashboardPage,
    Findings,
    PageAction,
    PageContent,
    PageRequest,
)
from api.dashboard.pages import PAGES
from api.dashboard.proxy_login import ProxyLogin
from api.dashboard.sessions import COOKIE, SESSION_SECONDS, DashboardSession, Sessions
from api.dashboard.spans import picker_of
from api.dashboard.static_files import send_static_file
from api.dashboard.templating import render
from server.problems import NotConfigured
from tracking.domain.validation import FieldError, ValidationError
from tracking.report.parameters import raise_if_any
from tracking.service import Service

BLUEPRINT = "dashboard"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_LARGEST_FORM = 64 * 1024
_SMALL_PAGE = 1024
# A 401 has to say how to log in. Browsers know no scheme for a form, and so ask for no password.
_CHALLENGE = f'Cookie form-action="{ROOT}/login", cookie-name="{COOKIE}"'
# What can be seen without a session.
OPEN_ENDPOINTS = ("static_file", "login_form", "login", "login_link")
_OPEN = {f"{BLUEPRINT}.{name}" for name in OPEN_ENDPOINTS}
# A path of the dashboard, nothing that a browser could take for another host, and no step upwards,
# which a browser takes before it asks.
_UPWARDS = r"[^?#]*/(?:\.|%2[Ee]){2}(?:[/?#]|\Z)"
_OWN_PATH = re.compile(rf"{ROOT}(?!{_UPWARDS})(?:[/?][!-\[\]-~]*)?")


class Dashboard:
    """Serves the dashboard to who logged in with a token, or was signed in by a believed proxy.

    `problem_of` is the table of errors, whose answers it shows as pages, and `findings` those of
    doctor.
    """

    def __init__(
        self,
        service: Service,
        auth: BearerAuth,
        problem_of: Callable[[Exception], Response],
        findings: Findings,
    ) -> None:
        settings = service.settings
        self._service = service
        self._auth = auth
        self._problem_of = problem_of
        self._findings = findings
        self._sessions = Sessions(settings.api_tokens, service.clock)
        self._proxy_login = ProxyLogin(
            settings.dashboard_auth_header, settings.dashboard_auth_peers
        )
        self._is_https = settings.public_url.startswith("https:")
        self._links = LoginLinks(settings.api_tokens, service.store, service.clock)

    def routes(self) -> Blueprint:
        """Returns the routes of all pages, with login and logout."""
        routes = Blueprint(BLUEPRINT, __name__, url_prefix=ROOT)
        routes.before_request(self._check_session)
        routes.after_request(_with_policy)
        routes.register_error_handler(Exception, self._error_page)
        routes.add_url_rule("/static/<digest>/<name>", "static_file", send_static_file)
        routes.add_url_rule("/login", "login_form", self._login_form)
        routes.add_url_rule("/login", "login", self._login, methods=["POST"])
        routes.add_url_rule("/login/<code>", "login_link", self._login_by_link)
        routes.add_url_rule("/logout", "logout", self._logout, methods=["POST"])
        for page in PAGES:
            routes.add_url_rule(page.rule, page.name, self._view_of(page))
            for action in page.actions:
                name, run = f"{page.name}_{action.name}", self._run_of(page, action)
                routes.add_url_rule(f"{page.rule}/{action.name}", name, run, methods=["POST"])
        routes.add_url_rule("/", "root", lambda: _redirect(ROOT))
        routes.add_url_rule("/<path:rest>", "nowhere", _nowhere)
        return routes

    # --- Who may see it

    def _check_session(self) -> None:
        """Lets in who has a session, and a form only with the token of its page.

        Raises:
            HTTPException: nobody is let in, there is no session, or the form is not of its page.
        """
        request.max_content_length = _LARGEST_FORM
        g.session = None
        if request.endpoint == f"{BLUEPRINT}.static_file":
            return
        if not self._service.settings.api_tokens:
            raise NotConfigured("Set API_TOKEN to open the dashboard.")
        g.session = self._session()
        if request.endpoint in _OPEN:
            return
        if g.session is None:
            raise Unauthorized("Log in to see this page.")
        if request.method == "POST" and not self._sends_form(g.session):
            raise Forbidden("The form is out of date. Open its page again.")

    def _session(self) -> DashboardSession | None:
        session = self._proxy_login.session_of(request)
        return session or self._sessions.of_cookie(request.cookies.get(COOKIE, ""))

    def _sends_form(self, session: DashboardSession) -> bool:
        return self._sessions.is_form_token(session, request.form.get("form_token", ""))

    def _login_form(self) -> Response:
        if g.session is not None:
            return _redirect(_own_path(request.args.get("next", "")))
        return self._login_page("", 200)

    def _login(self) -> Response:
        # A token that was copied often has a space or a line's end behind it.
        given = request.form.get("token", "").strip()
        token = self._auth.token_equal_to(given, request.remote_addr)
        return self._begin(token, _own_path(request.form.get("next", "")))

    def _login_by_link(self, code: str) -> Response:
        token = self._links.opened_by(code, request)
        if token is None:
            raise NotFound(
                "The link was used, is older than ten minutes, or is another machine's: "
                "log in with the token."
            )
        return self._begin(token, ROOT)

    def _begin(self, token: bytes, path: str) -> Response:
        answer = _redirect(path)
        answer.set_cookie(
            COOKIE,
            self._sessions.begin(token),
            max_age=SESSION_SECONDS,
            path=ROOT,
            secure=self._is_https,
            httponly=True,
            samesite="Lax",
        )
        return answer

    def _logout(self) -> Response:
        answer = _redirect(f"{ROOT}/login")
        answer.delete_cookie(
            COOKIE, path=ROOT, secure=self._is_https, httponly=True, samesite="Lax"
        )
        return answer

    def _login_page(self, message: str, status: int) -> Response:
        given = request.values.get("next", "") if request.endpoint in _OPEN else _this_address()
        page = render("login.html", message=message, next=_own_path(given))
        return Response(page, status, content_type="text/html; charset=utf-8")

    # --- The pages

    def _view_of(self, page: DashboardPage) -> Callable[..., Response]:
        def view(**path: str) -> Response:
            asked = self._asked(page, path)
            if page.has_span and not all(request.args.get(name) for name in SPAN):
                # The address then holds the days, and shows others the same figures.
                return _redirect(asked.address(**_format()))
            content = page.view(asked)
            if request.args.get("format") == "csv":
                return _csv(content)
            return self._page(asked, content)

        return view

    def _run_of(self, page: DashboardPage, action: PageAction) -> Callable[..., Response]:
        def run(**path: str) -> Response:
            given = {**request.form.to_dict(), **path}
            raise_if_any(_unstorable(given.items()))
            said = action.run(self._service, given)
            return self._html("done.html", 200, page=page, said=said, back=page.address(path))

        return run

    def _asked(self, page: DashboardPage, path: dict[str, str]) -> PageRequest:
        names = (*(SPAN if page.has_span else ()), *page.parameters)
        raise_if_any(_unstorable(path.items()))
        arguments = _arguments(*names)
        days = self._service.reports.days(*(arguments.pop(name, None) for name in SPAN))
        return PageRequest(self._service, page, days, arguments, path, self._findings)

    def _page(self, asked: PageRequest, content: PageContent) -> Response:
        values = {
            **content.values,
            "asked": asked,
            "page": asked.page,
            "picker": picker_of(asked) if asked.page.has_span else None,
            "as_of": time_text(asked.now, self._service.settings.shop_timezone),
            "csv": {
                table.name: asked.address(format="csv", table=table.name)
                for table in content.tables
            },
        }
        return self._html(content.template, 200, **values)

    def _html(self, template: str, status: int, **values: Any) -> Response:
        session: DashboardSession = g.session
        span = {name: request.args.get(name) for name in SPAN}
        page = render(
            template,
            navigation=[(each, each.address(None, span)) for each in PAGES if each.in_navigation],
            zone=self._service.settings.shop_timezone.key,
            modes=self._service.modes(),
            person=session.person,
            form_token=self._sessions.form_token(session),
            **values,
        )
        return Response(page, status, content_type="text/html; charset=utf-8")

    def _error_page(self, error: Exception) -> Response:
        """Shows an error as a page; who has no session sees the form to log in."""
        problem = self._problem_of(error)
        told = problem.get_json()
        if isinstance(error, Unauthorized):
            page = self._login_page(told["detail"], 401)
        elif g.get("session") is None:
            page = self._bare_error(told, problem.status_code)
        else:
            page = self._html("error.html", problem.status_code, page=None, problem=told)
        for name in ("Allow", "Retry-After"):
            page.headers.extend((name, value) for value in problem.headers.getlist(name))
        if page.status_code == Unauthorized.code:
            page.headers["WWW-Authenticate"] = _CHALLENGE
        return page

    def _bare_error(self, told: dict[str, Any], status: int) -> Response:
        page = render("refusal.html", problem=told)
        return Response(page, status, content_type="text/html; charset=utf-8")


def _arguments(*names: str) -> dict[str, str | None]:
    """Returns the parameters of these names.

    Raises:
        ValidationError: there is another, or one holds NUL.
    """
    accepted = (*names, "format", "table")
    errors = [
        FieldError(name, f"unknown; accepted: {', '.join(names) or 'none'}")
        for name in sorted(set(request.args) - set(accepted))
    ]
    errors += _unstorable(request.args.items(multi=True))
    if request.args.get("format") not in (None, "csv"):
        errors.append(FieldError("format", "not one of: csv"))
    raise_if_any(errors)
    return {name: request.args.get(name) for name in names}


def _unstorable(given: Iterable[tuple[str, str]]) -> list[FieldError]:
    """Returns an error for each text with NUL in it, which PostgreSQL cannot even look for."""
    return [
        FieldError(name, "holds a control character") for name, value in given if "\x00" in value
    ]


def _format() -> dict[str, str | None]:
    return {name: request.args.get(name) for name in ("format", "table")}


def _csv(content: PageContent) -> Response:
    """Returns the table that is asked for as a file.

    Raises:
        ValidationError: the page has no table of this name.
    """
    tables = {table.name: table for table in content.tables}
    table = tables.get(request.args.get("table", ""))
    if table is None:
        raise ValidationError(FieldError("table", f"not one of: {', '.join(tables)}"))
    answer = Response(csv_text(table.csv_rows()), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{table.name}.csv"'
    return answer


def _own_path(given: str) -> str:
    """Returns a path of the dashboard to lead to; its beginning for anything else."""
    return given if _OWN_PATH.fullmatch(given) else ROOT


def _this_address() -> str:
    """Returns the address of this request, if it can be asked for again."""
    if request.method not in ("GET", "HEAD"):
        return ROOT
    return f"{quote(request.path)}?{request.query_string.decode(errors='replace')}".rstrip("?")


def _redirect(path: str) -> Response:
    return Response(status=303, headers={"Location": path})


def _nowhere(rest: str) -> Response:
    raise NotFound("There is no such page.")


def _with_policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    return _compressed(response) if response.mimetype == "text/html" else response


def _compressed(page: Response) -> Response:
    """Compresses a page, if the browser accepts that. All that is secret in it is its form token,
    which no second page has."""
    page.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"] > 0 and len(page.get_data()) > _SMALL_PAGE:
        page.set_data(gzip.compress(page.get_data(), 5, mtime=0))
        page.headers["Content-Encoding"] = "gzip"
    return page
