"use strict";
const view = document.getElementById("view");
const picture = document.getElementById("view-picture");
const title = document.getElementById("view-title");
const frames = [...document.querySelectorAll(".frames button")];
let shown = 0;

function show(number) {
  shown = (number + frames.length) % frames.length;
  const small = frames[shown].querySelector("img");
  picture.src = small.src;
  title.textContent = small.alt;
  if (!view.open) view.showModal();
}

frames.forEach((frame, number) => {
  frame.addEventListener("click", () => show(number));
  frame.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (way) frames[(number + way + frames.length) % frames.length].focus();
  });
});
document.getElementById("before").addEventListener("click", () => show(shown - 1));
document.getElementById("after").addEventListener("click", () => show(shown + 1));
document.getElementById("close").addEventListener("click", () => view.close());
view.addEventListener("click", (event) => {
  if (event.target === view) view.close();
});
view.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") show(shown - 1);
  if (event.key === "ArrowRight") show(shown + 1);
});
view.addEventListener("close", () => frames[shown].focus());
