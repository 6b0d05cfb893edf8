"""Writes docs/recording.webp: the page in use, for the README's first screen.

.venv/bin/python tools/make_recording.py      needs img2webp (Debian package webp)
"""

import base64
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY / "tests" / "e2e"))

from browser import chromium  # noqa: E402
from daemon import Daemon  # noqa: E402

OUT = REPOSITORY / "docs" / "recording.webp"
WIDTH, HEIGHT = 960, 620
QUALITY = 60


class Film:
    """Frames with the times at which they were taken; those that show no change make the last one longer."""

    def __init__(self, page, folder):
        self.page, self.folder = page, folder
        self.frames = []  # [(file, seconds)]

    def take(self, seconds=0.0):
        """A frame, or one after the other for that long."""
        end = time.monotonic() + seconds
        while True:
            begun = time.monotonic()
            shot = self.page.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
            image = base64.b64decode(shot["data"])
            time.sleep(max(0, begun + 0.1 - time.monotonic()))
            lasted = time.monotonic() - begun
            if self.frames and self.frames[-1][0].read_bytes() == image:
                file, before = self.frames[-1]
                self.frames[-1] = (file, before + lasted)
            else:
                file = self.folder / f"{len(self.frames):04}.png"
                file.write_bytes(image)
                self.frames.append((file, lasted))
            if time.monotonic() >= end:
                return

    def take_until(self, condition):
        while not condition():
            self.take()

    def write(self, out):
        arguments = ["img2webp", "-loop", "0"]
        for file, seconds in self.frames:
            arguments += ["-lossy", "-q", str(QUALITY), "-m", "6", "-d", str(round(1000 * seconds)), str(file)]
        subprocess.run([*arguments, "-o", str(out)], check=True, stdout=subprocess.DEVNULL)


def playground(page, film):
    page.find("#prompt").clear()
    for letter in "The brave little snail":
        page.find("#prompt").send_keys(letter)
        film.take()
    page.click("#ask [type=submit]")
    film.take_until(lambda: page.find("#stop").get_attribute("disabled"))
    film.take(1)
    for number in (6, 14, 31):
        page.run(
            "document.querySelectorAll('#transcript .token')[arguments[0]]"
            ".dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))",
            number,
        )
        film.take(1.4)


def race(page, film):
    page.click("#tab-race")
    film.take(0.6)
    page.click("#start [type=submit]")
    film.take_until(lambda: page.text("#verdict"))
    film.take(2.5)


def main():
    daemon = Daemon("--kv-cache-memory", "256M", "--audit-interval", "8").wait_ready()
    try:
        with chromium(WIDTH, HEIGHT) as page, tempfile.TemporaryDirectory() as folder:
            page.open(daemon.url).wait_ready()
            film = Film(page, Path(folder))
            playground(page, film)
            race(page, film)
            film.write(OUT)
    finally:
        daemon.stop()


if __name__ == "__main__":
    main()
