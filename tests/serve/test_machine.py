"""A registered network on a machine that has neither the data, nor the run, nor the body model."""

import ast
import base64
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.dataset import SmilDataset
from smil_ray.results.prediction.predict import predict_images
from smil_ray.results.uncertainty.calibration import calibrate_run
from smil_ray.tracking.models.log import REQUIREMENTS
from smil_ray.tracking.models.registry import register_run
from smil_ray.training.checkpoint.loading import load_regressor
from tests.insect_data import train_insects, write_insects
from tests.serve.machine import ROOT, Machine, Server, free_port
from tests.serve.test_refusals import png_header

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
]
ADDRESS = "models:/insects@champion"
BOUND_MIB = 256
"""Most that refused uploads may add to a server's peak memory; see docs/serve.md."""
COLUMNS = ("x_px", "y_px", "x_cam", "y_cam", "z_cam", "interval_2d_px", "interval_3d_pct_bl")

LOAD = """
import json, sys
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
import smil_ray
found = model.predict(pandas.DataFrame({"image": [open(sys.argv[2], "rb").read()]}))
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("smil_ray")]
print(json.dumps([files, found.astype(object).to_dict("records")], default=float))
"""


@dataclass(frozen=True)
class Alone:
    """What is left of a training: a registered network, and what it said before.

    Attributes:
        machine: Holds `mlflow.db`, `mlartifacts` and a picture.
        picture: The picture.
        expected: What `predict RUN` wrote of it.
    """

    machine: Machine
    picture: Path
    expected: list[dict[str, Any]]

    def check(self, rows: list[dict[str, Any]]) -> None:
        assert [row["joint"] for row in rows] == [row["joint"] for row in self.expected]
        for name in COLUMNS:
            assert [row[name] for row in rows] == [row[name] for row in self.expected], name


def read(out: Path) -> list[dict[str, Any]]:
    return parquet.read_table(out / "predictions.parquet").to_pylist()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, png: bytes) -> Alone:
    home, away = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("away")
    body = SmilModel.builtin().save(home / "insect.npz")
    data = write_insects(home / "insects.h5", place=str(body))
    run = train_insects(data, home / "runs", body={"model": str(body)})
    calibrate_run(load_regressor(run), SmilDataset.from_path(data))
    register_run(run, name="insects", alias="champion", uri=f"sqlite:///{away / 'mlflow.db'}")
    (away / "photo.png").write_bytes(png)
    predict_images(run, [away / "photo.png"], home / "out")
    expected = read(home / "out")
    shutil.rmtree(home)
    return Alone(Machine.make(away), away / "photo.png", expected)


def test_model_is_loaded_without_this_package(alone: Alone) -> None:
    said = alone.machine.run("-c", LOAD, ADDRESS, "photo.png")
    files, rows = json.loads(said.strip().splitlines()[-1])
    paths = [Path(file) for file in files if file]
    assert all(path.is_relative_to(alone.machine.folder / "mlartifacts") for path in paths)
    alone.check(rows)
    for names in imported_packages(paths):
        assert names & set(REQUIREMENTS), names


def imported_packages(paths: list[Path]) -> list[set[str]]:
    """Return the distributions, by any name, that modules import when they are loaded."""
    names = set()
    for path in paths:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module))
    known = packages_distributions()
    tops = {name.partition(".")[0] for name in names} - {"smil_ray"}
    return [{name.lower() for name in known[top]} for top in sorted(tops) if top in known]


def test_command_predicts_by_the_address(alone: Alone) -> None:
    arguments = ["-m", "smil_ray", "predict", ADDRESS, "photo.png", "--out", "out"]
    alone.machine.run(*arguments, PYTHONPATH=str(ROOT))
    alone.check(read(alone.machine.folder / "out"))


@pytest.fixture(scope="module")
def scoring(alone: Alone) -> Iterator[Server]:
    port = free_port()
    arguments = ["-m", "mlflow", "models", "serve", "-m", ADDRESS, "--env-manager", "local"]
    arguments += ["--host", "127.0.0.1", "--port", str(port), "--timeout", "20"]
    with alone.machine.serving(arguments, port, "/ping") as server:
        yield server


