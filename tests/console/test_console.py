"""The console in a real browser: every page, at two widths, light and dark; live; with hostile text; with many rows."""

import json

import pytest
from playwright.sync_api import Route, expect

from tests.console.gateways import BACKENDS, MARKUP, PAINT, WIRE, Seen, ask
from tests.process import ADMIN_KEY, GatewayProcess
from tests.world import World

PAGES = {
    "overview": ("Overview", "Since the start"),
    "backends": ("Backends", "small"),
    "requests": ("Requests", "failover"),
    "policy": ("Policy", "Compare a draft"),
    "callers": ("Callers and budgets", "limited"),
    "models": ("Models and licences", "llama-3.3-70b-instruct"),
}
Odd = tuple[World, GatewayProcess]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_and_no_wider_than_the_window(look: Seen, odd: Odd, name: str, width: int, scheme: str) -> None:
    page = look.open(odd[1], name, width, scheme)
    title, within = PAGES[name]
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.locator("main")).to_contain_text(within)
    expect(page.locator("nav a[aria-current=page]")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_console_follows_the_system_into_the_dark(look: Seen, odd: Odd) -> None:
    grounds = [
        look.open(odd[1], scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert grounds[0] != grounds[1]


def test_requests_appear_as_they_end_and_a_filter_holds(look: Seen, odd: Odd) -> None:
    page = look.open(odd[1], "requests")
    page.get_by_label("Find").fill("nothing-has-this-name")
    expect(page.locator("main")).to_contain_text("No request yet that fits")
    ask(odd[1], "nothing-has-this-name")
    expect(page.locator("tbody tr.open")).to_have_count(1)
    expect(page.locator("tbody tr.open")).to_contain_text("rejected")


def test_overview_counts_on_while_it_is_looked_at(look: Seen, odd: Odd) -> None:
    page = look.open(odd[1])
    sums = page.get_by_role("region", name="Since the start")
    before = int(sums.locator("dd").first.inner_text())
    ask(odd[1])
    expect(sums.locator("dd").first).not_to_have_text(str(before))


def test_lost_connection_is_said_and_mended(look: Seen, odd: Odd) -> None:
    look.expected = ("ERR_INTERNET_DISCONNECTED", "ERR_NETWORK", "network error")
    page = look.open(odd[1], "requests")
    page.evaluate("window.stop()")
    page.context.set_offline(True)
    expect(page.locator("#live")).to_have_attribute("data-state", "lost")
    page.context.set_offline(False)
    expect(page.locator("#live")).to_have_attribute("data-state", "on", timeout=15_000)


def test_story_of_a_request_has_its_attempts_its_plan_and_who_is_out(look: Seen, odd: Odd) -> None:
    id = ask(odd[1], "failover").headers["x-request-id"]
    page = look.open(odd[1], f"requests/{id}")
    expect(page.get_by_role("region", name="Attempts").get_by_role("img").first).to_be_visible()
    expect(page.get_by_role("region", name="Plan", exact=True)).to_contain_text("shaky/")
    expect(page.get_by_role("region", name="What came of it")).to_contain_text(id)


def test_drain_asks_for_the_key_once_and_shows_in_every_console(look: Seen, odd: Odd) -> None:
    look.expected = ("401",)
    gateway = odd[1]
    one, other = look.open(gateway, "backends"), look.open(gateway, "backends")
    one.get_by_role("button", name="Drain large").click()
    dialog = one.get_by_role("dialog")
    dialog.get_by_label("Key").fill("not-the-key")
    dialog.get_by_role("button", name="Use this key").click()
    expect(dialog).to_contain_text("does not take that key")
    dialog.get_by_label("Key").fill(ADMIN_KEY)
    dialog.get_by_role("button", name="Use this key").click()
    expect(one.get_by_role("button", name="Enable large")).to_be_visible()
    expect(other.get_by_role("button", name="Enable large")).to_be_visible()
    assert ADMIN_KEY not in one.url
    one.get_by_role("button", name="Enable large").click()
    expect(other.get_by_role("button", name="Drain large")).to_be_visible()


def test_without_the_key_nothing_changes(look: Seen, odd: Odd) -> None:
    look.expected = ("401",)
    page = look.open(odd[1], "backends")
    page.get_by_role("button", name="Drain large").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Drain large")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_keys_alone_are_enough(look: Seen, odd: Odd) -> None:
    page = look.open(odd[1])
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Backends")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Find")).to_be_focused()


NAMELESS = """() => [...document.querySelectorAll("input,select,textarea,button,a,svg[role=img]")]
    .filter((one) => one.checkVisibility())
    .filter((one) => !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()))
    .map((one) => one.outerHTML)"""


@pytest.mark.parametrize("name", PAGES)
def test_every_control_has_a_name_and_every_page_its_landmarks(look: Seen, odd: Odd, name: str) -> None:
    page = look.open(odd[1], name)
    expect(page.locator("main")).to_contain_text(PAGES[name][1])
    assert page.evaluate(NAMELESS) == []  # a screen reader could not name them
    assert page.locator("header, nav[aria-label], main, h1").count() == 4


@pytest.mark.parametrize("name", ["requests", "backends", "policy", "models", "overview"])
def test_markup_in_names_and_text_is_shown_as_text(look: Seen, odd: Odd, name: str) -> None:
    page = look.open(odd[1], name)
    expect(page.locator("main")).to_contain_text(PAGES[name][1])
    assert page.locator("main img, main script, main iframe, main [onload], main [onerror]").count() == 0
    if name in ("requests", "policy"):
        shown = page.locator("main").text_content() or ""
        assert [text for text in MARKUP if text.replace('"', '\\"') not in shown and text not in shown] == []


def test_markup_in_a_draft_and_in_a_pasted_request_is_shown_as_text(look: Seen, odd: Odd) -> None:
    look.expected = ("422", "404")
    page = look.open(odd[1], "policy", key=ADMIN_KEY)
    page.get_by_label("Draft (YAML)").fill("version: 1\n" + "".join(f"? {json.dumps(text)}\n: 1\n" for text in MARKUP))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("region", name="Compare a draft")).to_contain_text("onerror")
    page.get_by_label("Request body (JSON)").fill(
        '{"model": "<img src=y onerror=alert(2)>", "messages": [{"role": "user"}]}'
    )
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#notice, main").first).to_contain_text("<img src=y")
    assert page.locator("main img, #notice img").count() == 0


