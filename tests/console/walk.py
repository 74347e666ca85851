"""Walks every page of a console in a real browser, and says what is amiss. Arguments: the Hall's address, axe's script."""

import os
import sys

from playwright.sync_api import TimeoutError, sync_playwright

HALL, AXE = sys.argv[1], sys.argv[2]
PAGES = ["/console/", "/console/decisions", "/console/approvals", "/console/workers", "/console/policy", "/console/health"]
PAGES += ["/console/enrol", "/console/connect", "/console/evidence", "/console/try", "/console/try?capability_id=cap.data.write.v1&env=prod&data_label=RESTRICTED&tenant_id=org.acme"]
WAYS = [(script, scheme, width) for script in (True, False) for scheme in ("light", "dark") for width in (375, 1280)]
amiss = []


def pages(page):
    """Every page: those of the menu, and the first of each that they lead to."""
    found = list(PAGES)
    for start in ["/console/decisions", "/console/approvals", "/console/workers"]:
        page.goto(HALL + start)
        one = page.locator(f'main a[href^="{start}/"]').first
        found.append(one.get_attribute("href"))
    return found + ["/console/nothing"]


def look(page, path, script, what):
    page.goto(HALL + path)
    if "owned" in page.title():
        amiss.append(f"{what}: what a caller wrote has run")
    if page.locator("main h1").count() != 1:
        amiss.append(f"{what}: not one heading")
    if not script:
        return
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    if wide:
        amiss.append(f"{what}: wider than the window")
    for serious in page.evaluate("axe.run().then(found => found.violations.map(v => [v.impact, v.id, v.nodes[0].html]))"):
        if serious[0] in ("serious", "critical"):
            amiss.append(f"{what}: axe: {serious}")


def walk(browser, script, scheme, width):
    context = browser.new_context(
        java_script_enabled=script, color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=False
    )
    page = context.new_page()
    said = f"script {script}, {scheme}, {width} px"
    page.on("console", lambda line: amiss.append(f"{said}: console: {line.text}") if line.type == "error" and "404" not in line.text else None)
    page.on("pageerror", lambda error: amiss.append(f"{said}: {error}"))
    page.on("request", lambda request: None if request.url.startswith(HALL) else amiss.append(f"{said}: asks {request.url}"))
    if script:
        page.add_init_script(path=AXE)
    look(page, "/console/sign-in", script, f"{said}: sign-in")
    page.fill("#token", os.environ["TOKEN"])
    page.press("#token", "Enter")
    page.wait_for_url("**/console/")
    for path in pages(page):
        look(page, path, script, f"{said}: {path}")
    # By keyboard alone: the first stop leads past the menu.
    page.goto(HALL + "/console/decisions")
    page.keyboard.press("Tab")
    if script and page.evaluate("document.activeElement.className") != "skip":
        amiss.append(f"{said}: the first stop is not the way to the page")
    page.goto(HALL + "/console/")
    page.click("text=Sign out")
    page.wait_for_url("**/console/sign-in")
    context.close()


def sent(page):
    """Has a decision made, as a caller would: its id."""
    asked = {"capability_id": "cap.data.write.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": "INTERNAL", "tenant_id": "org.acme"}
    token = {"authorization": "Bearer " + os.environ["ASKER"]}
    return page.request.post(HALL + "/api/route", headers=token, data=asked).json()["decision_id"]


def live(browser):
    """Decisions come by themselves, not while somebody pauses, and by asking where they cannot be told."""
    page = browser.new_context().new_page()
    page.goto(HALL + "/console/sign-in")
    page.fill("#token", os.environ["TOKEN"])
    page.press("#token", "Enter")
    page.wait_for_url("**/console/")

    def comes(what, id):
        try:
            page.wait_for_selector(f'tr[data-id="{id}"]')
        except TimeoutError:
            amiss.append(f"{what}: a decision does not come")

    asks = []
    page.on("request", lambda request: asks.append(request.resource_type) if "/console/decisions" in request.url else None)
    page.goto(HALL + "/console/decisions?tenant=org.acme&verdict=DISPATCH")
    comes("told", sent(page))
    comes("told again", sent(page))
    if page.locator("tbody tr").nth(1).get_attribute("data-id") is None or asks.count("fetch") > 0:
        amiss.append(f"told: it asks all the same: {asks}")
    page.click("text=Pause")
    paused = sent(page)
    with page.expect_request("**/console/decisions/feed?*"):
        if page.locator(f'tr[data-id="{paused}"]').count() > 0:
            amiss.append("paused: a decision comes")
        page.click("text=Go on")
    comes("after a pause", paused)
    # Where the feed is refused the page asks.
    page.route("**/console/decisions/feed*", lambda route: route.fulfill(status=429))
    page.goto(HALL + "/console/decisions")
    comes("asked", sent(page))
    if "fetch" not in asks:
        amiss.append(f"refused: it does not ask: {asks}")
    page.context.close()


with sync_playwright() as playwright:
    # Whoever runs the tests as root has no sandbox of Chromium's.
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium-headless-shell", args=["--no-sandbox"])
    for way in WAYS:
        walk(browser, *way)
    live(browser)
    browser.close()
print("\n".join(amiss) or "all walked")
sys.exit(1 if amiss else 0)
