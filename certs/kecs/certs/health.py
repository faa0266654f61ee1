"""The health port of a service: alive, ready, metrics. An edge that asks and says."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse


def application(*, missing: Callable[[], tuple[str, ...]], metrics: Callable[[], bytes]) -> FastAPI:
    """Make the ASGI application. `missing` lists what keeps the service from being ready; nothing means ready."""
    app = FastAPI(title="kecs health", openapi_url=None, docs_url=None, redoc_url=None)

    async def livez(_request: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def readyz(_request: Request) -> Response:
        lacks = missing()
        status = HTTPStatus.SERVICE_UNAVAILABLE if lacks else HTTPStatus.OK
        return JSONResponse({"ready": not lacks, "missing": list(lacks)}, status_code=status)

    async def exposed(_request: Request) -> Response:
        return Response(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.add_route("/livez", livez)
    app.add_route("/readyz", readyz)
    app.add_route("/metrics", exposed)
    return app
