// What Live and Search have in common: the box, the stretch of time, the way times are written.

import { h, set } from "./dom";
import type { Box } from "./box";
import { RANGES, type Range, rangeName } from "./query";
import { clockNow, setClock, tick, type Clock } from "./show";

export interface RangeMenu {
    element: HTMLSelectElement;
    put(range: Range): void;
}

const CHOOSE = "choose…";

function shownRange(range: Range): string {
    if (rangeName(range) !== "chosen time") return rangeName(range);
    const [from, until] = [Date.parse(range.since), Date.parse(range.until)];
    const scale = Number.isNaN(from) || Number.isNaN(until) ? 864e5 : Math.min(until - from, 5e5);
    const said = (at: number, raw: string): string => (Number.isNaN(at) ? raw : `${new Date(at).toISOString().slice(5, 10)} ${tick(at, scale)}`);
    return `${range.since ? said(from, range.since) : "…"} – ${range.until ? said(until, range.until) : "now"}`;
}

/** A menu of stretches of time; the last entry asks for two moments. */
export function rangeMenu(chosen: (range: Range) => void): RangeMenu {
    let now: Range = { since: "", until: "" };
    const element = h("select", { "aria-label": "Time range", title: "Time range (t)", "data-test": "range" });
    element.addEventListener("change", () => {
        if (element.value === CHOOSE) {
            put(now);
            choose(now, chosen);
        } else {
            chosen({ since: element.value, until: "" });
        }
    });
    function put(range: Range): void {
        now = range;
        const own = rangeName(range) === "chosen time";
        element.replaceChildren(
            ...RANGES.map(([since, name]) => h("option", { value: since }, name)),
            ...(own ? [h("option", { value: "own" }, shownRange(range))] : []),
            h("option", { value: CHOOSE }, CHOOSE),
        );
        element.value = own ? "own" : range.since;
    }
    return { element, put };
}

/** Asks for two moments, in the time that is shown everywhere else. */
function choose(now: Range, chosen: (range: Range) => void): void {
    const utc = clockNow() === "utc";
    const shift = (ms: number): number => (utc ? 0 : new Date(ms).getTimezoneOffset() * 60_000);
    const local = (at: string, otherwise: number): string => {
        const ms = Number.isNaN(Date.parse(at)) ? otherwise : Date.parse(at);
        return new Date(ms - shift(ms)).toISOString().slice(0, 19);
    };
    const moment = (said: string): string => {
        const ms = Date.parse(`${said}Z`);
        return Number.isNaN(ms) ? "" : new Date(ms + shift(ms)).toISOString();
    };
    const field = (value: string, label: string): HTMLInputElement =>
        h("input", { type: "datetime-local", step: 1, value, "aria-label": label, "data-test": `range-${label.toLowerCase()}` });
    const from = field(local(now.since, Date.now() - 36e5), "From");
    const until = field(local(now.until, Date.now()), "Until");
    const box = h("dialog", { class: "dialog", "aria-label": "Time range", "data-test": "range-dialog" },
        h("form", { onsubmit: (event: Event) => {
            event.preventDefault();
            box.close();
            chosen({ since: moment(from.value), until: moment(until.value) });
        } },
            h("h2", {}, `Time range, ${utc ? "UTC" : "local time"}`),
            h("label", {}, "From", from), h("label", {}, "Until; empty: now", until),
            h("p", { class: "buttons" },
                h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
                h("button", { type: "submit", class: "main" }, "Show"),
            ),
        ),
    );
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
}

/** How times are written. */
export function clockMenu(changed: () => void): HTMLSelectElement {
    const names: readonly (readonly [Clock, string])[] = [["local", "local time"], ["utc", "UTC"], ["relative", "ago"]];
    const menu = h("select", { "aria-label": "How times are written", "data-test": "clock" }, names.map(([value, name]) => h("option", { value }, name)));
    menu.value = clockNow();
    menu.addEventListener("change", () => {
        setClock(menu.value);
        changed();
    });
    return menu;
}

/** The line with the box in it. */
export function toolbar(box: Box, ...others: (Node | string)[]): HTMLElement {
    const bar = h("div", { class: "ask", role: "search" }, box.element, h("div", { class: "row" }, ...others));
    set(bar, { "data-test": "toolbar" });
    return bar;
}
