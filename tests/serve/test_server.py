"""What the server answers: animals, animals that follow, labels, results, and its own files."""

import io
import json
import re
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from smil_ray.config import LabelConfig
from smil_ray.data.labels.entries import label_entries
from smil_ray.data.labels.reading import read_label_samples
from smil_ray.data.replicant.reading import ReadOptions
from smil_ray.serve import session as sessions
from smil_ray.serve.app import PAGE
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from tests.results.prediction.prediction_files import write_video
from tests.serve.conftest import Client, running


def test_page_comes_with_everything_it_needs(client: Client) -> None:
    status, page = client.ask("GET", "/")
    assert status == 200
    names = re.findall(r'(?:href|src)="([\w./]+)"', page.decode())
    for name in [*names, "scene.js", "three/three.module.min.js", "three/OrbitControls.js"]:
        assert client.ask("GET", f"/{name}")[0] == 200
    for path in (p for p in PAGE.iterdir() if p.is_file()):
        addresses = re.findall(r"https?://[\w./]+", path.read_text(encoding="utf-8"))
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}
    assert "MIT" in (PAGE / "three" / "LICENSE").read_text(encoding="utf-8")


def test_animal_follows_a_joint_that_is_moved_and_comes_back(client: Client, png: bytes) -> None:
    network = client.json("GET", "/api/network")
    assert network["takes_prompts"]
    status, sent = client.send("ant one.png", png)
    assert (status, sent["n_frames"], sent["size_px"]) == (200, 1, [64, 64])
    path = f"/api/files/{sent['id']}/0"
    plain = client.json("GET", path)
    assert len(plain["vertices"]) == 3 * (max(network["faces"]) + 1)
    assert len(plain["joints_px"]) == len(network["joint_names"])
    assert {a["angle"] for a in plain["angles"]} == {"flexion", "protraction", "levation"}
    joint = network["joint_names"].index("b_h")
    aim = np.add(plain["joints_px"][joint], (6.0, -5.0))
    body = json.dumps({"joints": {"b_h": aim.tolist()}})
    moved = client.json("POST", path, body)
    away = [np.linalg.norm(np.array(v["joints_px"][joint]) - aim) for v in (plain, moved)]
    assert away[1] < 0.3 * away[0]
    assert moved["told"] == {"b_h": pytest.approx(aim.tolist())}
    assert client.json("GET", path)["joints_px"] == moved["joints_px"]
    back = client.json("POST", path, json.dumps({"joints": {}}))
    assert (back["told"], back["joints_px"]) == ({}, plain["joints_px"])


def test_network_without_prompts_says_so_and_the_body_is_fitted_all_the_same(
    insect_run: Path, png: bytes
) -> None:
    with running(load_regressor(insect_run)) as client:
        network = client.json("GET", "/api/network")
        assert not network["takes_prompts"]
        assert "was not trained with places of joints" in network["dragging"]
        number = client.send("a.png", png)[1]["id"]
        plain = client.json("GET", f"/api/files/{number}/0")
        joint = network["joint_names"].index("b_h")
        aim = np.add(plain["joints_px"][joint], (4.0, 3.0))
        body = json.dumps({"joints": {"b_h": aim.tolist()}})
        moved = client.json("POST", f"/api/files/{number}/0", body)
        assert np.linalg.norm(np.array(moved["joints_px"][joint]) - aim) < 1.5


def test_corrected_frames_are_labels_that_preprocess_reads(
    client: Client, told: LoadedRegressor, photo: np.ndarray, png: bytes, tmp_path: Path
) -> None:
    film = write_video(tmp_path / "f.mp4", [photo] * 4).read_bytes()
    _, sent = client.send("f.mp4", film)
    assert sent["n_frames"] == 4
    client.send("untouched.png", png)
    places = {"b_t": [20.25, 31.5], "b_h": [40.0, 22.75]}
    client.json("POST", f"/api/files/{sent['id']}/2", json.dumps({"joints": places}))
    counts = []
    for query in ("", "?all_joints=true"):
        status, data = client.ask("GET", f"/api/labels.zip{query}")
        assert status == 200
        folder = tmp_path / f"labels{len(query)}"
        zipfile.ZipFile(io.BytesIO(data)).extractall(folder)
        (entry,) = label_entries(folder / "labels.json", LabelConfig())
        (sample,) = read_label_samples(entry, told.model, ReadOptions(size=64)).samples
        for name, place in places.items():
            found = sample.keypoints_2d[told.model.skeleton.index[name]] * 64
            np.testing.assert_allclose(found, place, atol=0.01)
        counts.append(int(sample.keypoint_presence.sum()))
    assert counts[0] == 2
    assert counts[1] > 10


def test_everything_is_what_predict_writes(client: Client, png: bytes) -> None:
    numbers = [client.send(f"{name}.png", png)[1]["id"] for name in "ab"]
    body = json.dumps({"joints": {"b_h": [30.0, 30.0]}})
    client.json("POST", f"/api/files/{numbers[1]}/0", body)
    status, data = client.ask("GET", "/api/results.zip")
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        rows = archive.read("predictions.csv").decode().splitlines()
    wanted = {"predictions.parquet", "parameters.npz", "overlays/a.png", "summary.html"}
    assert {*wanted, "refined/predictions.csv", "refined/parameters.npz"} <= names
    assert len(rows) == 1 + 2 * len(client.json("GET", "/api/network")["joint_names"])
    # It is deleted after the last byte has been sent.
    deadline = time.monotonic() + 30.0
    while list(client.session.folder.glob("*.zip")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_network_works_for_one_request_at_a_time(
    client: Client, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = client.send("a.png", png)[1]["id"]
    at_work, most = [], []
    original = sessions.find_animal

    def find(*arguments: object) -> object:
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.pop()
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sessions, "find_animal", find)
    asks = [
        threading.Thread(target=client.json, args=("GET", f"/api/files/{number}/0"))
        for _ in range(4)
    ]
    for ask in asks:
        ask.start()
    for ask in asks:
        ask.join()
    assert most == [1, 1, 1, 1]


def test_files_are_gone_when_the_server_ends_and_when_they_are_removed(
    told: LoadedRegressor, png: bytes
) -> None:
    with running(told) as client:
        number = client.send("a.png", png)[1]["id"]
        path = client.session.files[number].path
        assert path.is_file()
        client.json("DELETE", f"/api/files/{number}")
        assert not path.exists()
        client.send("b.png", png)
        folder = client.session.folder
    assert not folder.exists()
