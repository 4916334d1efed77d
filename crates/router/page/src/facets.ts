// Which values there are, and how often: each is a filter.

import type { Filter } from "./detail";
import { fill, h } from "./dom";
import { type Facet } from "./histogram";
import { own, isTree, type Tree } from "./json";
import { pathOf, term } from "./query";
import { SEVERITIES, count } from "./show";
import { visible } from "./visible";

/** Fields beside the envelope's own. */
const MOST = 8;
/** Values of each that are shown. */
export const TOP = 8;
const ALWAYS = ["severity", "type", "logger", "metlog_hostname"];

/** The paths to count: the envelope's, and those fields that the found messages have most often. */
export function pathsOf(messages: readonly Tree[]): string[] {
    const found = new Map<string, number>();
    for (const message of messages) {
        const fields = own(message, "fields");
        if (!isTree(fields)) continue;
        for (const [name, value] of Object.entries(fields)) {
            // What differs from message to message is nothing to choose from.
            const plain = typeof value === "string" ? value.length <= 64 : typeof value === "number" || typeof value === "boolean";
            if (plain && /^[\p{L}\p{N}_-]+$/u.test(name) && name !== "trace_id" && name !== "id") found.set(name, (found.get(name) ?? 0) + 1);
        }
    }
    const fields = [...found].sort((a, b) => b[1] - a[1]).slice(0, MOST);
    return [...ALWAYS, ...fields.map(([name]) => `fields.${name}`)];
}

function bar(facet: Facet, value: string, number: number, most: number, filter: Filter): HTMLElement {
    const name = facet.path === "severity" ? (SEVERITIES[Number(value)] ?? value) : value;
    const path = pathOf(facet.path.split("."));
    const condition = path === null ? null : facet.path === "severity" ? `severity:${name}` : term(path, value);
    const label = h("span", { class: "name" }, name === "" ? '""' : visible(name, 80));
    const fillUp = h("span", { class: facet.path === "severity" ? `part s${value}` : "part", style: { width: `${(number / most) * 100}%` } });
    if (!condition) return h("li", {}, fillUp, label, h("span", { class: "number" }, count(number)));
    return h("li", {},
        h("button", { class: "bare take", title: `Only ${condition}`, "data-test": "facet-value", onclick: () => filter(condition, false) },
            fillUp, label, h("span", { class: "number" }, count(number))),
        h("button", { class: "bare", title: `Without ${condition}`, "aria-label": `Without ${condition}`, "data-test": "facet-out",
            onclick: () => filter(condition, true) }, "−"),
    );
}

export function showFacets(place: Element, facets: readonly Facet[], filter: Filter): void {
    // Two kinds of nothing to choose from: nobody has it, or everybody has another one.
    const useful = facets.filter((facet) => facet.values.length > 0 && !(facet.distinct > 50 && (facet.values[0]?.count ?? 0) <= 1));
    fill(place, useful.map((facet) => {
        const most = Math.max(1, ...facet.values.map(({ count }) => count));
        const name = facet.path.replace(/^fields\./, "");
        return h("section", { class: "facet", "aria-label": name, "data-test": "facet", "data-path": facet.path },
            h("h3", {}, name, " ", h("span", { class: "quiet" }, facet.bounded ? "many" : count(facet.distinct))),
            h("ul", {}, facet.values.map(({ value, count }) => bar(facet, value, count, most, filter))),
            facet.other > 0 && h("p", { class: "quiet rest" }, `${count(facet.other)} others`),
        );
    }));
}
