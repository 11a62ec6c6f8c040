// The image with heat maps over it: one panel for each class and model.

import { element, make, percent, show } from "./dom.js";
import { methodName, methodOf, modelName } from "./names.js";

/** Show the image alone, as long as nothing is known of it. */
export function showImage(item) {
  element("file-name").textContent = item.name;
  draw(item, [{ title: "", note: "", heat: null, reason: "", alt: "" }], 1);
}

/** Take the heat maps away while others are on their way. */
export function hideHeat() {
  for (const heat of element("panels").querySelectorAll(".heat, .blank")) heat.remove();
  for (const caption of element("panels").querySelectorAll("figcaption")) caption.replaceChildren();
  element("about-maps").hidden = true;
}

/** Return an explanation with its classes in the order of the bars. */
export function ranked(answer) {
  const share = (place) => answer.prediction.probabilities[answer.maps[place].class];
  const places = [...answer.maps.keys()].sort((a, b) => share(b) - share(a));
  const order = (list) => places.map((place) => list[place]);
  const { against } = answer;
  const beside = against && { ...against, maps: order(against.maps), agreement: order(against.agreement) };
  return { ...answer, maps: order(answer.maps), against: beside };
}

/** Show the maps of an explanation; those of the model beside it stand to the right. */
export function showMaps(item, model, answer) {
  const method = methodOf(model, answer.method);
  const columns = [answer, answer.against].filter(Boolean);
  const panels = answer.maps.flatMap((_, place) =>
    columns.map((column) => panel(column, column.maps[place], method)),
  );
  draw(item, panels, columns.length);
  showWords(answer, method, model);
}

export function showOpacity(value) {
  element("panels").style.setProperty("--opacity", value / 100);
  element("opacity-value").textContent = `${value} %`;
}

export function showBusy(isBusy) {
  element("spinner").hidden = !isBusy;
}

/** Say that there are no maps, and why. */
export function showNoMaps(why) {
  element("about-maps").hidden = false;
  show("explained", why);
  for (const id of ["replaced", "estimate", "blank"]) show(id, "");
}

function panel({ model, prediction }, map, method) {
  const who = modelName(model);
  const what = method.needs_class ? `for the class ${map.class}` : "for every class alike";
  return {
    title: method.needs_class ? map.class : "every class",
    note: `${method.needs_class ? `${percent(prediction.probabilities[map.class])}, ` : ""}${who}`,
    heat: map.heat_map,
    reason: map.reason,
    alt: `Heat map by ${methodName(method)} ${what}, of ${who}`,
  };
}

function draw(item, panels, columns) {
  const grid = element("panels");
  const isPaired = columns === 2 || panels.length === 2 || panels.length === 4;
  const kind = panels.length === 1 ? "" : isPaired ? "columns-2" : "columns-many";
  grid.className = `panels ${kind} ${panels.length > 2 ? "many" : ""}`;
  const isSmall = panels.length > 2; // too small for reasons, which stand below
  grid.replaceChildren(...panels.map((one, place) => figure(item, one, place, isSmall)));
}

function figure(item, { title, note, heat, reason, alt }, place, isSmall) {
  const picture = make("div", { class: "picture" }, scan(item, place));
  if (heat)
    picture.append(make("img", { class: "heat", src: `data:image/png;base64,${heat.png}`, alt }));
  const why = isSmall ? "" : ` ${reason.charAt(0).toUpperCase()}${reason.slice(1)}`;
  if (reason) picture.append(make("p", { class: "blank" }, `No heat map.${why}`));
  const caption = make("figcaption", {}, make("strong", {}, title), ` ${note}`);
  caption.hidden = !title;
  item.ready.then(() => fit(picture, item));
  return make("figure", { class: "panel" }, picture, caption);
}

function scan(item, place) {
  return make("img", { class: "scan", alt: place === 0 ? `Chosen image ${item.name}` : "" });
}

async function fit(picture, item) {
  const image = picture.querySelector(".scan");
  if (item.url) {
    image.src = item.url;
    await image.decode().catch(() => {});
    picture.style.setProperty("--aspect", image.naturalWidth / image.naturalHeight || 1);
  } else {
    image.remove();
    picture.classList.add("unshown");
    picture.prepend(make("p", { class: "unseen" }, "This file cannot be shown."));
  }
}

function showWords(answer, method, model) {
  element("about-maps").hidden = false;
  const classes = answer.maps.map((map) => map.class).join(", ");
  const what = method.needs_class ? `Explained: ${classes}.` : "Explained: every class alike.";
  show("explained", `${what} ${method.title}${method.title.endsWith(".") ? "" : "."}`);
  show("replaced", replacement(answer, method, model));
  show("estimate", estimate(answer.maps));
  show("blank", blanks(answer));
}

function replacement({ replaced, requested_method: wanted }, method, model) {
  if (!replaced) return "";
  return `Instead of ${methodName(methodOf(model, wanted))}: ${methodName(method)}. ${replaced}`;
}

function estimate(maps) {
  const known = maps.map((map) => map.estimate).filter((value) => value !== null);
  if (!known.length) return "";
  const least = Math.min(...known).toFixed(2);
  return `An approximation: it correlates with the exact map by about ${least}.`;
}

function blanks({ maps, against }) {
  const other = against ? blanksOf(against.maps, ` of ${modelName(against.model)}`) : [];
  return [...blanksOf(maps, ""), ...other].join(" ");
}

/** Return a sentence for each reason, with all classes that it is true of. */
function blanksOf(maps, whose) {
  const classes = new Map();
  for (const map of maps.filter((one) => !one.heat_map))
    classes.set(map.reason, [...(classes.get(map.reason) ?? []), map.class]);
  return [...classes].map(
    ([reason, names]) => `No heat map${whose} for ${names.join(", ")}: ${reason}`,
  );
}
