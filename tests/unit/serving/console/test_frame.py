"""The frame of every page: who may see it, what forms may do, and that nothing foreign gets in."""

import base64
import hashlib
import re

import pytest
from access_keys import made_key
from bundles import serve, shelve
from console_home import Console

from serving.console.pages import Drawn, Page
from serving.console.rendering import html
from serving.console.table import SECTIONS, pages
from stores.keys.access_keys import AccessKeyFile
from stores.layout import Layout


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    return layout


@pytest.fixture
def keyed(layout):
    """A home with a key, and that key."""
    return layout, made_key(layout, ["toy:rollouts"])


def refusals(layout, console):
    """What the audit says of who was refused."""
    console.application.look()
    records = AccessKeyFile(layout.access).audit.latest(100, hints=("access_refused",))
    assert {record.who for record in records} <= {"the console"}
    return [each for record in records for each in record.about["refusals"]]


def test_an_open_home_is_shown_to_its_own_machine_and_to_nobody_else(layout):
    reply = Console(layout).get("/")
    assert reply.status == 200
    assert "toy" in reply.words
    assert "Sign out" not in reply.words
    foreign = Console(layout, address="http://rebound.example:8081").get("/")
    assert foreign.status == 403
    assert "toy" not in foreign.words


def test_a_page_may_run_nothing_and_only_its_own_style(layout):
    reply = Console(layout).get("/")
    (style,) = re.findall(r"<style>(.*)</style>", reply.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = reply.headers["content-security-policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert reply.headers["cache-control"] == "no-store"
    assert not {"script", "iframe", "object"} & set(reply.tags)
    assert not re.search(r'\s(style|on\w+)="', reply.text)
    assert all(link.startswith(("/", "#")) for link in reply.links)


def test_whoever_shows_no_key_is_led_to_the_sign_in_and_back(keyed):
    layout, key = keyed
    console = Console(layout)
    reply = console.get("/use-cases/toy?x=1")
    assert reply.status == 303
    assert reply.headers["location"] == "/sign-in?to=/use-cases/toy%3Fx%3D1"
    page = console.get(reply.headers["location"])
    assert page.status == 200
    assert "toy" not in page.words.replace("/use-cases/toy", "")
    form = {"key": key, "to": "/use-cases/toy"}
    signed = console.post("/sign-in", form, page="/sign-in")
    assert (signed.status, signed.headers["location"]) == (303, "/use-cases/toy")
    cookie = signed.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "; secure" not in cookie  # this machine alone, where there is no TLS
    assert "Sign out" in console.get("/use-cases/toy").words


def test_where_others_can_listen_cookies_go_over_tls_only(keyed):
    layout, key = keyed
    console = Console(layout, environment="production", address="https://console.example")
    signed = console.post("/sign-in", {"key": key, "to": "/"}, page="/sign-in")
    assert "; secure" in signed.headers["set-cookie"].lower()


@pytest.mark.parametrize("given", ["", "a password", "tl_0123456789ab_" + "0" * 64])
def test_what_is_no_key_opens_nothing_and_is_audited_without_it(keyed, given):
    layout, _ = keyed
    console = Console(layout)
    reply = console.post("/sign-in", {"key": given, "to": "/"}, page="/sign-in")
    assert reply.status == 401
    assert "throughline_key" not in reply.headers.get("set-cookie", "")
    assert console.get("/").status == 303
    (refused, _) = refusals(layout, console)
    assert refused["route"] == "/sign-in"
    assert given not in str(refused) or not given


def test_a_key_opens_what_it_opens_in_the_api_and_a_refusal_is_audited(keyed):
    layout, _ = keyed
    assert "/releases" not in Console(layout).get("/nowhere").links
    predicts = made_key(layout, ["toy:predict"])
    console = Console(layout)
    console.application.look()
    reply = console.get("/use-cases/toy", key=predicts)
    assert reply.status == 403
    assert "it needs rollouts" in reply.words
    assert [each["why"] for each in refusals(layout, console)] == ["rollouts"]


def test_a_key_of_another_use_case_sees_this_one_nowhere(keyed):
    layout, _ = keyed
    other = made_key(layout, ["other:rollouts"])
    console = Console(layout)
    console.application.look()
    assert "/use-cases/toy" not in console.get("/", key=other).links
    assert console.get("/use-cases/toy").status == 403


def test_a_revoked_key_leads_to_the_sign_in_and_is_forgotten(keyed):
    layout, key = keyed
    console = Console(layout)
    assert console.get("/", key=key).status == 200
    AccessKeyFile(layout.access).revoke(key.split("_")[1], who="ada", why="lost", now_ms=1)
    console.application.look()
    reply = console.get("/")
    assert (reply.status, reply.headers["location"]) == (303, "/sign-in?to=/")
    assert "opens nothing any more" in console.get("/sign-in").words
    assert "opens nothing any more" not in console.get("/sign-in").words  # said once


def test_a_form_from_elsewhere_does_nothing(keyed):
    layout, key = keyed
    console = Console(layout)
    console.get("/", key=key)
    reply = console.post("/sign-out", {}, is_forged=True)
    assert reply.status == 403
    assert "was not loaded from this console" in reply.words
    assert console.get("/").status == 200
    assert console.post("/sign-out", {}).status == 303
    assert console.get("/").status == 303


def test_the_sign_in_leads_to_no_other_site(keyed):
    layout, key = keyed
    for to in ("//evil.example", "https://evil.example", "/\\evil.example", "evil"):
        signed = Console(layout).post("/sign-in", {"key": key, "to": to}, page="/sign-in")
        assert signed.headers["location"] == "/"


def test_what_is_not_there_is_a_page_too(layout):
    reply = Console(layout).get("/nowhere")
    assert reply.status == 404
    assert "/releases" in reply.links  # the way back
    assert "There is no such page here" in reply.words
    assert Console(layout).get("/use-cases/nobody").status == 404


def test_every_page_has_one_address_and_every_section_one_page():
    found = [(page.method, page.path) for page in pages()]
    assert len(set(found)) == len(found)
    assert {("GET", section.path) for section in SECTIONS} <= set(found)


def test_a_name_that_a_template_lacks_is_an_error_and_no_gap():
    with pytest.raises(Exception, match="undefined"):
        html("error.html", {"status": 1})


def test_what_cannot_be_read_is_a_page_that_says_so(layout):
    layout.alerts.mkdir()
    (layout.alerts / "x.json").write_text("no alert")
    reply = Console(layout).get("/")
    assert reply.status == 500
    assert "An alert cannot be read" in reply.words


@pytest.mark.parametrize("template", ["", "none.html"])
def test_an_unforeseen_error_is_a_page_without_its_message(layout, template):
    def answer(asked):
        if template:
            return Drawn(template)
        raise ValueError("a secret")

    console = Console(layout, pages=[Page("/", answer, "rollouts")])
    reply = console.get("/")
    assert reply.status == 500
    assert "nobody foresaw" in reply.words
    assert "a secret" not in reply.text


def test_who_may_not_see_a_page_still_has_the_ways_to_those_that_open(keyed):
    layout, key = keyed
    reply = Console(layout).get("/audit", key)
    assert reply.status == 403
    assert {"/releases", "/alerts"} <= set(reply.links)
    assert "/audit" not in reply.links
    assert "<code>throughline keys create --scope</code>" in reply.text
    assert "Sign out" in reply.words
