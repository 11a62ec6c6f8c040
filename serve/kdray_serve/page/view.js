// What the page shows; knows the document, not the service.

const MOST_BARS = 10;
const element = (id) => document.getElementById(id);

export function modelName({ name, version, aliases }) {
  return `${name}, version ${version}${aliases.length ? ` (${aliases.join(", ")})` : ""}`;
}

/** The words before the colon of a title such as "Grad-CAM: maps weighted by ...". */
export function methodName({ name, title }) {
  return title.includes(": ") ? title.split(": ")[0] : name;
}

export function fillSelect(id, options, chosen = "") {
  const select = element(id);
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  select.value = chosen;
  select.disabled = options.length === 0;
}

export function showImage(file, url) {
  const image = element("image");
  const picture = element("picture");
  element("drop").hidden = true;
  element("view").hidden = element("tools").hidden = false;
  element("file-name").textContent = file.name;
  image.onload = () => {
    image.hidden = false;
    element("unseen").hidden = true;
    picture.classList.remove("unshown");
    picture.style.setProperty("--aspect", image.naturalWidth / image.naturalHeight);
  };
  image.onerror = () => {
    image.hidden = true;
    element("unseen").hidden = false;
    picture.classList.add("unshown");
    picture.style.setProperty("--aspect", 1);
  };
  image.src = url;
}

export function showPrediction(answer, choose) {
  const ranked = Object.entries(answer.probabilities).sort(([, a], [, b]) => b - a);
  element("empty").hidden = true;
  element("result").hidden = false;
  element("prediction").textContent = answer.prediction;
  element("share").textContent = percent(ranked[0][1]);
  element("bars").replaceChildren(
    ...ranked.slice(0, MOST_BARS).map(([name, share]) => bar(name, share, choose)),
  );
  const left = ranked.length - MOST_BARS;
  element("more").hidden = left <= 0;
  element("more").textContent = `and ${left} less probable classes`;
}

export function showOrigin(answer, model) {
  element("origin").hidden = false;
  element("origin").textContent =
    `Answered by ${modelName(model)} in ${answer.milliseconds.toFixed(0)} ms.`;
}

export function showHeat(answer, method) {
  const heat = element("heat");
  heat.src = `data:image/png;base64,${answer.heat_map.png}`;
  heat.alt = `Heat map by ${methodName(method)} for the class ${answer.class}`;
  heat.hidden = false;
  element("explained").hidden = false;
  const about =
    answer.estimate === null
      ? ""
      : ` It correlates with the exact map by about ${answer.estimate.toFixed(2)}.`;
  element("explained").textContent = `Heat map for ${answer.class}. ${method.title}${about}`;
  for (const button of element("bars").querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.value === answer.class));
}

export function hideHeat() {
  element("heat").hidden = element("explained").hidden = true;
  for (const button of element("bars").querySelectorAll("button"))
    button.setAttribute("aria-pressed", "false");
}

export function hidePrediction() {
  element("result").hidden = element("origin").hidden = true;
  element("empty").hidden = false;
}

export function showOpacity(value) {
  element("heat").style.opacity = value / 100;
  element("opacity-value").textContent = `${value} %`;
}

export function showFacts(model) {
  const { width, height, channels } = model.input;
  const settings = Object.entries(model.architecture.params ?? {});
  const network = settings.map(([name, value]) => `${name} ${[value].flat().join(", ")}`);
  const facts = [
    ["Version", [model.version, ...model.aliases].join(", ")],
    ["Network", [model.architecture.name, ...network].join("; ")],
    ["Trained as", model.role],
    ["Input", `${width} x ${height}, ${channels === 1 ? "grey" : "colour"}`],
    ["Classes", model.classes.join(", ")],
    ["Weights", `SHA-256 ${model.weights_sha256.slice(0, 16)}`],
    ...leaves(model.lineage),
  ];
  element("facts").replaceChildren(...facts.flatMap(([name, text]) => fact(name, text)));
  element("about").hidden = false;
}

export function showProblem(text) {
  element("problem").hidden = !text;
  element("problem").textContent = text;
}

export function showBusy(answering, explaining) {
  element("answer").setAttribute("aria-busy", String(answering || explaining));
  element("spinner").hidden = !(answering || explaining);
}

export function say(text) {
  element("status").textContent = text;
}

export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

function bar(name, share, choose) {
  const button = document.createElement("button");
  button.type = "button";
  button.value = name;
  button.title = `Explain ${name}`;
  button.setAttribute("aria-pressed", "false");
  const fill = part("span", "fill");
  fill.style.width = `${100 * share}%`;
  const track = part("span", "track");
  track.append(fill);
  button.append(part("span", "name", name), part("span", "percent", percent(share)), track);
  button.addEventListener("click", () => choose(name));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function part(tag, className, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function fact(name, text) {
  return [part("dt", "", name), part("dd", "", text)];
}

function leaves(tree, prefix = "") {
  return Object.entries(tree ?? {}).flatMap(([name, value]) => {
    const words = `${prefix}${name.replaceAll("_", " ")}`;
    if (value === null || value === "") return [];
    if (Array.isArray(value)) return [[upper(words), value.join(", ")]];
    if (typeof value === "object") return leaves(value, `${words}, `);
    return [[upper(words), String(value)]];
  });
}

function upper(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
