"use strict";
// The list of claims: which verdict and which words are looked for; a link to a claim opens it, and paper gets all.

const claims = [...document.querySelectorAll("details.claim")];
const sections = [...document.querySelectorAll("details.analysis")];
const words = document.getElementById("search");
const told = document.getElementById("told");
const choices = [...document.querySelectorAll("input[name=verdict]")];

const chosen = () => choices.find(choice => choice.checked)?.value ?? "all";

function fits(claim) {
  const verdict = chosen();
  if (verdict === "headline") return claim.hasAttribute("data-headline");
  return verdict === "all" || claim.dataset.verdict === verdict;
}

/** What is compared: symbols are found however they are typed, as L_eff, Leff or L eff. */
const plain = text => text.toLowerCase().replace(/[\s_\u2010-\u2015-]+/g, "").replaceAll("\u03b4", "delta").replaceAll("\u03c4", "tau");
const said = new Map([...claims, ...sections].map(element => [element, plain(element.textContent)]));

function show() {
  const text = plain(words.value);
  const holds = element => said.get(element).includes(text);
  let count = 0;
  for (const claim of claims) {
    claim.hidden = text ? !holds(claim) : !fits(claim);
    count += !claim.hidden;
  }
  for (const section of sections) section.hidden = !holds(section);
  for (const group of document.querySelectorAll("section.group")) {
    group.hidden = !group.querySelector("details.analysis:not([hidden])");
  }
  told.textContent = text
    ? `${count} of ${claims.length} claims and ${sections.filter(s => !s.hidden).length} analyses speak of it`
    : `${count} of ${claims.length} claims`;
}

function named(hash) {
  try {
    return decodeURIComponent(hash.slice(1));
  } catch { // an address that somebody cut in the middle of a letter
    return "";
  }
}

/** Open whatever the address names, and show it if it was filtered away. */
function follow() {
  const target = document.getElementById(named(location.hash));
  if (!target) return;
  for (let e = target; e; e = e.parentElement) {
    if (e.tagName === "DETAILS") e.open = true;
    e.hidden = false;
  }
  target.scrollIntoView();
}

for (const choice of choices) choice.addEventListener("change", show);
words.addEventListener("input", show);
window.addEventListener("hashchange", follow);

// What is jumped to, or gets the focus, is not below the index.
const index = document.querySelector(".parts");
const makeRoom = () => { document.documentElement.style.scrollPaddingTop = `${index.offsetHeight + 8}px`; };
new ResizeObserver(makeRoom).observe(index);

let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const details of opened) details.open = true;
});
window.addEventListener("afterprint", () => { for (const details of opened) details.open = false; });

document.documentElement.classList.add("live");
show();
makeRoom();
follow();
