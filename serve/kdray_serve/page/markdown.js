// A small subset of Markdown as elements. Text stays text: nothing in it becomes markup.

import { make } from "./dom.js";

const RULES = [
  [/^```/, code],
  [/^#{1,6} /, heading],
  [/^\|/, table],
  [/^>/, quote],
  [/^\s*([-*+]|\d+[.)]) /, list],
];
const INLINE = /`([^`]+)`|\*\*(.+?)\*\*|\*([^*\s][^*]*)\*|(!?)\[([^\]]*)\]\(([^)\s]*)\)/;

/** Return a document fragment; the highest heading has the level `top`. */
export function markdown(text, top = 3) {
  const lines = text.split(/\r?\n/);
  const fragment = document.createDocumentFragment();
  while (lines.length) {
    if (!lines[0].trim()) {
      lines.shift();
      continue;
    }
    const rule = RULES.find(([pattern]) => pattern.test(lines[0]));
    fragment.append((rule?.[1] ?? paragraph)(lines, top));
  }
  return fragment;
}

/** Take the lines from the front that `isMine` accepts. */
function take(lines, isMine) {
  const end = lines.findIndex((line, place) => !isMine(line, place));
  return lines.splice(0, end < 0 ? lines.length : end);
}

function heading(lines, top) {
  const [, marks, text] = /^(#+) +(.*?)#*\s*$/.exec(lines.shift());
  return make(`h${Math.min(marks.length + top - 1, 6)}`, {}, ...inline(text));
}

function code(lines) {
  lines.shift();
  const content = take(lines, (line) => !line.startsWith("```"));
  lines.shift();
  return make("pre", { tabindex: "0" }, make("code", {}, content.join("\n")));
}

function quote(lines, top) {
  const content = take(lines, (line) => line.startsWith(">")).map((line) => line.replace(/^> ?/, ""));
  return make("blockquote", {}, markdown(content.join("\n"), top + 1));
}

function list(lines) {
  const isItem = (line) => RULES[4][0].test(line);
  const isOrdered = /^\s*\d/.test(lines[0]);
  const items = [];
  for (const line of take(lines, (line) => isItem(line) || /^\s+\S/.test(line))) {
    if (isItem(line)) items.push(line.replace(RULES[4][0], ""));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return make(isOrdered ? "ol" : "ul", {}, ...items.map((text) => make("li", {}, ...inline(text))));
}

function table(lines) {
  const rows = take(lines, (line) => line.startsWith("|")).map(cells);
  const isRule = (row) => row.every((cell) => /^:?-+:?$/.test(cell));
  const hasHead = rows.length > 1 && isRule(rows[1]) && rows[0].some((cell) => cell);
  const body = rows.filter((row, place) => !isRule(row) && (place > 0 || !(hasHead || isRule(rows[1] ?? [""]))));
  const node = make("table", {});
  if (hasHead)
    node.append(make("thead", {}, make("tr", {}, ...rows[0].map((cell) => make("th", { scope: "col" }, ...inline(cell))))));
  const rowOf = ([first, ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, ...inline(first)), ...rest.map((cell) => make("td", {}, ...inline(cell))));
  node.append(make("tbody", {}, ...body.map(rowOf)));
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table" }, node);
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function paragraph(lines) {
  const isMine = (line, place) =>
    place === 0 || (line.trim() && !RULES.some(([pattern]) => pattern.test(line)));
  return make("p", {}, ...inline(take(lines, isMine).join(" ")));
}

function inline(text) {
  const found = INLINE.exec(text);
  if (!found) return text ? [text] : [];
  const [whole, literal, strong, emphasis, mark, label, address] = found;
  const before = text.slice(0, found.index);
  const rest = inline(text.slice(found.index + whole.length));
  return [...(before ? [before] : []), styled({ literal, strong, emphasis, mark, label, address }), ...rest];
}

function styled({ literal, strong, emphasis, mark, label, address }) {
  if (literal !== undefined) return make("code", {}, literal);
  if (strong !== undefined) return make("strong", {}, ...inline(strong));
  if (emphasis !== undefined) return make("em", {}, ...inline(emphasis));
  // Only the web, and never by itself: pictures of elsewhere stay their names.
  if (mark || !/^https?:\/\//.test(address)) return label;
  return make("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, label || address);
}
