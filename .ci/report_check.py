#!/usr/bin/env python3
"""Opens report pages in headless Chromium and uses them as a person would: real clicks, real keys, both colour schemes, a phone's width.

usage: report_check.py [--screenshots DIR] PAGE=SECTION,… …

SECTIONs are ids of sections that the page must have. Chromium is spoken to over a pipe (`--remote-debugging-pipe`, JSON messages that
end in a zero byte), so that nothing but Python and Chromium is needed. Exit code 1 with one line for each thing that is wrong.
"""

import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

NAMES = ["chromium", "chromium-browser", "google-chrome", "chrome"]
DESKTOP, PHONES = (1280, 900), [(360, 740), (320, 640)]
# W3C's bound for text (WCAG 2.1, 1.4.3).
CONTRAST = 4.5


class Browser:
    """One page in one Chromium."""

    def __init__(self, profile):
        program = next((p for p in map(shutil.which, NAMES) if p), None)
        if not program:
            sys.exit(f"report_check: none of {', '.join(NAMES)} is on the PATH")
        ours_out, theirs_in = os.pipe()
        theirs_out, ours_in = os.pipe()
        # Chromium reads from descriptor 3 and writes to 4.
        command = f'exec 3<&{ours_out} 4>&{ours_in}; exec "$0" "$@"'
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
                     f"--user-data-dir={profile}", "--hide-scrollbars", "--force-color-profile=srgb", "about:blank"]
        self.process = subprocess.Popen(["bash", "-c", command, program, *arguments], pass_fds=(ours_out, ours_in),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(ours_out)
        os.close(ours_in)
        self.to, self.back, self.buffer = theirs_in, theirs_out, b""
        self.number, self.session, self.events = 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def read(self):
        while b"\0" not in self.buffer:
            chunk = os.read(self.back, 1 << 20)
            if not chunk:
                sys.exit("report_check: Chromium ended")
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def js(self, expression):
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails'].get('exception', {}).get('description')}")
        return answer["result"].get("value")

    def open(self, path):
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self.read())
        self.settle()

    def settle(self):
        """Waits until the page was drawn twice: observers have run then."""
        self.js("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))")

    def key(self, name, count=1):
        code = {"Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "Home": 36, "End": 35, "Tab": 9}[name]
        text = {"Enter": "\r", " ": " "}.get(name)
        for _ in range(count):
            same = {"key": name, "code": "Space" if name == " " else name, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **same, **({"text": text} if text else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **same)
        self.settle()

    def place(self, element, x=0.5, y=0.5):
        """A point of an element (an expression), scrolled into sight."""
        return self.js(f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
                       f" return [b.left + b.width * {x}, b.top + b.height * {y}] }})()")

    def point(self, element, x=0.5, y=0.5):
        px, py = self.place(element, x, y)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=px, y=py)
        self.settle()

    def click(self, element, x=0.5, y=0.5):
        px, py = self.place(element, x, y)
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"]:
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=px, y=py, **button)
        self.settle()

    def size(self, width, height, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.settle()

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])
        self.settle()

    def screenshot(self, path, height):
        width = self.js("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self):
        """Errors and warnings of the page, and requests to anywhere but itself."""
        out = []
        for event in self.events:
            method, p = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                out.append(f"exception: {p['exceptionDetails'].get('exception', {}).get('description', p['exceptionDetails']['text'])}")
            elif method == "Runtime.consoleAPICalled" and p["type"] in ["error", "warning", "assert"]:
                out.append(f"console: {[a.get('value') for a in p['args']]}")
            elif method == "Log.entryAdded" and p["entry"]["level"] in ["error", "warning"]:
                out.append(f"log: {p['entry']['text']}")
            elif method == "Network.requestWillBeSent" and not p["request"]["url"].startswith(("data:", "file:", "about:")):
                out.append(f"request: {p['request']['url']}")
        files = {e["params"]["request"]["url"].partition("#")[0] for e in self.events if e.get("method") == "Network.requestWillBeSent"
                 and e["params"]["request"]["url"].startswith("file:")}
        return out + ([f"more files than the page itself: {sorted(files)}"] if len(files) > 1 else [])

    def close(self):
        try:
            self.call("Browser.close")
        except (SystemExit, RuntimeError, OSError):
            pass
        self.process.wait(timeout=20)


class Checks:
    """What has to hold on a page."""

    def __init__(self, browser, name):
        self.b, self.name, self.wrong, self.count = browser, name, [], 0

    def hold(self, condition, what):
        self.count += 1
        if not condition:
            self.wrong.append(f"{self.name}: {what}")

    def sections(self, wanted):
        there = self.b.js("[...document.querySelectorAll('main > section')].map(s => s.id)")
        for section in wanted:
            self.hold(section in there, f"section {section} is missing; there are {there}")
        linked = self.b.js("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))")
        self.hold(linked == there, f"the navigation lists {linked}, the page has {there}")

    def sorting(self):
        """Every column of every table, by click; one of each table by keyboard."""
        for t in range(self.b.js("document.querySelectorAll('table.sortable').length")):
            table = f"document.querySelectorAll('table.sortable')[{t}]"
            self.b.js(f"{table}.closest('details')?.setAttribute('open', '')")
            rows = self.b.js(f"{table}.tBodies[0].rows.length")
            for c in range(self.b.js(f"{table}.tHead.rows[0].cells.length")):
                head = f"{table}.tHead.rows[0].cells[{c}]"
                for press in ["click", "again", "Enter", " "]:
                    if press in ["click", "again"]:
                        self.b.js(f"{head}.querySelector('button').click()") if c else self.b.click(f"{head}.querySelector('button')")
                    else:
                        self.b.js(f"{head}.querySelector('button').focus()")
                        self.b.key(press)
                    if press != "click" and c:
                        break
                    self.ordered(table, head, c, rows, press)

    def ordered(self, table, head, column, rows, press):
        order = self.b.js(f"{head}.getAttribute('aria-sort')")
        self.hold(order in ["ascending", "descending"], f"table column {column}, {press}: aria-sort is {order}")
        others = self.b.js(f"[...{table}.tHead.rows[0].cells].filter(h => h.getAttribute('aria-sort') !== 'none').length")
        self.hold(others == 1, f"table column {column}: {others} columns are marked as sorted")
        cells = self.b.js(f"[...{table}.tBodies[0].rows].map(r => [r.cells[{column}].dataset.v ?? null, r.cells[{column}].textContent])")
        self.hold(len(cells) == rows, f"table column {column}: {rows} rows became {len(cells)}")
        numbers = [float(v) for v, _ in cells if v is not None]
        self.hold(numbers == sorted(numbers, reverse=order == "descending"), f"table column {column}, {press}: {numbers} is not {order}")
        filled = [v is not None for v, _ in cells]
        if any(filled):
            self.hold(filled == sorted(filled, reverse=True), f"table column {column}: empty cells are not last")
        elif not self.b.js(f"{head}.classList.contains('number')"):
            texts = json.dumps([t.strip() for _, t in cells])
            sign = 1 if order == "ascending" else -1
            compare = f"a.localeCompare(b, undefined, {{numeric: true}}) * {sign}"
            same = self.b.js(f"JSON.stringify([...{texts}].sort((a, b) => {compare})) === JSON.stringify({texts})")
            self.hold(same, f"table column {column}, {press}: text is not {order}")

    def charts(self):
        for i in range(self.b.js("document.querySelectorAll('[data-chart]').length")):
            svg = f"document.querySelectorAll('[data-chart]')[{i}].querySelector('.stage svg')"
            tip = f"document.querySelectorAll('[data-chart]')[{i}].querySelector('.tip')"
            self.hold(self.b.js(f"{svg}.querySelectorAll('.curve').length") > 0, f"chart {i} has no curve")
            self.b.point(svg, 0.6, 0.4)
            self.hold(self.b.js(f"!{tip}.hidden && /\\d/.test({tip}.textContent)"), f"chart {i}: pointing at it reads nothing out")
            inside = self.b.js(f"(() => {{ const t = {tip}.getBoundingClientRect(), s = {svg}.getBoundingClientRect();"
                               " return t.left >= s.left - 1 && t.right <= s.right + 1 })()")
            self.hold(inside, f"chart {i}: what is read out hangs over the edge")
            self.b.js(f"{svg}.focus()")
            self.b.key("Home")
            first = self.b.js(f"{svg}.getAttribute('aria-valuetext')")
            self.b.key("ArrowRight")
            second = self.b.js(f"{svg}.getAttribute('aria-valuetext')")
            self.b.key("End")
            last = self.b.js(f"{svg}.getAttribute('aria-valuetext')")
            points = self.b.js(f"Math.max(...[...{svg}.querySelectorAll('.curve')].map(c => c.points.numberOfItems))")
            self.hold(first and (points < 2 or first != second), f"chart {i}: the arrow key does not move the cursor ({first})")
            self.hold(points < 3 or second != last, f"chart {i}: End does not move the cursor")
        for box in range(self.b.js("document.querySelectorAll('#legend input').length")):
            count = "document.querySelectorAll('.curve').length"
            before = self.b.js(count)
            self.b.click(f"document.querySelectorAll('#legend input')[{box}]")
            self.hold(self.b.js(count) < before, f"switching off run {box} leaves its curves")
            self.b.click(f"document.querySelectorAll('#legend input')[{box}]")
            self.hold(self.b.js(count) == before, f"switching run {box} on again does not bring its curves back")

    def viewer(self):
        for i in range(self.b.js("document.querySelectorAll('[data-view]').length")):
            box = f"document.querySelectorAll('[data-view]')[{i}]"
            slider, shown = f"{box}.querySelector('[type=range]')", f"{box}.querySelectorAll('.panels figure:nth-child(2) .box').length"
            self.hold(self.b.js(f"{box}.querySelectorAll('.panels svg').length") >= 2, "truth and prediction do not stand side by side")
            self.b.js(f"{slider}.focus()")
            self.b.key("Home")
            most, text = self.b.js(shown), self.b.js(f"{box}.querySelector('output').textContent")
            self.hold(text == "0.00" and most > 0, f"at score {text} there are {most} boxes")
            self.b.key("ArrowRight", 3)
            self.hold(self.b.js(f"{box}.querySelector('output').textContent") == "0.03", "the arrow keys do not move the score slider")
            self.b.key("End")
            least, text = self.b.js(shown), self.b.js(f"{box}.querySelector('output').textContent")
            self.hold(text == "0.99" and least <= most, f"{most} boxes from score 0, {least} from {text}")
            self.b.click(slider, 0.3)
            text = self.b.js(f"{box}.querySelector('output').textContent")
            self.hold(0.2 < float(text) < 0.4, f"a click at a third of the slider gives {text}")
            expected = self.b.js(f"(() => {{ const v = data.views[{i}]; return v.images[0].found[0].filter(o => o.s >= {text}).length }})()")
            self.hold(self.b.js(shown) == expected, f"{expected} detections of the first image have a score of {text}; other boxes are drawn")
            name = f"{box}.querySelector('h3').textContent"
            before, images = self.b.js(name), self.b.js(f"{box}.querySelectorAll('.strip button').length")
            self.b.js(f"{box}.querySelector('.strip button').focus()")
            self.b.key("ArrowRight")
            self.hold(images < 2 or self.b.js(name) != before, "the arrow key does not go to the next image")
            self.b.click(f"{box}.querySelectorAll('.strip button')[{images - 1}]")
            last = self.b.js(f"data.views[{i}].images[{images - 1}].name")
            self.hold(self.b.js(name) == last, "a click on the last small image does not show it")
        buttons = self.b.js("document.querySelectorAll('[data-show]').length")
        if buttons:
            button = f"document.querySelectorAll('[data-show]')[{buttons - 1}]"
            wanted, view = self.b.js(f"{button}.textContent"), self.b.js(f"{button}.dataset.show")
            self.b.js(f"{button}.focus()")
            self.b.key("Enter")
            shown = self.b.js(f"document.querySelectorAll('[data-view]')[{view}].querySelector('h3').textContent")
            self.hold(shown == wanted, f"the worst image {wanted} is asked for and {shown} is shown")

    def widths(self):
        for width, height in [DESKTOP, *PHONES]:
            self.b.size(width, height, width < 500)
            for scroll in [False, True]:
                self.b.js(f"document.querySelectorAll('details').forEach(d => d.open = {str(scroll).lower()})")
                self.b.settle()
                wide = self.b.js("document.documentElement.scrollWidth")
                self.hold(wide <= width, f"at a width of {width} the page is {wide} wide (details open: {scroll})")
            outside = self.b.js("[...document.querySelectorAll('h1, h2, p, figure, .scroll, .controls, .card, summary')].filter(e =>"
                                " e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className || e.tagName)")
            self.hold(not outside, f"at a width of {width} {outside} hang over the edge")
        self.b.size(*DESKTOP)

    def schemes(self):
        def looks(expected, how):
            dark = luminance(self.b.js("getComputedStyle(document.body).backgroundColor")) < 0.2
            self.hold(dark == (expected == "dark"), f"the page is not {expected} ({how})")
            for selector in ["body", ".hint", "thead th", ".lead", "footer", "nav a", ".link", ".state.done", ".tag"]:
                pair = self.b.js(f"(() => {{ let e = document.querySelector('{selector}'); if (!e) return null; const c = getComputedStyle(e).color;"
                                 " for (; e; e = e.parentElement) { const b = getComputedStyle(e).backgroundColor;"
                                 " if (b !== 'rgba(0, 0, 0, 0)') return [c, b] } return [c, 'rgb(255, 255, 255)'] })()")
                if pair:
                    high, low = sorted(map(luminance, pair), reverse=True)
                    ratio = (high + 0.05) / (low + 0.05)
                    self.hold(ratio >= CONTRAST, f"{selector} has a contrast of {ratio:.2f} in {expected} ({pair})")
        for system, other in [("light", "dark"), ("dark", "light")]:
            self.b.scheme(system)
            looks(system, f"the system's scheme is {system}")
            self.b.click("document.getElementById('theme')")
            looks(other, f"switched by the button from {system}")
            self.b.click("document.getElementById('theme')")
            looks(system, "switched back")
            self.b.js("delete document.documentElement.dataset.theme")


def luminance(colour):
    """Relative luminance of `rgb(…)` (WCAG 2.1)."""
    values = [float(v) / 255 for v in colour[colour.index("(") + 1:-1].replace(",", " ").split()[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def shots(browser, folder, name):
    """Pictures to look at; not compared with anything."""
    folder.mkdir(parents=True, exist_ok=True)
    browser.js("document.querySelectorAll('details').forEach(d => d.open = false)")
    for label, (width, height), scheme in [("light", DESKTOP, "light"), ("dark", DESKTOP, "dark"), ("phone", PHONES[0], "light")]:
        browser.scheme(scheme)
        browser.size(width, height, label == "phone")
        browser.js("scrollTo(0, 0)")
        browser.settle()
        browser.screenshot(folder / f"{name}_{label}.png", min(browser.js("document.documentElement.scrollHeight"), 6000))
    browser.size(*DESKTOP)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--screenshots", type=pathlib.Path)
    parser.add_argument("pages", nargs="+", metavar="PAGE=SECTION,…")
    args = parser.parse_args()
    wrong = []
    for page in args.pages:
        path, _, sections = page.rpartition("=")
        path = pathlib.Path(path)
        with tempfile.TemporaryDirectory() as profile:
            browser = Browser(profile)
            browser.size(*DESKTOP)
            browser.open(path)
            checks = Checks(browser, path.name)
            if args.screenshots:
                shots(browser, args.screenshots, path.stem)
            checks.sections(sections.split(","))
            for part in [checks.schemes, checks.charts, checks.viewer, checks.sorting, checks.widths]:
                part()
            for complaint in browser.complaints():
                checks.hold(False, complaint)
            browser.close()
        print(f"{path.name}: {checks.count} checks, {len(checks.wrong)} failed")
        wrong += checks.wrong
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
