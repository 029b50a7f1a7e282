"""`slides.html` from `slides.md`: one page without a network, which any browser shows and prints.

    python teacher/make_slides.py

A rule begins a slide, a comment is a note for the teacher. Formulas become MathML as in the documentation.
"""

import html
import re
import sys
from pathlib import Path

from markdown_it import MarkdownIt

HERE = Path(__file__).parent
SOURCE, PAGE = HERE / "slides.md", HERE / "slides.html"
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$`\n]+?)\$", re.S)
_NOTE = re.compile(r"<!--(.+?)-->", re.S)

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --paper: #fbfbf9; --soft: #5c6875; --accent: #0a6ebd;
  --code: #eef1f4 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf0; --paper: #14181d; --soft: #9aa6b2; --accent: #6bb5f5; --code: #222a32 }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 400 clamp(18px, min(2.4vw, 3.8vh), 34px)/1.45 system-ui, sans-serif }
section { min-height: 100vh; padding: 7vh 9vw 9vh; display: none; flex-direction: column; justify-content: center }
section.shown { display: flex }
h1 { font-size: 2em; line-height: 1.15; margin: 0 0 .4em }
h2 { font-size: 1.5em; line-height: 1.2; margin: 0 0 .6em; color: var(--accent) }
p, ul, table, pre { margin: 0 0 .7em } li { margin: .25em 0 }
pre { background: var(--code); padding: .6em .8em; border-radius: .3em; overflow-x: auto; font-size: .8em }
code { font-family: ui-monospace, monospace }
:not(pre) > code { background: var(--code); padding: 0 .2em; border-radius: .2em }
table { border-collapse: collapse }
th, td { text-align: left; padding: .2em 1.2em .2em 0; border-bottom: 1px solid var(--soft) }
.formula { font-size: 1.15em; margin: 0 0 .4em; padding-bottom: .3em; overflow: auto hidden }
aside { display: none; border-left: .2em solid var(--accent); padding-left: .8em; color: var(--soft); font-size: .7em }
.notes aside { display: block }
nav { position: fixed; right: 1.5em; bottom: 1em; color: var(--soft); font-size: .55em }
nav button { font: inherit; color: inherit;
  background: none; border: 1px solid var(--soft); border-radius: .3em; padding: .2em .7em; cursor: pointer }
@media print {
  section { display: flex; break-after: page; min-height: 0; height: 100vh } nav { display: none }
}
"""

SCRIPT = """
const slides = [...document.querySelectorAll("section")];
const place = document.querySelector("#place");
let at = Math.min(Math.max((parseInt(location.hash.slice(1)) || 1) - 1, 0), slides.length - 1);
function show(next) {
  at = Math.min(Math.max(next, 0), slides.length - 1);
  slides.forEach((slide, i) => slide.classList.toggle("shown", i === at));
  place.textContent = `${at + 1} of ${slides.length}`;
  history.replaceState(null, "", `#${at + 1}`);
}
const notes = () => document.body.classList.toggle("notes");
const keys = { ArrowRight: 1, PageDown: 1, " ": 1,
  ArrowLeft: -1, PageUp: -1, Home: -slides.length, End: slides.length };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("button")) return;
  if (event.key === "n") notes();
  if (event.key in keys) { event.preventDefault(); show(at + keys[event.key]); }
});
document.querySelector("#back").addEventListener("click", () => show(at - 1));
document.querySelector("#on").addEventListener("click", () => show(at + 1));
document.querySelector("#notes").addEventListener("click", notes);
show(at);
"""


def page(source: str) -> str:
    """The page of a Markdown text."""
    sys.path.insert(0, str(HERE.parent / "docs"))
    from mathml import to_mathml

    title = re.search(r"^title: (.+)$", source, re.M)
    body = source.partition("---\n")[2].partition("---\n")[2]
    slides = "\n".join(_slide(text, to_mathml) for text in re.split(r"^---$", body, flags=re.M) if text.strip())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title[1] if title else "Slides")}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{slides}
</main>
<nav aria-label="Slides">
<button id="back">back</button> <span id="place"></span>
<button id="on">next</button> <button id="notes">notes (n)</button>
</nav>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _slide(text: str, to_mathml) -> str:
    """One slide; formulas and notes are taken out before Markdown is read, and put back into what comes."""
    kept: list[str] = []

    def keep(shown: str) -> str:
        kept.append(shown)
        return f"\x02{len(kept) - 1}\x03"

    def formula(found: re.Match[str]) -> str:
        if found[1]:
            return keep(f'<div class="formula">{to_mathml(found[1].strip(), block=True)}</div>')
        return keep(to_mathml(found[2], block=False))

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    text = _NOTE.sub(lambda found: keep(f"<aside>{markdown.render(found[1].strip())}</aside>"), text)
    shown = markdown.render(_FORMULA.sub(formula, text))
    for number, whole in enumerate(kept):
        place = f"\x02{number}\x03"
        alone = not whole.startswith("<math")  # a block, which is no part of a paragraph
        shown = shown.replace(f"<p>{place}</p>" if alone else place, whole)
    return f"<section>\n{shown}</section>"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