def test_draft_is_compared_and_the_file_stays_the_truth(look: Seen, odd: Odd) -> None:
    page = look.open(odd[1], "policy", key=ADMIN_KEY)
    draft = page.get_by_label("Draft (YAML)")
    expect(draft).not_to_have_value("")
    page.get_by_role("button", name="Compare with").click()
    expect(page.get_by_role("region", name="Compare a draft")).to_contain_text("means the same")
    draft.fill(draft.input_value().replace('"name": "cached"', '"name": "kept"'))
    page.get_by_role("button", name="Compare with").click()
    expect(page.get_by_role("region", name="Compare a draft")).to_contain_text("route 'cached' is gone")


def test_pasted_request_is_explained(look: Seen, odd: Odd) -> None:
    page = look.open(odd[1], "policy", key=ADMIN_KEY)
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("region", name="Plan", exact=True)).to_contain_text("small/")


def test_hundreds_of_backends_are_all_reached_and_few_are_drawn(look: Seen, crowd: GatewayProcess) -> None:
    page = look.open(crowd, "backends")
    expect(page.locator("main")).to_contain_text(f"{BACKENDS} of {BACKENDS} deployments usable")
    assert page.locator("tbody tr.open, tbody tr:not(.gap)").count() < 60
    page.get_by_role("region", name="Deployments").evaluate("(one) => one.scrollTo(0, one.scrollHeight)")
    expect(page.get_by_role("button", name=f"Drain gpu-{BACKENDS - 1:03}")).to_be_visible()
    page.get_by_label("Find").fill("gpu-123")
    expect(page.locator("tbody tr:not(.gap)")).to_have_count(1)


def test_first_page_is_small_and_painted(look: Seen, odd: Odd) -> None:
    page = look.open(odd[1])
    assert page.evaluate(PAINT) > 0
    assert page.evaluate(WIRE) <= 150_000


def test_from_another_machine_everything_asks_for_the_key_and_then_works(look: Seen, away: GatewayProcess) -> None:
    look.expected = ("401", "Cross-Origin-Opener-Policy")  # which plain HTTP to another machine has not
    page = look.open(away, "policy", state="key")
    dialog = page.get_by_role("dialog")
    for key, said in (("wrong", "does not take that key"), ("wrong-again", "does not take that key")):
        dialog.get_by_label("Key").fill(key)
        dialog.get_by_role("button", name="Use this key").click()
        expect(dialog).to_contain_text(said)
    dialog.get_by_label("Key").fill(ADMIN_KEY)
    dialog.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("region", name="The file", exact=True)).to_contain_text("version")
    expect(page.locator("#live")).to_have_attribute("data-state", "on", timeout=2_000)
    page.get_by_role("link", name="Requests").click()
    with page.expect_download() as told:
        page.get_by_role("button", name="Export").click()
    assert told.value.suggested_filename == "requests.jsonl"


def test_without_the_key_another_machine_is_told_so(look: Seen, away: GatewayProcess) -> None:
    look.expected = ("401", "Cross-Origin-Opener-Policy")  # which plain HTTP to another machine has not
    page = look.open(away, "backends", state="key")
    page.keyboard.press("Escape")
    expect(page.locator("#notice")).to_contain_text("needs the admin key")


def test_request_that_is_not_kept_is_said_to_be_gone(look: Seen, odd: Odd) -> None:
    look.expected = ("404",)
    page = look.open(odd[1], "requests/req_nobody")
    expect(page.locator("main")).to_contain_text("No request 'req_nobody'")
    expect(page.locator("main")).not_to_contain_text("Loading")


def test_story_that_comes_late_does_not_replace_the_page_that_is_shown(look: Seen, odd: Odd) -> None:
    id = ask(odd[1], "failover").headers["x-request-id"]
    page = look.open(odd[1], "requests")
    held: list[Route] = []
    page.route(f"**/admin/requests/{id}", lambda route: held.append(route))  # it gives its handlers an attribute
    page.evaluate(f"location.hash = '/requests/{id}'")
    expect(page.get_by_role("heading", level=1)).to_have_text("Request")
    page.get_by_role("link", name="Backends").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Backends")
    with page.expect_response(f"**/admin/requests/{id}"):
        held[0].continue_()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(page.get_by_role("heading", level=1)).to_have_text("Backends")


@pytest.mark.parametrize("name", PAGES)
def test_name_of_the_page_is_seen_on_a_phone(look: Seen, odd: Odd, name: str) -> None:
    expect(look.open(odd[1], name, 375).locator("nav a[aria-current=page]")).to_be_in_viewport(ratio=0.95)
