"""What is refused, with which status and sentence, and what is left of it."""

import io
import json
import re
import socket
import struct
import zipfile
import zlib

import pytest

from smil_ray.serve import app, uploads
from smil_ray.training.checkpoint.loading import LoadedRegressor
from tests.serve.conftest import Client, running


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces this size and has no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a.txt", "text")
    return content.getvalue()


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n"
BAD = {
    "text.png": (b"this is a text\n", "expected JPEG, PNG"),
    "empty.png": (b"", "empty file"),
    "empty.mp4": (b"", "empty file"),
    "large.png": (png_header(30_000, 30_000), "30000 x 30000"),
    "archive.jpg": (archive(), "picture"),
    "archive.mp4": (archive(), "not a video"),
    "playlist.mp4": (PLAYLIST, "not a video"),
    "damaged.avi": (b"RIFF\x00\x00\x00\x00AVI nothing", "cannot be opened|no frame"),
    "../../up.png": (b"text", "picture"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_one_sentence_and_nothing_is_left_of_it(client: Client, name: str) -> None:
    data, reason = BAD[name]
    status, answer = client.send(name, data)
    assert status == 400
    assert re.search(reason, answer["error"]), answer
    assert str(client.session.folder) not in answer["error"]
    assert client.session.files == {}
    assert not any(path.is_file() for path in client.session.folder.rglob("*"))


def test_truncated_picture_is_refused_when_it_is_sent(client: Client, png: bytes) -> None:
    status, answer = client.send("half.png", png[: len(png) // 2])
    assert (status, client.session.files) == (400, {})
    assert "half.png" in answer["error"]


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_ten_gigabytes_are_refused_when_they_are_announced(client: Client, name: str) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=60) as connection:
        head = f"POST /api/files?name={name} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += "Connection: close\r\nContent-Length: 10000000000\r\n\r\n"
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 413")
    assert "too large" in answer
    assert "9,537 MiB announced" in answer


def test_who_sends_too_much_sees_why(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "most_bytes", lambda _: 1000)
    status, answer = client.send("a.png", b"x" * 50_000_000)
    assert status == 413
    assert "48 MiB announced" in answer["error"]


def test_more_bytes_than_announced_are_not_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "most_bytes", lambda _: 1000)
    chunks = (b"x" * 600 for _ in range(10))
    status, answer = client.ask("POST", "/api/files?name=a.png", chunks)
    assert status == 413
    assert "too large" in json.loads(answer)["error"]
    assert not any(path.is_file() for path in client.session.folder.rglob("*"))


def test_files_are_counted(client: Client, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smil_ray.serve.session.MAX_FILES", 2)
    assert [client.send(f"{n}.png", png)[0] for n in range(3)] == [200, 200, 413]
    assert uploads.MAX_FILES == 500


@pytest.mark.parametrize(
    ("joints", "reason"),
    [
        ({"b_tt": [1, 2]}, "unknown joint 'b_tt'"),
        ({"b_t": [1]}, "moved joints; expected"),
        ({"b_t": [1e9, 2]}, "expected x, y in pixels"),
        ([], "moved joints; expected"),
    ],
)
def test_joints_that_cannot_be_moved(
    client: Client, png: bytes, joints: object, reason: str
) -> None:
    number = client.send("a.png", png)[1]["id"]
    body = json.dumps({"joints": joints})
    status, answer = client.ask("POST", f"/api/files/{number}/0", body)
    assert status == 400
    assert reason in json.loads(answer)["error"]
    body = " " * 2**21
    assert client.ask("POST", f"/api/files/{number}/0", body)[0] == 413


def test_frames_that_do_not_exist_and_nothing_to_save(client: Client, png: bytes) -> None:
    for path in ("/api/files/99/0", "/api/labels.zip", "/api/results.zip"):
        assert client.ask("GET", path)[0] == 400
    number = client.send("a.png", png)[1]["id"]
    assert client.ask("GET", f"/api/files/{number}/1")[0] == 400
    status, answer = client.ask("GET", "/api/labels.zip")
    assert (status, b"drag a joint" in answer) == (400, True)


def test_other_pages_and_other_names_of_this_machine_are_refused(client: Client) -> None:
    own = {"Origin": f"http://127.0.0.1:{client.port}"}
    assert client.ask("GET", "/api/network", headers=own)[0] == 200
    for headers in ({"Origin": "http://example.org"}, {"Host": "example.org"}):
        assert client.ask("GET", "/api/network", headers=headers)[0] == 403


def test_token_is_demanded_and_taken_in_three_ways(told: LoadedRegressor) -> None:
    with running(told, token="s3cret-words") as client:
        wrong = [{}, {"Authorization": "Bearer s3cret"}, {"Cookie": "smil_ray_token=no"}]
        for path in ("/", "/page.js", "/api/network", "/?token=other"):
            assert [client.ask("GET", path, headers=h)[0] for h in wrong] == [401] * 3
        assert client.ask("GET", "/?token=s3cret-words")[0] == 200
        right = [
            {"Authorization": "Bearer s3cret-words"},
            {"Cookie": "smil_ray_token=s3cret-words"},
        ]
        assert [client.ask("GET", "/api/network", headers=h)[0] for h in right] == [200] * 2
