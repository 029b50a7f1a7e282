"""The harness sees what is wrong: a check that cannot fail would prove nothing."""

import pytest

from mnist_ddm.pages import page as web

GOOD = "<!doctype html><html lang=en><title>t</title><link rel=icon href='data:,'><h1>t</h1>"


@pytest.fixture
def opened(open_page, tmp_path):
    def open_text(text, **more):
        path = tmp_path / "page.html"
        path.write_text(text)
        return open_page(path, **more)

    return open_text


def test_a_good_page_passes(opened):
    opened(GOOD + "<button>go</button><img alt='a dot' src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>").check()


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("console", "<script>console.error('no')</script>"),
        ("console", "<script>throw new Error('no')</script>"),
        ("console", "<script>Promise.reject(new Error('no'))</script>"),
        ("requests", "<img alt=x src='https://example.org/x.png'>"),
        ("requests", "<script>fetch('https://example.org/').catch(() => 0)</script>"),
        ("requests", "<link rel=stylesheet href='other.css'>"),
        ("overflow", "<p style='width: 2000px'>wide</p>"),
        ("nameless", "<button><svg viewBox='0 0 1 1'></svg></button>"),
        ("nameless", "<input type=range>"),
        ("nameless", "<canvas role=img></canvas>"),
        ("nameless", "<a href='#x'></a>"),
    ],
)
def test_a_bad_page_is_caught(opened, what, text):
    page = opened(GOOD + text, width=390)
    page.driver.execute_async_script("setTimeout(arguments[0], 150)")
    assert getattr(page, what)() != []
    with pytest.raises(AssertionError):
        opened(GOOD + text, width=390).check()


def test_the_policy_of_our_pages_stops_requests_and_foreign_scripts(opened, monkeypatch):
    from jinja2 import ChoiceLoader, DictLoader

    environment = web._environment()
    text = """{% extends "base.html" %}{% block main %}<h1>t</h1>{{ injected }}{% endblock %}"""
    injected = web.Markup(
        "<script>document.title = 'taken over'</script><img alt=x src='https://example.org/x.png'>"
        "<button onclick=\"document.title = 'clicked'\">b</button>"
    )
    loader = ChoiceLoader([DictLoader({"test.html": text}), environment.loader])
    monkeypatch.setattr(web, "_environment", lambda: environment.overlay(loader=loader))
    page = opened(web.render_page("test.html", {"title": "ours", "injected": injected}))
    page.run("document.querySelector('button').click()")
    assert page.run("return document.title") == "ours"
    refused = page.console()
    for directive in ("img-src data:", "script-src 'none'"):
        assert any(directive in message and "blocked" in message for message in refused), refused
