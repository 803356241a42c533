"""A browser opens the servers: run all, move a control, the figure follows; no token, no entry."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.testing.pages import FOR_TESTS, GO_ON, write_notebook
from cloudarb_lib.testing.workbench import write_home

pytestmark = [pytest.mark.slow, pytest.mark.kernel]

TOKEN = "of-a-test"
WAIT_S = 120.0
RUN_S = 900.0
"""What all cells of a notebook may take on a busy machine."""
NAME = "one.ipynb"
NOBODY = "http://127.0.0.1:9"
"""A proxy that does not answer: who asks the network fails."""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def status_of(url):
    """Return the HTTP status, where nobody is sent on to another page."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    asking = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
    try:
        return asking.open(url, timeout=10).status
    except urllib.error.HTTPError as answer:
        return answer.code


def kernels_of(url):
    """Return the ids of the kernels that a JupyterLab runs."""
    asking = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with asking.open(f"{url}/api/kernels?token={TOKEN}", timeout=10) as answer:
        return [kernel["id"] for kernel in json.load(answer)]


def end_kernels(url, kernels):
    """End kernels of a server, which goes on for other tests."""
    asking = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for kernel in kernels:
        address = f"{url}/api/kernels/{kernel}?token={TOKEN}"
        asking.open(urllib.request.Request(address, method="DELETE"), timeout=30).close()


def until(seen, what, *, within_s=WAIT_S):
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if seen():
                return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {within_s:g} s")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home with a space")
    write_notebook(folder / "notebooks" / NAME)
    return folder


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        # one for all pages: scripts are loaded once
        yield chromium.new_context(viewport={"width": 1280, "height": 1000})
        chromium.close()


@pytest.fixture(scope="module")
def serve(home, tmp_path_factory):
    """Start a server without a network, as whoever runs the tests (root in a container)."""
    started = {}

    def start(verb, option, home=home):
        """Return the address of the server of a verb and a working folder, one for all tests."""
        if (verb, home) in started:
            return started[verb, home][1]
        port = free_port()
        code = (
            f"from pipelines.workbench import servers; "
            f"servers.start_{verb}(['--port={port}', '--no-browser', '{option}={TOKEN}'])"
        )
        proxies = {"HTTP_PROXY": NOBODY, "HTTPS_PROXY": NOBODY, "NO_PROXY": "127.0.0.1"}
        settings = tmp_path_factory.mktemp("settings")
        places = {locations.HOME_VARIABLE: str(home), "JUPYTER_CONFIG_DIR": str(settings)}
        env = os.environ | proxies | places | {"TZ": "Asia/Tokyo"}
        process = subprocess.Popen([sys.executable, "-c", code], env=env, cwd=locations.checkout())
        url = f"http://127.0.0.1:{port}"
        started[verb, home] = process, url
        until(lambda: status_of(f"{url}/?token={TOKEN}") < 400, f"{verb} answers")
        return url

    yield start
    for process, _ in started.values():
        process.terminate()
        process.wait(timeout=30)


def answer(dialog, errors):
    """Keep what a dialog of JupyterLab asks, and accept it: the test fails with its words."""
    errors.append(dialog.inner_text())
    dialog.locator(".jp-mod-accept").last.click()


@pytest.fixture
def page(browser):
    """A page; what its console calls an error is an error, and so is what a dialog asks."""
    errors = []
    opened = browser.new_page()
    opened.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    asks = opened.locator(".jp-Dialog")
    opened.add_locator_handler(asks, lambda: answer(asks.first, errors))
    opened.set_default_timeout(1000 * WAIT_S)
    opened.errors = errors
    yield opened
    opened.close()


def figure_follows_a_control(page):
    """Move the level by a key, and see the title of the figure change, and no figure more.

    Another figure stands beside it, which nothing moves.
    """
    figures = page.locator(".js-plotly-plot .main-svg:first-of-type")
    until(lambda: figures.count() == 2, "both figures are drawn")
    title = page.locator(".jupyter-widgets b").first
    assert "95 %" in title.text_content()
    legend = page.locator(".jupyter-widgets .legend")
    until(lambda: "VaR 95 %" in "".join(legend.all_text_contents()), "the figure is whole")

    def moved():
        page.locator(".widget-hslider .noUi-handle").first.press("End")
        for _ in range(10):
            page.wait_for_timeout(100)
            if "99 %" in (title.text_content() or ""):
                return True
        return False

    until(moved, "the figure follows")  # a slider is there a moment before it listens
    until(lambda: "VaR 99 %" in "".join(legend.all_text_contents()), "the legend follows")
    assert figures.count() == 2


def run_all(page):
    """Run all cells, once the kernel is there: its mark beside the notebook is idle before."""
    kernel = page.locator(".jp-StatusBar-TextItem", has_text="(ipykernel) | Idle")
    until(kernel.count, "the kernel is idle")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    began = page.locator(".jp-CodeCell .jp-InputPrompt").first
    until(lambda: (began.text_content() or "").strip() not in ("", "[ ]:"), "a cell runs")


