"""Writes docs/screenshots: the page of a daemon under a little load, in light, dark and phone width.

.venv/bin/python tools/make_screenshots.py [dejavu serve options, such as --sparsity-artifact DIR]
"""

import sys
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY / "tests" / "e2e"))

from browser import chromium  # noqa: E402
from daemon import Daemon  # noqa: E402

OUT = REPOSITORY / "docs" / "screenshots"
LOOKS = {"light": (1280, 860, False, 1), "dark": (1280, 860, True, 1), "phone": (390, 844, False, 2)}
LOAD_SECONDS = 45
PROMPTS = ["Once upon a time", "There was a", "The old clockmaker", "One day, a little fox"]


def playground(page):
    page.fill("#prompt", "The brave little snail")
    page.click("#ask [type=submit]")
    page.wait(lambda: page.find("#stop").get_attribute("disabled") and len(page.all(".token")) > 9)
    page.run("document.querySelectorAll('.token')[9].dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))")


def race(page):
    page.click("#tab-race")
    page.fill("#start [name=max_tokens]", 90)
    page.click("#start [type=submit]")
    page.wait(lambda: page.text("#verdict"))


def live(page, daemon):
    page.click("#tab-live")
    end = time.monotonic() + LOAD_SECONDS

    def load(prompt):
        while time.monotonic() < end:
            body = {"prompt": prompt, "max_tokens": 200, "temperature": 1, "ignore_eos": True}
            daemon.post("/v1/completions", body)
            time.sleep(1.5)

    clients = [threading.Thread(target=load, args=(prompt,)) for prompt in PROMPTS]
    for client in clients:
        client.start()
        time.sleep(2)
    time.sleep(end - time.monotonic() - 2)
    return clients


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    daemon = Daemon("--kv-cache-memory", "256M", *sys.argv[1:]).wait_ready()
    try:
        for look, (width, height, dark, scale) in LOOKS.items():
            with chromium(width, height, dark=dark, scale=scale) as page:
                page.open(daemon.url).wait_ready()
                playground(page)
                page.save(OUT / f"playground-{look}.png")
                if look == "light":
                    race(page)
                    page.save(OUT / "race.png")
                clients = live(page, daemon)
                page.save(OUT / f"live-{look}.png")
                for client in clients:
                    client.join()
    finally:
        daemon.stop()


if __name__ == "__main__":
    main()
