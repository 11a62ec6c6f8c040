// What the user takes away: the overlay as PNG with its words, the answer as JSON.

import { element } from "./dom.js";

const WIDTH = 512;
const LINE = 22;
const MARGIN = 12;

/** Save the answers as they came. */
export function saveAnswer(name, answers) {
  const text = JSON.stringify(answers, null, 2);
  save(`${stem(name)}.json`, new Blob([text], { type: "application/json" }));
}

/** Save the panels as shown, with class, model and the notice in the picture. */
export async function savePicture(name, notice) {
  const panels = [...element("panels").querySelectorAll(".panel")];
  const columns = getComputedStyle(element("panels")).gridTemplateColumns.split(" ").length;
  const height = Math.round(WIDTH / aspect(panels[0])) + 2 * LINE + MARGIN;
  const canvas = document.createElement("canvas");
  canvas.width = columns * (WIDTH + MARGIN) + MARGIN;
  canvas.height = Math.ceil(panels.length / columns) * height + 3 * LINE + MARGIN;
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  panels.forEach((panel, place) => {
    const left = MARGIN + (place % columns) * (WIDTH + MARGIN);
    drawPanel(context, panel, left, MARGIN + Math.floor(place / columns) * height);
  });
  const words = ["Where the model looked, not where the disease is.", notice];
  words.forEach((line, place) =>
    write(context, line, MARGIN, canvas.height - (2 - place) * LINE, canvas.width - 2 * MARGIN),
  );
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  save(`${stem(name)}-heat-map.png`, blob);
}

function drawPanel(context, panel, left, top) {
  const height = Math.round(WIDTH / aspect(panel));
  const scan = panel.querySelector(".scan");
  const heat = panel.querySelector(".heat");
  if (scan) context.drawImage(scan, left, top, WIDTH, height);
  if (heat) {
    context.globalAlpha = Number(getComputedStyle(heat).opacity);
    context.drawImage(heat, left, top, WIDTH, height);
    context.globalAlpha = 1;
  }
  const words = [heat?.alt ?? panel.querySelector(".blank")?.textContent ?? "No heat map."];
  words.forEach((line) => write(context, line, left, top + height + LINE, WIDTH));
}

function write(context, text, left, top, width) {
  context.fillStyle = "#fff";
  context.font = "15px system-ui, sans-serif";
  context.fillText(text, left, top, width);
}

function aspect(panel) {
  return Number(panel.querySelector(".picture").style.getPropertyValue("--aspect")) || 1;
}

function save(name, blob) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function stem(name) {
  return name.replace(/\.[^.]*$/, "") || "image";
}
