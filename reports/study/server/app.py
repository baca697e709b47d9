"""The web app: a page for each rater's link, pictures, answers, and a page of progress.

Addresses hold the secret, so nothing is logged that holds an address, and no referrer is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from icd_bench.reports.study.bundle import Bundle, picture_path
from icd_bench.reports.study.server.limits import RateLimit
from icd_bench.reports.study.server.store import AnswerStore, Refused
from icd_bench.reports.study.sheet import fill_page, page_data, web_file

MOST_BYTES: Final = 4096
"""An answer is about 300 bytes; nobody has a reason to send more than this."""
POLICY: Final = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
    "cache-control": "no-store",
}
STATIC: Final = {
    "assess.css": "text/css",
    "assess.js": "text/javascript",
    "admin.css": "text/css",
    "admin.js": "text/javascript",
}


class Reply(Exception):
    """Ends a request with a plain message."""

    def __init__(self, status: int, text: str) -> None:
        self.status, self.text = status, text
        super().__init__(text)


def make_app(
    bundle: Bundle, folder: Path, store: AnswerStore, tokens: Mapping[str, str], admin: str
) -> Starlette:
    """Return the web app of a study.

    Args:
        bundle: the study, blind.
        folder: of the bundle.
        store: where answers go.
        tokens: secret of a rater's link -> rater.
        admin: secret of the link to the progress page.
    """
    pages = _Pages(bundle, folder, store, tokens, admin)
    routes = [
        Route("/s/{token}", pages.rater),
        Route("/s/{token}/answers", pages.answer, methods=["POST"]),
        Route("/s/{token}/more", pages.more, methods=["POST"]),
        Route("/s/{token}/pictures/{name}", pages.picture),
        Route("/admin/{token}", pages.progress),
        Route("/admin/{token}/progress", pages.progress_data),
        Route("/admin/{token}/reassign", pages.reassign, methods=["POST"]),
        Route("/static/{name}", pages.static),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_SafeHeaders)],
        exception_handlers={Reply: _plain_reply},
    )


class _Pages:
    def __init__(
        self,
        bundle: Bundle,
        folder: Path,
        store: AnswerStore,
        tokens: Mapping[str, str],
        admin: str,
    ) -> None:
        self.bundle, self.folder, self.store = bundle, folder, store
        self.tokens, self.admin = tokens, admin
        self.pictures = {name for task in bundle.tasks.values() for name in task.pictures}
        self.files = {name: web_file(name) for name in STATIC}
        self.answers_limit = RateLimit(rate=10, burst=40)
        self.pages_limit = RateLimit(rate=60, burst=300)
        self.guesses_limit = RateLimit(rate=0.2, burst=20)

    async def rater(self, request: Request) -> Response:
        rater, token = self._enter(request, self.pages_limit)
        tasks = await run_in_threadpool(self.store.tasks_of, rater)
        answers = await run_in_threadpool(self.store.answers_of, rater)
        content = page_data(self.bundle, rater, tasks, api=f"/s/{token}", answers=answers)
        return HTMLResponse(_page("assess", content))

    async def answer(self, request: Request) -> Response:
        rater, _ = self._enter(request, self.answers_limit)
        content = await _json_body(request)
        try:
            await run_in_threadpool(self.store.record, rater, content)
        except Refused as error:
            raise Reply(409, str(error)) from error
        return JSONResponse({"saved": True})

    async def more(self, request: Request) -> Response:
        rater, _ = self._enter(request, self.answers_limit)
        return JSONResponse({"added": await run_in_threadpool(self.store.hand_over, rater)})

    async def picture(self, request: Request) -> Response:
        self._enter(request, self.pages_limit)
        name = request.path_params["name"]
        if name not in self.pictures:
            raise Reply(404, "There is no such picture.")
        kept = {"cache-control": "private, max-age=86400, immutable"}
        return FileResponse(picture_path(self.folder, name), media_type="image/png", headers=kept)

    async def progress(self, request: Request) -> Response:
        self._enter_admin(request)
        return HTMLResponse(_page("admin", await self._progress(request)))

    async def progress_data(self, request: Request) -> Response:
        self._enter_admin(request)
        return JSONResponse(await self._progress(request))

    async def reassign(self, request: Request) -> Response:
        self._enter_admin(request)
        content = await _json_body(request)
        try:
            moved = await run_in_threadpool(self.store.reassign, str(content.get("rater", "")))
        except Refused as error:
            raise Reply(409, str(error)) from error
        return JSONResponse({"moved": moved} | await self._progress(request))

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.files:
            raise Reply(404, "There is no such file.")
        return Response(self.files[name], media_type=STATIC[name])

    async def _progress(self, request: Request) -> dict[str, Any]:
        raters = await run_in_threadpool(self.store.progress)
        pairs = await run_in_threadpool(self.store.pair_counts)
        link_of = {rater: f"/s/{token}" for token, rater in self.tokens.items()}
        return {
            "title": self.bundle.title,
            "study": self.bundle.study,
            "raters": [asdict(rater) | {"link": link_of[rater.rater]} for rater in raters],
            "pairs": [{"judgements": count, "pairs": n} for count, n in pairs.items()],
        }

    def _enter(self, request: Request, limit: RateLimit) -> tuple[str, str]:
        token = request.path_params["token"]
        self._slow_guessing(request)
        if token not in self.tokens:
            self._count_guess(request)
        if not limit.allows(token):
            raise Reply(429, "Too fast. Please wait a moment.")
        return self.tokens[token], token

    def _enter_admin(self, request: Request) -> None:
        self._slow_guessing(request)
        if request.path_params["token"] != self.admin:
            self._count_guess(request)

    def _slow_guessing(self, request: Request) -> None:
        if not self.guesses_limit.allows(_client(request), cost=0):
            raise Reply(429, "Too many wrong links. Please wait some minutes.")

    def _count_guess(self, request: Request) -> None:
        self.guesses_limit.allows(_client(request))
        raise Reply(404, "This link is not valid. Please check it, or ask whoever sent it.")


class _SafeHeaders:
    """Adds ``HEADERS`` to every answer that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.encode(), value.encode())
                        for name, value in HEADERS.items()
                        if name.encode() not in there
                    ),
                ]
            await send(message)

        await self.app(scope, receive, send_safely)


async def _plain_reply(request: Request, error: Exception) -> Response:
    if not isinstance(error, Reply):
        raise error
    return PlainTextResponse(error.text + "\n", status_code=error.status)


async def _json_body(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Reply(415, "Send JSON.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Reply(413, "This is too long for an answer.")
    try:
        content = json.loads(body)
    except ValueError as error:
        raise Reply(400, "This is not JSON.") from error
    if not isinstance(content, dict):
        raise Reply(400, "This is not an answer.")
    return content


def _page(name: str, content: dict[str, Any]) -> str:
    style = f'<link rel="stylesheet" href="/static/{name}.css">'
    script = f'<script src="/static/{name}.js"></script>'
    page: str = fill_page(name, "", style, script, content)
    return page


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
