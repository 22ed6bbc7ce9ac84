"""The consent and permissions pages in a real browser. SCREENSHOTS=1 writes docs/images."""

import os

import httpx
import pytest
from grantex import CreatePrincipalSessionParams
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from harness.browser import DESKTOP, PHONE, Browser
from harness.receiver import Receiver
from harness.waiting import wait_until

SCOPES = ("calendar:read", "email:send", "acme:quarterly-report")
LOOKS = [
    pytest.param(size, dark, id=f"{'phone' if size == PHONE else 'desktop'}-{'dark' if dark else 'light'}")
    for size in (DESKTOP, PHONE) for dark in (False, True)
]


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def browser(shared_browser):
    shared_browser.emulate()
    shared_browser.console()
    return shared_browser


@pytest.fixture(scope="module")
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def acme(sign_up):
    return sign_up("live", name="Acme Travel")


def assistant(developer):
    return developer.grantex.agents.register(
        name="Trip planner", scopes=list(SCOPES), description="Finds free days in your calendar and books trips for you."
    )


def ask(developer, **options):
    return developer.open_request(assistant(developer), "user-1", SCOPES, **options)


def expect_sound(browser, what, *expected_in_console):
    browser.expect_accessible(what)
    browser.expect_fits(what)
    browser.expect_quiet_console(*expected_in_console)


def keep_picture(browser, server, name, size, dark):
    if os.environ.get("SCREENSHOTS") and server.backend == "sqlite":
        browser.screenshot(f"{name}-{'phone' if size == PHONE else 'desktop'}{'-dark' if dark else ''}")


@pytest.mark.parametrize(("size", "dark"), LOOKS)
def test_consent_page_tells_what_is_asked(browser, acme, size, dark):
    browser.emulate(size, dark)
    browser.open(ask(acme).consent_url)
    assert "Trip planner" in browser.wait_for("h1").text
    text = browser.text()
    assert "Acme Travel" in text, "the developer must be named"
    assert "24 hours" in text or "1 day" in text, "the page must say for how long"
    permissions = [item.text for item in browser.all("#scopes li")]
    assert len(permissions) == 3, permissions
    assert "calendar:read" not in permissions[0] and "email:send" not in permissions[1], "known scopes are sentences"
    assert permissions[2].startswith("Custom permission") and "acme:quarterly-report" in permissions[2]
    approve, deny = browser.wait_for("#approve"), browser.wait_for("#deny")
    assert approve.get_attribute("type") == deny.get_attribute("type") == "submit"
    assert deny.size["height"] == approve.size["height"], "Deny must be as prominent as Approve"
    assert min(deny.size["height"], deny.size["width"]) >= 44, "buttons must be easy to hit"
    assert "<script" not in browser.driver.page_source, "the consent page works without script"
    expect_sound(browser, "the consent page")
    keep_picture(browser, acme.server, "consent", size, dark)


def test_pages_forbid_inline_code_and_framing(server, acme):
    for url in (ask(acme).consent_url, f"{server.url}/permissions"):
        headers = httpx.get(url).headers
        policy = headers["content-security-policy"]
        assert "unsafe-inline" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert headers["x-frame-options"] == "DENY" and headers["cache-control"] == "no-store"


def test_approving_returns_to_the_application(browser, acme, receiver):
    request = ask(acme, redirect_uri=receiver.callback + "?tab=trips&code=stale", state="state & more")
    browser.open(request.consent_url)
    browser.wait_for("#approve").click()
    browser.wait_until(lambda: "Back in the app" in browser.text(), "the application's page")
    answer = receiver.queries.pop()
    assert answer["state"] == "state & more" and answer["tab"] == "trips", answer
    tokens = acme.http.post("/v1/token", json={"code": answer["code"], "agentId": request.agent_id})
    assert tokens.status_code == 201, f"the code from the redirect does not work: {tokens.text}"
    browser.expect_quiet_console()


