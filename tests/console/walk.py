"""Walks every page of a console in a real browser, and says what is amiss. Arguments: the Hall's address, axe's script."""

import os
import sys

from playwright.sync_api import sync_playwright

HALL, AXE = sys.argv[1], sys.argv[2]
PAGES = ["/console/", "/console/decisions", "/console/approvals", "/console/workers", "/console/policy", "/console/health"]
PAGES += ["/console/try", "/console/try?capability_id=cap.data.write.v1&env=prod&data_label=RESTRICTED&tenant_id=org.acme"]
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


with sync_playwright() as playwright:
    # Whoever runs the tests as root has no sandbox of Chromium's.
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium-headless-shell", args=["--no-sandbox"])
    for way in WAYS:
        walk(browser, *way)
    browser.close()
print("\n".join(amiss) or "all walked")
sys.exit(1 if amiss else 0)
