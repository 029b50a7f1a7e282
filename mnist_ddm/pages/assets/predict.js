"use strict";
// A question before a picture: what it covers shows once somebody has said what they expect, or does not want to.

/**
 * Ask, and cover until there is an answer; on paper everything shows.
 * @param box the `.predict` section; what was asked in it before is forgotten
 * @param asked { question, choices: [[value, label], ...], right: () => value, covered: elements, then: () => undefined }
 */
function predict(box, { question, choices, right, covered, then = () => {} }) {
  forget(box);
  const words = document.createElement("p"), buttons = document.createElement("div");
  words.textContent = question;
  words.tabIndex = -1;
  words.setAttribute("aria-live", "polite");
  buttons.className = "choices";
  const labels = Object.fromEntries(choices);
  for (const [value, label] of [...choices, [null, "just show it"]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", () => {
      const truth = right();
      words.textContent = value === null ? `It is: ${labels[truth]}.`
        : value === truth ? `You said "${labels[value]}", and so it is.` : `You said "${labels[value]}". It is: ${labels[truth]}.`;
      buttons.remove();
      uncover(box);
      then();
      words.focus({ preventScroll: true });
    });
    buttons.append(button);
  }
  box.append(words, buttons);
  box.hidden = false;
  box.covered = covered;
  for (const element of covered) element.classList.add("covered");
}

function uncover(box) {
  for (const element of box.covered ?? []) element.classList.remove("covered");
  box.covered = [];
}

/** Take a question back, and show what it covered. */
function forget(box) {
  uncover(box);
  box.replaceChildren();
  box.hidden = true;
}
