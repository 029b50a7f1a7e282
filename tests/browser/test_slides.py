"""The slides of a lesson on a projector: each fits, and nothing scrolls that is whole."""

from pathlib import Path

SLIDES = Path(__file__).parents[2] / "teacher" / "slides.html"
_SCROLLS = """return [...document.querySelectorAll("section")].flatMap((section, i) => {
  show(i);
  const boxes = [document.documentElement, ...section.querySelectorAll(".formula, pre")];
  return boxes.filter(box => box.scrollHeight > box.clientHeight).map(box => `${i + 1}: ${box.tagName}`);
});"""


def test_every_slide_fits_a_projector_of_little_height(open_page):
    page = open_page(SLIDES, width=1280, height=720)
    page.check()
    assert page.run(_SCROLLS) == []