def test_denying_returns_with_an_error(browser, acme, receiver):
    browser.open(ask(acme, redirect_uri=receiver.callback, state="s-2").consent_url)
    browser.wait_for("#deny").click()
    browser.wait_until(lambda: "Back in the app" in browser.text(), "the application's page")
    assert receiver.queries.pop() == {"error": "access_denied", "state": "s-2"}
    browser.expect_quiet_console()


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_deciding_without_an_application_says_so(browser, acme, decision):
    browser.open(ask(acme).consent_url)
    browser.wait_for(f"#{decision}").click()
    browser.wait_for("#done")
    expect_sound(browser, f"the page after {decision}")


def test_a_request_is_decided_once(browser, acme):
    request = ask(acme)
    acme.approve(request.request_id)
    browser.open(request.consent_url)
    browser.wait_for("#problem")
    assert not browser.all("#approve")
    expect_sound(browser, "the page of a used request", "status of 410")


def test_a_page_left_open_learns_that_it_is_too_late(browser, acme):
    request = ask(acme)
    browser.open(request.consent_url)
    browser.wait_for("#approve")
    assert httpx.post(f"{acme.server.url}/v1/consent/{request.request_id}/deny").status_code == 200
    browser.wait_for("#approve").click()
    browser.wait_for("#problem")


@pytest.mark.parametrize("query", ["", "?req=", "?req=areq_nobody", "?req=%00", "?req=%3Cscript%3Ealert(1)%3C/script%3E"])
def test_unknown_requests_are_explained(browser, server, query):
    browser.open(f"{server.url}/consent{query}")
    browser.wait_for("#problem")
    assert "alert(1)" not in browser.driver.page_source
    expect_sound(browser, "the page of an unknown request", "status of 404", "status of 400")


def test_an_expired_request_is_explained(browser, own_server, sign_up):
    server = own_server(AUTH_REQUEST_TTL="1s")
    developer = sign_up("live", on=server)
    request = ask(developer)
    api = f"{server.url}/v1/consent/{request.request_id}"
    wait_until(lambda: httpx.get(api).status_code == 410, "the request to expire")
    browser.open(request.consent_url)
    browser.wait_for("#problem")
    assert httpx.post(f"{api}/approve").status_code == httpx.post(f"{api}/deny").status_code == 410
    expect_sound(browser, "the page of an expired request", "status of 410")


def test_names_are_text_never_markup(browser, sign_up):
    nasty = "<img src=x onerror=alert(1)>"
    developer = sign_up("live", name=f"{nasty} Ltd")
    agent = developer.grantex.agents.register(name=nasty, scopes=[], description=f"</p><script>{nasty}</script>")
    browser.open(developer.open_request(agent, "user-1", ["<b>bold</b>"]).consent_url)
    assert nasty in browser.wait_for("h1").text
    assert not browser.all("main img, script, #scopes b")
    browser.expect_quiet_console()


def test_another_site_cannot_decide(acme):
    request = ask(acme)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = httpx.post(f"{acme.server.url}/consent/{request.request_id}/approve", headers=headers)
        assert answer.status_code == 403, f"{headers}: {answer.status_code}"
    assert httpx.get(f"{acme.server.url}/v1/consent/{request.request_id}").status_code == 200, "still undecided"


def press(browser, *keys):
    ActionChains(browser.driver).send_keys(*keys).perform()


def tab_to(browser, is_there, what):
    """Presses Tab until the focus is where it should be; every stop on the way must show its focus."""
    for _ in range(30):
        press(browser, Keys.TAB)
        focused = browser.focused()
        assert focused["ring"], f"focus cannot be seen on {focused}"
        if is_there(focused):
            return
    raise AssertionError(f"the keyboard does not reach {what}")


@pytest.mark.parametrize(("decision", "outcome"), [("approve", "approved"), ("deny", "denied")])
def test_consent_by_keyboard_alone(browser, acme, decision, outcome):
    request = ask(acme)
    browser.open(request.consent_url)
    browser.wait_for("h1")
    tab_to(browser, lambda focused: focused["id"] == decision, f"#{decision}")
    press(browser, Keys.ENTER)
    browser.wait_for("#done")
    assert httpx.get(f"{acme.server.url}/v1/consent/{request.request_id}").status_code == 410


