// Whether a model's explanations by a method passed the sanity check, and what that means.

import { element } from "./dom.js";
import { methodName, same } from "./names.js";

const VERDICTS = {
  passed: [
    "passed",
    "these maps change when the weights are made random, so they depend on what the model learned.",
  ],
  failed: [
    "failed",
    "these maps hardly change when the weights are made random, so they say little about what the " +
      "model learned.",
  ],
  unknown: ["not checked", "whether these maps depend on what the model learned is not known."],
};

/** Show the verdict for a method; `scores` are the details' `explanation_scores`, or null. */
export function showVerdict(scores, method) {
  const row = (scores?.sanity ?? []).find((one) => same(one.method, method.name));
  const kind = row?.verdict in VERDICTS ? row.verdict : "unknown";
  const [verdict, meaning] = VERDICTS[kind];
  element("verdict").className = `verdict ${kind}`;
  element("verdict-name").textContent = `Sanity check of ${methodName(method)}: ${verdict}`;
  element("verdict-meaning").textContent = `${meaning[0].toUpperCase()}${meaning.slice(1)}`;
  element("verdict").hidden = false;
}
