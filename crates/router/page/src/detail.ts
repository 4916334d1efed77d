// A message, opened: its values as a tree, with what can be done with each, and with the whole.

import { get } from "./api";
import { add, fill, h, type Child } from "./dom";
import { Digits, type Json, type Tree, isTree, own, text, write } from "./json";
import type { Item } from "./list";
import { pathOf, quoted, term } from "./query";
import { SEVERITIES, SHORT, line, moment, severityOf } from "./show";
import { toast } from "./toast";
import { link, report } from "./view";
import { shown, visible } from "./visible";

/** Values of one object or list that are shown at once, and characters of one text. */
const MANY = 200;
const LONG = 4000;
/** Levels that are open at once. */
const OPEN = 3;
/** Messages before, and again after, one. */
const AROUND = 10;
/** Messages of one moment among which one is looked for. */
const SAME = 200;

export type Filter = (condition: string, out: boolean) => void;

export async function copy(said: string): Promise<void> {
    try {
        await navigator.clipboard.writeText(said);
    } catch {
        // Not a secure context, such as plain HTTP on another machine.
        const area = h("textarea", { class: "sr", "aria-hidden": "true" });
        area.value = said;
        document.body.append(area);
        area.select();
        const done = document.execCommand("copy");
        area.remove();
        if (!done) return toast("the browser does not let this page copy", "error");
    }
    toast("copied");
}

function plain(value: Json): HTMLElement {
    const said = typeof value === "string" ? value : write(value);
    const kind = value === null ? "null" : value instanceof Digits ? "number" : typeof value;
    const element = h("span", { class: `value ${kind}` });
    if (said.length <= LONG) {
        add(element, said === "" ? '""' : shown(said));
        return element;
    }
    const more = h("button", { onclick: () => fill(element, shown(said)) }, `all ${said.length.toLocaleString("en-US")} characters`);
    add(element, `${shown(said.slice(0, LONG))}… `, more);
    return element;
}

function buttons(steps: readonly string[], value: Json, filter: Filter): Child {
    const path = pathOf(steps);
    const said = text(value);
    if (path === null || said.length > 200) return null;
    const name = steps.join(".");
    const condition = term(path, value);
    return h("span", { class: "acts" },
        h("button", { class: "bare", title: `Only ${condition}`, "aria-label": `Only where ${name} is this`, "data-test": "filter-in",
            onclick: () => filter(condition, false) }, "+"),
        h("button", { class: "bare", title: `Without ${condition}`, "aria-label": `Without those where ${name} is this`, "data-test": "filter-out",
            onclick: () => filter(condition, true) }, "−"),
        steps.at(-1) === "trace_id" && h("a", { href: link("search", { query: `trace:${quoted(said)}`, since: "", order: "oldest" }), "data-test": "trace" }, "whole trace"),
    );
}

function branch(tree: Tree | Json[], steps: readonly string[], filter: Filter): HTMLElement {
    const list = h("ul", { class: "tree" });
    // A query goes on in each item of a list, so an item has its list's path.
    const entries: [string, Json, readonly string[]][] = Array.isArray(tree)
        ? tree.map((value, at) => [String(at), value, steps])
        : Object.entries(tree).map(([name, value]) => [name, value, [...steps, name]]);
    const grow = (from: number): void => {
        for (const [name, value, at] of entries.slice(from, from + MANY)) list.append(leaf(name, value, at, filter));
        if (entries.length > from + MANY) {
            const more = h("li", {}, h("button", { onclick: () => {
                more.remove();
                grow(from + MANY);
            } }, `${entries.length - from - MANY} more`));
            list.append(more);
        }
    };
    grow(0);
    return list;
}