def open_permissions(browser, developer, principal):
    session = developer.grantex.principal_sessions.create(CreatePrincipalSessionParams(principal))
    # Away from the page first: a URL that differs in its fragment alone would not load it again.
    browser.open("about:blank")
    browser.open(session.dashboard_url)
    return session


def two_grants(developer, principal):
    agent = assistant(developer)
    first = developer.issue(agent, principal, SCOPES)
    second = developer.issue(principal=principal, scopes=("files:read",))
    developer.grantex.audit.log(
        agent_id=agent.id, agent_did=agent.did, grant_id=first.grant_id, principal_id=principal, action="trip.booked"
    )
    return first, second


@pytest.mark.parametrize(("size", "dark"), LOOKS)
def test_permissions_page_lists_grants_and_activity(browser, acme, size, dark):
    principal = f"lister-{size[0]}-{dark}"
    two_grants(acme, principal)
    browser.emulate(size, dark)
    open_permissions(browser, acme, principal)
    browser.wait_for("#grants .grant")
    assert len(browser.all("#grants .grant")) == 2
    text = browser.wait_for("#grants").text
    assert "Trip planner" in text and "acme:quarterly-report" in text
    browser.wait_for("#activity li")
    assert "#" not in browser.driver.current_url, "the session must leave the address bar at once"
    kept = browser.driver.execute_script("return [localStorage.length, sessionStorage.length, document.cookie]")
    assert kept == [0, 0, ""], "the session must be kept in memory only"
    expect_sound(browser, "the permissions page")
    keep_picture(browser, acme.server, "permissions", size, dark)


def test_revoking_on_the_permissions_page(browser, acme):
    first, second = two_grants(acme, "revoker")
    open_permissions(browser, acme, "revoker")
    card = next(c for c in [browser.wait_for("#grants .grant"), *browser.all("#grants .grant")] if "Trip planner" in c.text)
    card.find_element("css selector", "button.revoke").click()
    assert acme.grantex.tokens.verify(first.token).valid, "one click must not revoke yet"
    browser.expect_accessible("the question before revoking")
    browser.wait_for("button.confirm-revoke").click()
    browser.wait_until(lambda: len(browser.all("#grants .grant")) == 1, "the revoked grant to disappear")
    assert acme.grantex.tokens.verify(first.token).valid is False
    assert acme.grantex.tokens.verify(second.token).valid, "the other grant stays"
    expect_sound(browser, "the permissions page after a revocation")


def test_revoking_by_keyboard_alone(browser, acme):
    issued = acme.issue(principal="typist")
    open_permissions(browser, acme, "typist")
    browser.wait_for("#grants .grant")
    tab_to(browser, lambda focused: "revoke" in focused["classes"], "button.revoke")
    press(browser, Keys.ENTER)
    browser.wait_for("button.confirm-revoke")
    if "confirm-revoke" not in browser.focused()["classes"]:
        tab_to(browser, lambda focused: "confirm-revoke" in focused["classes"], "button.confirm-revoke")
    press(browser, Keys.ENTER)
    browser.wait_until(lambda: not browser.all("#grants .grant"), "the revoked grant to disappear")
    assert acme.grantex.tokens.verify(issued.token).valid is False


def test_an_expired_session_is_explained(browser, acme):
    acme.issue(principal="late")
    session = acme.grantex.principal_sessions.create(CreatePrincipalSessionParams("late", expires_in="1s"))
    bearer = {"Authorization": f"Bearer {session.session_token}"}
    wait_until(
        lambda: httpx.get(f"{acme.server.url}/v1/principal/grants", headers=bearer).status_code == 401, "the session to expire"
    )
    browser.open("about:blank")
    browser.open(session.dashboard_url)
    browser.wait_for("#expired")
    expect_sound(browser, "the page of an expired session", "status of 401")
