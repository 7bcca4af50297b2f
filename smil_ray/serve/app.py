"""The requests of the page, as a web application. The network works for one of them at a time."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.background import BackgroundTask

from smil_ray.errors import DataError, SmilRayError
from smil_ray.serve.guard import Guard
from smil_ray.serve.refusals import RefusedError, check_announced, let_finish
from smil_ray.serve.session import Session
from smil_ray.serve.uploads import most_bytes, save
from smil_ray.serve.view import view_of

PAGE = Path(__file__).with_name("page")
MAX_JSON_BYTES = 2**20
Result = TypeVar("Result")


def make_app(session: Session, token: str | None = None) -> FastAPI:
    """Return the application.

    Args:
        session: Files and network, used in one thread.
        token: What requests must bring; None for a server that this machine alone can reach.
    """
    routes = _Routes(session)
    app = FastAPI(title="smil-ray", lifespan=routes.lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, token=token)
    app.add_exception_handler(SmilRayError, _refused)
    for method, path, answer in (
        ("GET", "/api/network", routes.network),
        ("POST", "/api/files", routes.send),
        ("DELETE", "/api/files/{number}", routes.remove),
        ("GET", "/api/files/{number}/{frame}", routes.find),
        ("POST", "/api/files/{number}/{frame}", routes.tell),
        ("GET", "/api/labels.zip", routes.labels),
        ("GET", "/api/results.zip", routes.results),
    ):
        app.add_api_route(path, answer, methods=[method], response_model=None)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


class _Routes:
    """What is answered to each request; errors are `SmilRayError`s."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="network")

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """End the thread and delete what was sent when the server ends.

        Here, because uvicorn hands a signal on after this, and SIGTERM ends the process.
        """
        yield
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._session.close()

    async def network(self) -> dict[str, Any]:
        """Names, tree and faces of the body model, and what dragging does."""
        return _network(self._session)

    async def send(self, request: Request, name: str) -> dict[str, Any]:
        """Take a file, the body of the request."""
        most = most_bytes(name)
        check_announced(request.headers.get("content-length"), most, name)
        path = await self._work(lambda: self._session.place(name))
        try:
            await save(request.stream(), path, most, name)
        except BaseException:  # Also where the sender has gone.
            shutil.rmtree(path.parent)
            raise
        number = await self._work(lambda: self._session.add(path, name))
        sent = self._session.files[number]
        return {"id": number, "name": name, "size_px": sent.size_px, "n_frames": sent.n_frames}

    async def remove(self, number: int) -> dict[str, Any]:
        """Delete a file."""
        await self._work(lambda: self._session.remove(number))
        return {}

    async def find(self, number: int, frame: int) -> dict[str, Any]:
        """Return the animal of a picture or frame, see `view_of`."""
        return await self._work(lambda: view_of(self._session, number, frame))

    async def tell(self, request: Request, number: int, frame: int) -> dict[str, Any]:
        """Take the places of all joints that were moved in a frame, and return its animal."""
        joints = await _joints(request)

        def told() -> dict[str, Any]:
            self._session.tell(number, frame, joints)
            return view_of(self._session, number, frame)

        return await self._work(told)

    async def labels(self, all_joints: bool = False) -> Response:
        """Return the corrected frames as labels."""

        def write(out: Path) -> None:
            self._session.save_labels(out, all_joints=all_joints)

        return await self._work(lambda: _zipped(self._session, "labels", write))

    async def results(self) -> Response:
        """Return what `predict` writes of all files."""
        write = self._session.save_results
        return await self._work(lambda: _zipped(self._session, "results", write))

    async def _work(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, RefusedError):
        return JSONResponse({"error": str(error)}, 400)
    await let_finish(request.receive)
    return JSONResponse({"error": str(error)}, 413)


def _network(session: Session) -> dict[str, Any]:
    predictor = session.predictor
    model, takes = predictor.model, predictor.regressor.takes_prompts
    how = (
        "The network is told joints that you drag"
        if takes
        else ("This network was not trained with places of joints (model.head.prompt_share)")
    )
    return {
        "name": session.name,
        "joint_names": model.skeleton.joint_names,
        "parents": model.skeleton.parents,
        "faces": model.faces.cpu().numpy().astype(np.int64).ravel().tolist(),
        "takes_prompts": takes,
        "dragging": f"{how}; {'then' if takes else 'only'} the body is fitted to them.",
    }


async def _joints(request: Request) -> dict[str, tuple[float, float]]:
    """Return {"joints": {NAME: [x, y]}} of a request."""
    check_announced(request.headers.get("content-length"), MAX_JSON_BYTES, "moved joints")
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_JSON_BYTES:
            raise RefusedError("moved joints: too large", expected=f"{MAX_JSON_BYTES} bytes")
    try:
        joints = json.loads(data)["joints"]
        return {str(name): (float(x), float(y)) for name, (x, y) in joints.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            "moved joints", expected='{"joints": {NAME: [x, y]}}', found=str(error)
        ) from error


def _zipped(session: Session, name: str, write: Callable[[Path], None]) -> Response:
    """Return what `write` leaves in a folder as one file to download."""
    out = session.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    write(out)
    session.n_downloads += 1
    base = session.folder / f"{name}_{session.n_downloads}"
    archive = Path(shutil.make_archive(str(base), "zip", out))
    shutil.rmtree(out)
    return FileResponse(archive, filename=f"{name}.zip", background=BackgroundTask(archive.unlink))
