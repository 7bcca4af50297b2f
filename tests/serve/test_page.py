"""The page, driven in headless Chromium: drop, look, turn, drag, read, save."""

import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from tests.serve.conftest import Client, running

pytestmark = pytest.mark.slow
RUN, PICTURE = "SMIL_RAY_PAGE_RUN", "SMIL_RAY_PAGE_PICTURE"
"""Environment: another run and picture, for screenshots worth looking at."""
SHOTS = "SMIL_RAY_PAGE_SHOTS"
"""Environment: folder that screenshots are kept in."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser that keeps downloads; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    folder = tmp_path_factory.mktemp("browser")
    for flag in (
        *("headless=new", "no-sandbox", "disable-background-networking", "disable-sync"),
        *("disable-component-update", "no-first-run", "use-angle=swiftshader"),
        *("enable-unsafe-swiftshader", "hide-scrollbars", f"user-data-dir={folder / 'profile'}"),
    ):
        options.add_argument(f"--{flag}")
    options.add_experimental_option(
        "prefs", {"download.default_directory": str(folder / "downloads")}
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    driver.downloads = folder / "downloads"
    yield driver
    driver.quit()


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` comes to, once it is something."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(what)


def shot(browser: Any, name: str, width: int) -> None:
    browser.set_window_size(width, 1000)
    time.sleep(0.5)
    path = Path(os.environ.get(SHOTS, str(browser.downloads.parent)))
    browser.save_screenshot(str(path / f"{name}_{width}.png"))


def settled(browser: Any) -> bool:
    state = browser.find_element("id", "state")
    assert state.get_attribute("class") != "error", state.text
    return state.text == "" and bool(browser.find_elements("css selector", "circle"))


def test_page_is_clicked_through(
    browser: Any, told: LoadedRegressor, png: bytes, tmp_path: Path
) -> None:
    from selenium.webdriver import ActionChains

    picture = tmp_path / "ant.png"
    picture.write_bytes(png)
    picture = Path(os.environ.get(PICTURE, str(picture)))
    loaded = load_regressor(os.environ[RUN]) if RUN in os.environ else told
    with running(loaded) as client:
        browser.set_window_size(1400, 1000)
        browser.get(f"http://127.0.0.1:{client.port}/")
        until(lambda: "Drag a joint" in browser.find_element("id", "dragging").text, "no network")
        shot(browser, "empty", 1400)

        browser.find_element("id", "choose").send_keys(str(picture))
        until(lambda: settled(browser), "no animal")
        joints = len(loaded.model.skeleton.joint_names)
        assert len(browser.find_elements("css selector", "circle")) == joints
        assert len(browser.find_elements("css selector", "#angles tr")) > 10
        shot(browser, "found", 1400)

        canvas = browser.find_element("id", "scene")
        front = pixels(canvas)
        assert len(np.unique(front.reshape(-1, 3), axis=0)) > 20  # A shaded mesh is drawn.
        ActionChains(browser).drag_and_drop_by_offset(canvas, 90, 40).perform()
        until(lambda: np.abs(pixels(canvas) - front).mean() > 1.0, "the mesh was not turned")

        before = angles(browser)
        dot = browser.find_element("css selector", 'circle[data-joint="b_h"]')
        ActionChains(browser).drag_and_drop_by_offset(dot, 40, -30).perform()
        until(lambda: client.session.files[1].told, "the joint did not reach the server")
        until(lambda: settled(browser) and angles(browser) != before, "the animal did not follow")
        assert len(browser.find_elements("css selector", "circle.told")) == 1
        for width in (1400, 800):
            shot(browser, "dragged", width)
        browser.set_window_size(1400, 1000)

        browser.find_element("id", "save-labels").click()
        archive = until(lambda: list(browser.downloads.glob("labels*.zip")), "no labels")[0]
        assert "labels.json" in zipfile.ZipFile(archive).namelist()
        browser.find_element("id", "save-results").click()
        until(lambda: list(browser.downloads.glob("results*.zip")), "no results")

        browser.find_element("id", "reset").click()
        until(lambda: settled(browser) and angles(browser) == before, "nothing was undone")
        check_refusal(browser, client, tmp_path)
        severe = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
        assert all("400" in line["message"] for line in severe), severe


def check_refusal(browser: Any, client: Client, folder: Path) -> None:
    text = folder / "text.png"
    text.write_text("no picture")
    browser.find_element("id", "choose").send_keys(str(text))
    state = browser.find_element("id", "state")
    until(lambda: state.get_attribute("class") == "error", "no sentence")
    assert "text.png" in state.text
    assert len(client.session.files) == 1


def pixels(canvas: Any) -> np.ndarray:
    data = np.frombuffer(canvas.screenshot_as_png, np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=float)


def angles(browser: Any) -> list[str]:
    cells = "return [...document.querySelectorAll('#angles td:last-child')].map(c => c.innerText)"
    return browser.execute_script(cells)
