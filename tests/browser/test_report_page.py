"""The report and the page of two runs in a real browser: wide and narrow, light and dark, on paper."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_OPEN = "document.querySelectorAll('details').forEach(d => { d.open = true; })"

CLAIMS = ("table-9-entropy", "router-learns-clusters", "table-1-rank", "tradeoff-necessary")


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    """A folder with a run, its report, and a comparison."""
    place = tmp_path_factory.mktemp("pages")
    program = [sys.executable, "-c", "from mnist_ddm.cli import main; main()"]
    environment = {**os.environ, "MNIST_DDM_CACHE": str(place / "cache")}
    only = [word for claim in CLAIMS for word in ("--only", claim)]
    for arguments in (
        ["reproduce", "--system", "gaussian", *only, "--workers", "1", "--out", "run"],
        ["compare", "run", "run", "--out", "both.html"],
    ):
        subprocess.run([*program, *arguments], cwd=place, env=environment, check=True, capture_output=True)
    return place


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["run/report.html", "both.html"])
def test_a_page_is_quiet_and_fits(open_page, pages, name, width, dark):
    open_page(pages / name, width=width, dark=dark, touch=width < 500).check()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(open_page, pages, width):
    page = open_page(pages / "run/report.html", width=width, touch=width < 500)
    page.run("document.querySelector('input[value=all]').click()")
    cut = page.run(
        """return [...document.querySelectorAll('.parts, .parts *, .claim > summary, .claim > summary *')]
          .filter(e => !e.classList.contains('hidden-label') && (e.scrollWidth > e.clientWidth + 1
            && getComputedStyle(e).display !== 'inline' || e.getBoundingClientRect().right > innerWidth))
          .map(e => e.className + ' ' + e.textContent.trim())"""
    )
    assert cut == []
    covered = page.run(
        """const field = document.querySelector('.find').getBoundingClientRect();
        return [...document.querySelectorAll('.parts a')].map(e => e.getBoundingClientRect())
          .filter(r => r.right > field.left && r.left < field.right && r.bottom > field.top && r.top < field.bottom)"""
    )
    assert covered == []


def test_the_first_screen_gives_the_answer(open_page, pages):
    page = open_page(pages / "run/report.html", width=1280, height=800)
    tops = page.run(
        "return ['.answer', '.counts', '#claims'].map(s => document.querySelector(s).getBoundingClientRect().top)"
    )
    assert max(tops) < 800
    assert page.run("return document.querySelector('.answer').querySelectorAll('li').length") == 2
    assert "No claim about the paper" in page.run("return document.body.innerText")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_report_is_short_before_anything_is_opened(open_page, pages, width):
    page = open_page(pages / "run/report.html", width=width, touch=width < 500)
    assert page.run("return document.documentElement.scrollHeight") <= 6000
    assert page.run("return document.querySelectorAll('details[open]').length") == 0


def test_a_symbol_is_explained_where_it_is_first_used(open_page):
    page = open_page(ROOT / "docs" / "results" / "reproduce-gaussian" / "report.html")
    assert "largest Jacobian norm on the way" in page.run("return document.querySelector('.figures').innerText")
    page.run("document.querySelector('input[value=all]').click()")
    told = page.run("return document.querySelector('#claim-table-12-gap-best .card').textContent")
    assert "gap between the velocities of the router's two most probable experts" in told


SHIPPED = sorted(path for path in (ROOT / "docs" / "results").glob("*/report.html"))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("report", SHIPPED, ids=lambda path: path.parent.name)
def test_the_reports_that_ship_are_short_too(open_page, report, width):
    page = open_page(report, width=width, touch=width < 500)
    assert page.run("return document.documentElement.scrollHeight") <= 6000


def test_claims_are_filtered_and_found(open_page, pages):
    page = open_page(pages / "run/report.html")
    shown = "return [...document.querySelectorAll('details.claim:not([hidden])')].map(d => d.id.slice(6))"
    everything = page.run("return document.querySelectorAll('details.claim').length")
    page.run("document.querySelector('input[value=all]').click()")
    assert len(page.run(shown)) == everything
    page.run("const s = document.getElementById('search'); s.value = 'entropy'; s.dispatchEvent(new Event('input'))")
    assert "table-9-entropy" in page.run(shown)
    assert len(page.run(shown)) < everything
    assert f"of {everything} claims" in page.run("return document.getElementById('told').textContent")


WHOLE = ROOT / "docs" / "results" / "reproduce-mnist" / "report.html"


@pytest.mark.parametrize(
    ("words", "like"),
    [("L_eff", "Leff"), ("Delta_refine", "delta refine"), ("tau_refine", "TAUREFINE"), ("Top-1", "top1")],
)
def test_a_symbol_is_found_however_it_is_typed(open_page, words, like):
    page = open_page(WHOLE)
    found = """const s = document.getElementById('search'); s.value = arguments[0]; s.dispatchEvent(new Event('input'));
        return [...document.querySelectorAll('details.claim:not([hidden])')].map(d => d.id)"""
    claims = page.run(found, words)
    assert 0 < len(claims) < page.run("return document.querySelectorAll('details.claim').length")
    assert page.run(found, like) == claims


@pytest.mark.parametrize("width", [390, 1280])
def test_the_index_does_not_cover_what_it_leads_to(open_page, width):
    page = open_page(WHOLE, width=width, touch=width < 500)
    for target in ("group-2", "claims", "claim-table-9-entropy"):
        page.run("location.hash = arguments[0]", target)
        low = page.run("return document.querySelector('.parts').getBoundingClientRect().bottom")
        assert page.run("return document.getElementById(arguments[0]).getBoundingClientRect().top", target) >= low


def test_a_spoiled_address_is_none(open_page):
    page = open_page(WHOLE)
    page.run("location.hash = '%'")
    assert page.console() == []


def test_the_paper_has_all_that_was_filtered_away_and_every_column(open_page):
    page = open_page(WHOLE, width=680)
    page.run("const s = document.getElementById('search'); s.value = 'gronwall'; s.dispatchEvent(new Event('input'))")
    page.command("Emulation.setEmulatedMedia", media="print")
    page.run("dispatchEvent(new Event('beforeprint'))")
    low = "return Math.min(...[...document.querySelectorAll(arguments[0])].map(e => e.getBoundingClientRect().height))"
    assert page.run(low, "details.claim .card") > 20
    assert page.run(low, "section.group details.analysis") > 20
    wide = (
        "return [...document.querySelectorAll('.scroll table')].map(t => t.getBoundingClientRect().right - innerWidth)"
    )
    assert max(page.run(wide)) <= 0


def test_a_link_opens_a_claim_that_was_filtered_away(open_page, pages):
    page = open_page(pages / "run/report.html")
    page.run("document.querySelectorAll('details.claim').forEach(d => { d.hidden = true; })")
    page.run("location.hash = 'claim-table-9-entropy'")
    state = page.run("const d = document.getElementById('claim-table-9-entropy'); return [d.open, d.hidden]")
    assert state == [True, False]


def test_no_card_speaks_of_a_bare_number(open_page, pages):
    text = open_page(pages / "run/report.html").run("return document.body.textContent")
    assert not re.search(r"[;:] [\d.]+ within \d+% of", text)
    assert "These do not" not in text


def test_plots_are_named_and_described(open_page, pages):
    page = open_page(pages / "run/report.html")
    page.run(_OPEN)
    pictures = [name for role, name in page.nodes() if role in ("image", "img", "graphics-document")]
    assert len(pictures) >= 5
    assert all(pictures)
    described = page.run("return [...document.querySelectorAll('svg.plot > desc')].map(d => d.textContent)")
    assert all(len(text) > 20 for text in described)


def test_text_in_plots_is_large_enough_on_a_telephone(open_page, pages):
    page = open_page(pages / "run/report.html", width=390, touch=True)
    page.run(_OPEN)
    heights = page.run(
        "return [...document.querySelectorAll('svg.plot text')].map(t => t.getBoundingClientRect().height)"
    )
    assert min(heights) > 8


def test_links_lead_to_claims(open_page, pages):
    page = open_page(pages / "run/report.html")
    page.run(_OPEN)
    page.run("document.querySelector('.claims a').click()")
    assert page.run("return document.querySelector('.claim:target') !== null")


def test_wide_tables_scroll_inside_themselves_by_keyboard(open_page, pages):
    page = open_page(pages / "run/report.html", width=390, touch=True)
    page.run(_OPEN)
    assert page.run(
        "return [...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0 && e.getAttribute('aria-label'))"
    )
    assert page.run("return [...document.querySelectorAll('.scroll')].some(e => e.scrollWidth > e.clientWidth)")


def test_print_is_light_and_keeps_everything(open_page, pages):
    page = open_page(pages / "run/report.html", dark=True)
    page.command("Emulation.setEmulatedMedia", media="print")
    assert page.run("return getComputedStyle(document.documentElement).getPropertyValue('--text').trim()") == "#1a1e22"
    heights = page.run("return [...document.querySelectorAll('.card')].map(c => c.getBoundingClientRect().height)")
    assert heights
    assert min(heights) > 20
    assert len(page.command("Page.printToPDF", printBackground=True)["data"]) > 50_000
