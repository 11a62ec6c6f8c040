// Another model beside the chosen one: which there are, and how alike their maps are.

import { element, make, show } from "./dom.js";

const SCORES = {
  pearson: "Correlation (Pearson)",
  ssim: "Structure (SSIM)",
  iou20: "Overlap of the hottest fifth (IoU)",
};

/** Return `[value, text]` of what can stand beside a model; details may still be unknown. */
export function companions(model, models, details) {
  const found = [["", "No other model"]];
  if (model.teacher) found.push(["teacher", "Its teacher"]);
  const own = (details?.versions ?? []).map((version) => `${model.name}@${version}`);
  const served = models.filter((other) => isComparable(model, other)).map(reference);
  for (const name of new Set([...own, ...served]))
    if (name !== reference(model) && name !== model.teacher) found.push([name, name.replace("@", ", version ")]);
  return found;
}

/** What the page calls the model beside, in the middle of a sentence. */
export function companionName({ model, role }, beside) {
  return beside === "teacher" ? "teacher" : `${role} ${model.name}, version ${model.version}`;
}

/** Say how alike the maps are, beside what chance reaches. */
export function showAgreement(answer, label) {
  const { against } = answer;
  show("agreement-words", against ? sentence(against, label) : "");
  const isAny = Boolean(against?.agreement.some((one) => known(one?.pearson)));
  element("agreement").hidden = !isAny;
  if (!isAny) return;
  element("agreement-heading").textContent = `Agreement with the ${label}`;
  const many = against.agreement.length > 1;
  element("agreement-table").replaceChildren(many ? classTable(answer) : scoreTable(against));
}

export function hideAgreement() {
  element("agreement").hidden = true;
  show("agreement-words", "");
}

function reference({ name, version }) {
  return `${name}@${version}`;
}

function isComparable(model, other) {
  return other !== model && other.classes.join("\n") === model.classes.join("\n");
}

function sentence({ agreement, chance }, label) {
  const found = agreement.filter((one) => known(one?.pearson)).map((one) => one.pearson);
  if (!found.length) return "A map shows nothing, so there is nothing to compare.";
  const least = Math.min(...found);
  const most = Math.max(...found);
  const value = found.length > 1 ? `${number(least)} to ${number(most)}` : number(least);
  const isChance = known(chance.pearson) && most <= chance.pearson;
  const end = isChance ? " This is no more than chance." : "";
  return `Agreement with the ${label}: ${value}; ${chanceWords(chance)}${end}`;
}

function chanceWords({ pearson }) {
  return known(pearson)
    ? `two maps of different images reach ${number(pearson)}.`
    : "what two maps of different images reach was not measured.";
}

function scoreTable({ agreement: [found], chance }) {
  const rows = Object.entries(SCORES).map(([name, title]) => [title, found[name], chance[name]]);
  return table(["Score", "these maps", "chance"], rows);
}

function classTable({ maps, against: { agreement, chance } }) {
  const rows = maps.map((map, place) => [map.class, agreement[place]?.pearson, chance.pearson]);
  return table(["Class", "correlation", "chance"], rows);
}

/** Return a table, without its last column (chance) where nothing of that is known. */
function table(head, rows) {
  if (!rows.some((row) => known(row.at(-1))))
    return table(head.slice(0, -1), rows.map((row) => row.slice(0, -1)));
  const cells = (row) => row.slice(1).map((value) => make("td", {}, number(value)));
  return make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
    make(
      "tbody",
      {},
      ...rows.map((row) => make("tr", {}, make("th", { scope: "row" }, row[0]), ...cells(row))),
    ),
  );
}

function known(value) {
  return value !== null && value !== undefined;
}

function number(value) {
  return known(value) ? value.toFixed(2).replace(/^-(0\.00)$/, "$1") : "-";
}
