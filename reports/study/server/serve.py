"""Runs the web app of a study until it is stopped."""

from __future__ import annotations

from collections.abc import Callable

from icd_bench.errors import UsageError
from icd_bench.reports.study.design import Study
from icd_bench.reports.study.server.store import ANSWERS, AnswerStore


def serve_study(
    study: Study, host: str, port: int, base_url: str | None, tell: Callable[[str], None]
) -> None:
    """Serve a study; ``tell`` gets a line for each link.

    Raises:
        UsageError: starlette or uvicorn are not installed, or the answers cannot be kept.
    """
    try:
        import uvicorn

        from icd_bench.reports.study.server.app import make_app
    except ImportError as error:
        raise UsageError(
            f'the server needs {error.name}; get it with: pip install "icd-bench[study]"'
        ) from error
    store = AnswerStore(study.folder / ANSWERS, study.bundle)
    tokens = {study.key.token(rater): rater for rater in study.bundle.lists}
    app = make_app(study.bundle, study.bundle_folder, store, tokens, study.key.admin_token)
    root = (base_url or f"http://{f'[{host}]' if ':' in host else host}:{port}").rstrip("/")
    for token, rater in tokens.items():
        tell(f"{rater}  {root}/s/{token}")
    tell(f"progress  {root}/admin/{study.key.admin_token}")
    try:
        # Addresses are secrets: no access log. A person stops it with Ctrl-C.
        uvicorn.run(
            app,
            host=host,
            port=port,
            access_log=False,
            log_level="warning",
            server_header=False,
            ws="none",
        )
    finally:
        store.close()
