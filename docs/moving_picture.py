"""The moving picture of the explorer, from the shipped system: `python docs/moving_picture.py` writes it.

It needs Chromium and its driver, as `make test-browser` does. The page is the one of `page_of_explorer`; its slider is
moved, and the window photographed.
"""

import argparse
import base64
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).parents[1]
STEPS = 24
WINDOW = (1280, 800)
WIDTH = 880
"""Of the picture, in pixels."""
MILLISECONDS, PAUSE = 180, 2400
"""How long a state is shown, and the last one."""
COLOURS = 128
_MOVE = "const s = document.getElementById('time'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))"


def page_of_explorer(folder: Path) -> Path:
    """Write the explorer of the shipped system."""
    page = folder / "explorer.html"
    options = f"--system mnist --seed 7 --n 1 --steps {STEPS} --routing top2,top1,full"
    program = "from mnist_ddm.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, "explore", *options.split(), "--out", str(page)], cwd=ROOT, check=True
    )
    return page


def photographs(page: Path) -> list[Image.Image]:
    """The window at every state from noise to data."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": WINDOW[0], "height": WINDOW[1], "deviceScaleFactor": 1, "mobile": False},
        )
        driver.get(page.resolve().as_uri())
        driver.execute_script("forget(document.getElementById('predict'))")  # nobody is there to predict
        driver.execute_script("document.querySelector('.controls').scrollIntoView()")
        frames = []
        for state in range(int(driver.execute_script("return document.getElementById('time').max")) + 1):
            driver.execute_script(_MOVE, state)
            shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
            frames.append(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB"))
        return frames
    finally:
        driver.quit()


def save_gif(frames: list[Image.Image], file: Path) -> None:
    """Shrink, give all frames one palette, and write them."""
    height = round(frames[0].height * WIDTH / frames[0].width)
    small = [frame.resize((WIDTH, height), Image.Resampling.LANCZOS) for frame in frames]
    strip = Image.new("RGB", (WIDTH, height * 3))
    for place, frame in enumerate((small[0], small[len(small) // 2], small[-1])):
        strip.paste(frame, (0, place * height))
    palette = strip.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    durations = [MILLISECONDS] * (len(flat) - 1) + [PAUSE]
    flat[0].save(file, save_all=True, append_images=flat[1:], duration=durations, loop=0, optimize=True)


def main() -> None:
    """Make the page, photograph it, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, help="an explorer that is there already")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures" / "explorer.gif")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = chosen.page or page_of_explorer(Path(folder))
        save_gif(photographs(page), chosen.out)
    print(f"{chosen.out}: {chosen.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
