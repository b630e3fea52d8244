"""The console in Chromium, by keyboard alone: in, to a release, to an action, out."""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

import pytest
from access_keys import made_key
from bundles import serve, shelve
from looks import NIGHT_MS, column, put_looks
from online_processes import OnlineProcess, controller
from rollouts import fast_rollout

from core.monitoring.alerts import Finding, updated
from orchestration.processes import answers, free_port
from serving.console.table import SECTIONS
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.monitoring.alerts import Alerts
from stores.monitoring.looks import Looks
from stores.shelf.shelf import Shelf

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium"),
]
MOST_TABS = 60
PATIENCE_MS = 60_000
EVERYTHING = ["*:rollouts,operate,approve,passports,explain,audit"]


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    shelve(layout, rollout=fast_rollout())
    put_looks(layout)
    crowd(layout)
    return layout


def crowd(layout):
    """Many columns and alerts, under the longest names."""
    looks, name = Looks(layout.monitoring), "a_name_without_an_end_" * 6
    seen = looks.drift("toy")
    assert seen is not None
    columns = tuple(column(f"{name}{n}", 0.4 if n < 3 else 0.01) for n in range(500))
    lines = (seen.timelines[0].model_copy(update={"columns": columns, "title": f"events/{name}"}),)
    looks.put(seen.model_copy(update={"timelines": lines}))
    finding = Finding(asset=f"scores/toy_{name}", name=name, why=name * 5, severity="critical")
    alerts = Alerts(layout.alerts)
    with alerts.changing():
        alerts.put(updated([], [finding], {}, now_ms=NIGHT_MS), now_ms=NIGHT_MS)


@pytest.fixture(scope="module")
def key(layout):
    return made_key(layout, EVERYTHING)


@pytest.fixture(scope="module")
def address(layout, key):
    del key  # made before the console starts
    port = free_port()
    console = OnlineProcess("serving.console.main", layout, port, CONSOLE__PORT=port)
    try:
        console.wait_until(lambda: answers(f"{console.url}/livez"))
        yield console.url
    finally:
        console.end()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Walk:
    """A page that is used by keyboard alone, and all that went wrong or elsewhere meanwhile."""

    def __init__(self, page, address):
        self.page, self.address = page, address
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _told(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    @property
    def focused(self):
        """Text or name of what has the focus."""
        return self.page.evaluate(
            "(e => (e.innerText || e.name || e.tagName || '').trim())(document.activeElement)"
        )

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, wanted):
        """Press Tab until something begins with these words; it must be seen to have the focus."""
        for _ in range(MOST_TABS):
            self.press("Tab")
            if self.focused.startswith(wanted):
                assert self._is_outlined(), f"{wanted} has the focus and does not show it"
                return
        raise AssertionError(f"{wanted} cannot be reached by Tab on {self.page.url}")

    def go(self, wanted):
        """Follow a link or press a button by its words."""
        self.tab_to(wanted)
        with self.page.expect_navigation():
            self.press("Enter")

    def write(self, text):
        self.page.keyboard.type(text)

    def _is_outlined(self):
        return self.page.evaluate(
            "(e => { const s = getComputedStyle(e);"
            " return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })"
            "(document.activeElement)"
        )

    def is_too_wide(self):
        return self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )


@pytest.fixture
def walk(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    walk = Walk(context.new_page(), address)
    yield walk
    context.close()
    assert walk.complaints == []
    assert walk.hosts == {urlsplit(address).netloc}


def signed_in(walk, key):
    walk.page.goto(f"{walk.address}/releases")
    assert walk.focused == "key"  # the only field there is to fill
    walk.write(key)
    with walk.page.expect_navigation():
        walk.press("Enter")
    assert walk.page.url == f"{walk.address}/releases"


def is_moved(layout):
    """Whether release 2 answers somebody."""
    state = Shelf(layout.shelf).board.read(KeyRing.from_directory(layout.keys)).state("toy")
    return state.challenger == 2 or state.champion == 2


def test_a_release_is_found_and_rolled_out_by_keyboard_alone(walk, layout, key):
    signed_in(walk, key)
    walk.press("Tab")
    assert walk.focused == "Skip to the content"
    walk.press("Enter")
    assert walk.focused.startswith("Releases")  # past the navigation, to what is new
    walk.go("toy 2")
    assert walk.page.title() == "toy 2 · Throughline"
    walk.go("Roll it out")
    walk.tab_to("Start a rollout")
    walk.press("Enter")
    walk.tab_to("why")
    walk.write("seen by keyboard")
    with controller(layout) as desk:
        walk.go("Start a rollout")
        assert walk.page.locator("[role=status]").inner_text()  # done, or asked of a slow starter
        desk.wait_until(lambda: is_moved(layout))
    walk.page.go_back()
    walk.go("Sign out")
    assert walk.page.url == f"{walk.address}/sign-in"


def test_an_alert_is_acknowledged_by_keyboard_alone(walk, layout, key):
    signed_in(walk, key)
    walk.go("Alerts")
    walk.go("Acknowledge it")
    walk.tab_to("because")
    walk.write("the sender resends")
    walk.go("Acknowledge")
    assert "not sent again" in walk.page.locator("[role=status]").inner_text()
    [alert] = Alerts(layout.alerts).open()
    assert alert.word is not None
    assert alert.word.because == "the sender resends"


def test_a_page_on_paper_has_the_numbers_that_are_folded_on_the_screen(walk, key):
    signed_in(walk, key)
    walk.page.goto(f"{walk.address}/drift/toy")
    walk.page.emulate_media(media="print")
    table = walk.page.locator("details table").first
    assert table.evaluate("e => e.getBoundingClientRect().height") > 0
    assert walk.page.locator("header.top").is_hidden()


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1280, "dark")])
def test_every_section_fits_and_complains_of_nothing(browser, address, key, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    walk = Walk(context.new_page(), address)
    signed_in(walk, key)
    for section in SECTIONS:
        answer = walk.page.goto(address + section.path)
        assert answer.status == 200, section.path
        assert not walk.is_too_wide(), f"{section.path} is wider than {width} pixels"
        assert walk.page.locator("h1").count() == 1
        assert walk.page.locator("[aria-current=page]").inner_text() == section.title
    for path in ("/use-cases/toy", "/drift/toy", "/drift/toy/performance", "/rollouts/toy"):
        assert walk.page.goto(address + path).status == 200
        assert not walk.is_too_wide(), f"{path} is wider than {width} pixels"
    context.close()
    assert walk.complaints == []
    assert walk.hosts == {urlsplit(address).netloc}