def ask(server: Server, image: bytes, **more: object) -> tuple[int, Any]:
    row = {"image": base64.b64encode(image).decode(), **more}
    body = json.dumps({"dataframe_records": [row]}).encode()
    headers = {"Content-Type": "application/json"}
    status, answer = server.ask("POST", "/invocations", body, headers)
    return status, json.loads(answer)


def test_scoring_server_answers_a_posted_picture(alone: Alone, scoring: Server) -> None:
    status, answer = ask(scoring, alone.picture.read_bytes())
    assert status == 200
    alone.check(answer["predictions"])
    status, answer = ask(scoring, alone.picture.read_bytes(), box=[8, 8, 40, 40], fov_deg=30)
    assert (status, len(answer["predictions"])) == (200, 55)


def bad_pictures(png: bytes) -> dict[str, bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "a" * 10_000)
    return {
        "text.png": b"this is a text\n" * 4_000_000,
        "empty.png": b"",
        "half.png": png[: len(png) // 2],
        "large.png": png_header(30_000, 30_000),
        "archive.png": packed.getvalue(),
    }


def test_scoring_server_refuses_bad_pictures(scoring: Server, png: bytes) -> None:
    assert ask(scoring, png)[0] == 200
    peaks = {}
    for name, data in bad_pictures(png).items():
        (status, answer), peaks[name] = scoring.peak_of(lambda data=data: ask(scoring, data))
        assert 400 <= status < 500, (name, status, answer)
        too_long = name == "text.png"
        assert ("24 MiB" if too_long else "picture 0") in answer["message"], (name, answer)
    head = "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\n"
    text, peaks["10 GB announced"] = scoring.peak_of(
        lambda: scoring.announce(head + "Content-Length: 10000000000\r\n\r\n")
    )
    assert text.startswith("HTTP/1.1 413"), text
    text, peaks["without length"] = scoring.peak_of(
        lambda: scoring.announce(head + "Transfer-Encoding: chunked\r\n\r\n", chunks=25)
    )
    assert text.startswith("HTTP/1.1 413"), text
    within = b"this is a text\n" * (17 * 2**20 // 15)  # 23 MiB in base64.
    (status, _), peaks["23 MiB"] = scoring.peak_of(lambda: ask(scoring, within))
    assert status == 400
    print("mlflow models serve, MiB more:", peaks)  # noqa: T201
    assert max(peaks.values()) < BOUND_MIB
    assert ask(scoring, png)[0] == 200


def test_scoring_server_does_not_wait_for_ever(scoring: Server) -> None:
    head = "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    text = scoring.announce(head + "Content-Length: 1000\r\n\r\n")
    assert text.startswith("HTTP/1.1 408"), text
    assert "20 s" in text
    assert scoring.answers("/ping")


def test_page_refuses_bad_uploads_in_bounded_memory(alone: Alone, png: bytes) -> None:
    port = free_port()
    arguments = ["-m", "smil_ray", "serve", ADDRESS, "--port", str(port)]
    with alone.machine.serving(arguments, port, "/", PYTHONPATH=str(ROOT)) as server:
        status, answer = send(server, "a.png", png)
        assert status == 200
        assert server.ask("GET", f"/api/files/{answer['id']}/0")[0] == 200
        assert json.loads(server.ask("GET", "/api/network")[1])["name"] == ADDRESS
        peaks = {}
        for name, data in bad_pictures(png).items():
            sent, peaks[name] = server.peak_of(
                lambda name=name, data=data: send(server, name, data)
            )
            assert sent[0] == 400, (name, sent)
            assert name in sent[1]["error"]
        head = "POST /api/files?name=a.png HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += "Connection: close\r\nContent-Length: 10000000000\r\n\r\n"
        text, peaks["10 GB announced"] = server.peak_of(lambda: server.announce(head))
        assert text.startswith("HTTP/1.1 413"), text
        print("smil-ray serve, MiB more:", peaks)  # noqa: T201
        assert max(peaks.values()) < BOUND_MIB


def send(server: Server, name: str, data: bytes) -> tuple[int, Any]:
    status, answer = server.ask("POST", f"/api/files?name={name}", data)
    return status, json.loads(answer)
