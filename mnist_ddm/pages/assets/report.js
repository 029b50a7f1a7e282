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

function show() {
  const text = words.value.trim().toLowerCase();
  const holds = element => !text || element.textContent.toLowerCase().includes(text);
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

/** Open whatever the address names, and show it if it was filtered away. */
function follow() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
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

let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const details of opened) details.open = true;
});
window.addEventListener("afterprint", () => { for (const details of opened) details.open = false; });

document.documentElement.classList.add("live");
show();
follow();