function leaf(name: string, value: Json, steps: readonly string[], filter: Filter): HTMLElement {
    const key = h("span", { class: "key" }, visible(name, 200));
    const nested = Array.isArray(value) || isTree(value);
    if (!nested || Object.keys(value).length === 0) {
        return h("li", {}, key, nested ? h("span", { class: "value null" }, Array.isArray(value) ? "[]" : "{}") : plain(value), nested ? null : buttons(steps, value, filter));
    }
    const inside = h("div", {});
    const size = Array.isArray(value) ? `[${value.length}]` : `{${Object.keys(value).length}}`;
    // What is closed is not made yet: messages may be deep and wide.
    const make = (): void => {
        if (!inside.firstChild) inside.append(branch(value, steps, filter));
    };
    const open = steps.length <= OPEN;
    if (open) make();
    return h("li", {}, h("details", { open, ontoggle: make }, h("summary", {}, key, h("span", { class: "quiet" }, size)), inside));
}

function severityWord(message: Tree): HTMLElement {
    const severity = severityOf(message);
    return h("span", { class: `sev s${severity}` }, `${SHORT[severity]} ${SEVERITIES[severity]}`);
}

/** The messages just before and just after one, whatever they say. */
async function around(item: Item, place: HTMLElement, signal: AbortSignal): Promise<void> {
    type Page = { messages: Tree[]; positions: (number | Digits)[] };
    type Row = readonly [string, Tree];
    const ask = async (query: string, order: string, limit: number): Promise<Row[]> => {
        const page = await get<Page>("/v1/messages", { query, order, limit }, signal);
        return page.messages.map((message, index) => [String(page.positions[index]), message]);
    };
    const [since, before] = await Promise.all([ask(`since:${item.at}`, "oldest", SAME + AROUND), ask(`until:${item.at}`, "newest", AROUND)]);
    // Many may be of the same moment, some of them before it.
    const found = since.findIndex(([key]) => key === item.key);
    const at = found < 0 ? 0 : found;
    const self: Row = [item.key, item.message];
    const later = since.slice(found < 0 ? 0 : at + 1).slice(0, AROUND).reverse();
    const all = [...later, self, ...[...since.slice(0, at).reverse(), ...before].slice(0, AROUND)];
    fill(place, h("ol", { class: "around", "aria-label": "Messages around this one, latest first", "data-test": "around" }, all.map(([key, message]) =>
        h("li", { class: `s${severityOf(message)}`, "aria-current": key === item.key ? "true" : null },
            h("span", { class: "time" }, moment(text(own(message, "timestamp")))), " ",
            h("span", { class: "sev" }, SHORT[severityOf(message)]), " ",
            h("span", { class: "logger" }, visible(text(own(message, "logger")), 60)), " ",
            visible(line(message), 300)),
    )));
}

/** The panel under a row. */
export function detail(item: Item, filter: Filter, signal: AbortSignal): HTMLElement {
    const { message } = item;
    const place = h("div", {});
    const stored = /^\d+$/.test(item.key);
    const fields = own(message, "fields");
    const trace = isTree(fields) ? text(own(fields, "trace_id")) : "";
    const whole = async (): Promise<void> => {
        // As it came, byte by byte, where that is kept.
        const raw = stored ? await get<Json>(`/v1/messages/${item.key}`, {}, signal).catch(() => null) : null;
        await copy(write(raw ?? message, 2));
    };
    const fail = (error: unknown): void => report(error, signal);
    return h("div", { "data-test": "detail" },
        h("p", { class: "row acts-all" },
            severityWord(message),
            h("span", { class: "quiet mono" }, `${moment(item.at, "utc")} · ${moment(item.at, "relative")}`),
            h("span", { class: "grow" }),
            h("button", { "data-test": "copy", onclick: () => void whole().catch(fail) }, "Copy JSON"),
            h("button", { "data-test": "surrounding", onclick: () => void around(item, place, signal).catch(fail) }, "Surrounding"),
            trace && h("a", { href: link("search", { query: `trace:${quoted(trace)}`, since: "", order: "oldest" }) }, "Trace"),
            stored && h("a", { href: link("search", { query: `position:${item.key}`, since: "" }), title: "Only this one: an address to send to somebody" }, "Link"),
            stored && h("a", { href: link("explain", { position: item.key }), "data-test": "explain" }, "Explain"),
        ),
        place,
        branch(message, [], filter),
    );
}