def test_lab_runs_a_notebook_and_its_figure_follows_the_controls(serve, page, home):
    url = serve("lab", "--IdentityProvider.token")
    assert status_of(f"{url}/api/contents") == 403
    page.goto(f"{url}/lab/tree/notebooks/{NAME}?token={TOKEN}")
    run_all(page)
    figure_follows_a_control(page)
    assert page.locator(".jp-InputPrompt").last.text_content().strip() == "[*]:"  # while it is busy
    (home / "notebooks" / GO_ON).touch()
    idle = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
    page.wait_for_selector(idle, state="attached")
    before = (home / "notebooks" / NAME).read_bytes()
    for _ in range(2):  # what is saved is not what is shown, and JupyterLab does not mind
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1500)
        assert page.locator(".jp-Dialog").count() == 0
    assert (home / "notebooks" / NAME).read_bytes() == before
    assert page.errors == []


def test_a_dashboard_shows_controls_without_code_and_lets_in_nobody_without_token(
    serve, page, home
):
    (home / "notebooks" / GO_ON).touch()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    url = serve("dashboard", "--token")
    assert status_of(f"{url}/voila/render/{NAME}") == 302  # to the page that asks for the token
    assert status_of(f"{url}/") == 302
    page.goto(f"{url}/?token={TOKEN}")
    page.get_by_role("link", name=NAME.removesuffix(".ipynb")).click()
    figure_follows_a_control(page)
    assert page.locator("figcaption b").text_content() == "fell"
    text = page.content()
    assert "risk_inputs" not in text
    assert FOR_TESTS not in text
    assert page.locator("#working").count() == 0
    assert page.errors == []
    assert [one for one in asked if not one.startswith((url, "data:", "blob:"))] == []


MOVES = {
    "01_explore_prices": ("GPU", None),
    "02_train_ensemble": ("Steps ahead", "Home"),
    "03_allocate": ("Spot hours at most", "Home"),
    "04_risk_and_stress": ("Level", "End"),
    "05_summary": ("Level", "End"),
}
"""By notebook: the control that is moved, and by which key (None: to the last of its options)."""


@pytest.fixture(scope="module")
def small_home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "home"
    write_home(folder)
    return folder


def drawn(page):
    """Return the picture that the controls draw, as it stands in the page."""
    return page.locator(".jupyter-widgets .js-plotly-plot .main-svg").first.inner_html()


def control_moves_the_figure(page, name):
    """Move the control of a notebook, and see its figure change."""
    label, key = MOVES[name]
    fields = page.locator(".jupyter-widgets h3").first
    fields.scroll_into_view_if_needed()
    until(lambda: page.locator(".jupyter-widgets .xtick").count(), "the figure of the controls")
    before = drawn(page)

    def moved():
        named = page.locator(".widget-inline-hbox", has=page.get_by_text(label, exact=True)).first
        if key is None:
            options = named.locator("select option")
            named.locator("select").select_option(index=options.count() - 1)
        else:
            named.locator(".noUi-handle").first.press(key)
        for _ in range(30):
            page.wait_for_timeout(100)
            if drawn(page) != before:
                return True
        return False

    until(moved, "the figure follows", within_s=RUN_S)
    assert page.locator(".jupyter-widgets .js-plotly-plot").count() == 1


@pytest.mark.parametrize("name", MOVES)
def test_lab_runs_each_notebook_and_its_figure_follows(serve, page, small_home, name):
    url = serve("lab", "--IdentityProvider.token", small_home)
    file = small_home / "notebooks" / f"{name}.ipynb"
    before = file.read_bytes()
    # a workspace of its own, which opens no notebook of another test
    page.goto(f"{url}/lab/workspaces/{name}/tree/notebooks/{name}.ipynb?token={TOKEN}")
    run_all(page)
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last
    until(
        lambda: (last.text_content() or "").strip().strip("[]:").isdigit(),
        "all ran",
        within_s=RUN_S,
    )
    control_moves_the_figure(page, name)
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    assert page.locator(".widget-hprogress:visible").count() == 0
    assert file.read_bytes() == before
    assert page.errors == []
    end_kernels(url, kernels_of(url))


@pytest.mark.parametrize("name", MOVES)
def test_the_dashboard_runs_each_notebook_and_its_figure_follows(serve, page, small_home, name):
    url = serve("dashboard", "--token", small_home)
    page.set_default_timeout(1000 * RUN_S)
    page.goto(f"{url}/voila/render/{name}.ipynb?token={TOKEN}")
    control_moves_the_figure(page, name)
    assert page.locator("figcaption").count() > 0
    assert page.locator(".output_error").count() == 0
    assert page.locator(".widget-hprogress:visible").count() == 0
    width_px = page.evaluate("document.documentElement.scrollWidth")
    assert width_px <= page.viewport_size["width"]
    assert page.errors == []
    settings = json.loads(page.locator("#jupyter-config-data").text_content())
    end_kernels(url, [settings["kernelId"]])
