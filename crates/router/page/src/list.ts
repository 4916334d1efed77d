// Rows of which only those in sight are elements, however many there are. A row that is open is as high as it needs.

import { h, type Child } from "./dom";
import { SHORT, SEVERITIES, line, moment, severityOf } from "./show";
import { isTree, own, parse, text, type Tree } from "./json";
import { visible } from "./visible";

const HEIGHT = 24;
/** Rows beyond the edges that are there already when somebody scrolls. */
const SPARE = 10;
/** What browsers can still scroll; more rows than fit share the way. */
const HIGHEST = 12_000_000;

/** A message in a list. Read when it is first looked at: most of what rushes by never is. */
export class Item {
    private tree: Tree | null = null;
    constructor(readonly key: string, private readonly source: string | Tree) {}

    get message(): Tree {
        this.tree ??= typeof this.source === "string" ? read(this.source) : this.source;
        return this.tree;
    }

    get at(): string {
        return text(own(this.message, "timestamp"));
    }
}

function read(source: string): Tree {
    try {
        const value = parse(source);
        return isTree(value) ? value : { payload: value };
    } catch {
        return { payload: source };
    }
}

/** Where rows come from. */
export interface Rows {
    length(): number;
    /** Undefined: it is not here, but on its way. */
    at(index: number): Item | undefined;
    /** These are in sight. */
    seen(first: number, last: number): void;
}

interface Open {
    key: string;
    index: number;
    extra: number;
}

export interface List {
    element: HTMLElement;
    /** Draws in the next frame. */
    draw(): void;
    /** Everything is another one now. */
    reset(): void;
    /** So many rows came in at the top. */
    shifted(by: number): void;
    /** Times are written in another way now. */
    redraw(): void;
    /** These words are marked in what is seen, from the next time it is drawn. */
    mark(words: readonly string[]): void;
    move(by: number): void;
    toggle(): void;
    top(): void;
    atTop(): boolean;
    active(): Item | undefined;
    close(): boolean;
}

export function list(rows: Rows, detail: (item: Item) => HTMLElement, touched: () => void, signal: AbortSignal): List {
    const canvas = h("div", { class: "canvas", role: "feed", "aria-label": "Messages", "data-test": "rows" });
    const element = h("div", { class: "list", tabindex: 0, role: "region", "aria-label": "Messages", "data-test": "list" }, canvas);
    const drawn = new Map<Item, HTMLElement>();
    let opened: Open[] = [];
    let active = -1;
    let activeKey = "";
    let frame = 0;
    let marked: readonly string[] = [];

    const sizes = new ResizeObserver((entries) => {
        for (const { target } of entries) {
            const open = opened.find((one) => one.key === (target as HTMLElement).dataset["key"]);
            const height = (target as HTMLElement).offsetHeight;
            if (open && height && open.extra !== height) {
                open.extra = height;
                draw();
            }
        }
    });
    const edges = new ResizeObserver(() => draw());
    edges.observe(element);
    signal.addEventListener("abort", () => {
        sizes.disconnect();
        edges.disconnect();
        cancelAnimationFrame(frame);
        highlight([], []);
    });

    const offset = (index: number): number =>
        index * HEIGHT + opened.reduce((sum, open) => sum + (open.index < index ? open.extra : 0), 0);
    const indexAt = (y: number): number => {
        let passed = 0;
        for (const open of opened) {
            const bottom = (open.index + 1) * HEIGHT + passed;
            if (y < bottom) break;
            if (y < bottom + open.extra) return open.index;
            passed += open.extra;
        }
        return Math.floor((y - passed) / HEIGHT);
    };
    const full = (): number => offset(rows.length());
    /** How far one scrolls in rows for a pixel on the bar. */
    const ratio = (): number => {
        const [all, sight] = [full(), element.clientHeight];
        return all > HIGHEST ? (all - sight) / (HIGHEST - sight) : 1;
    };

    function row(item: Item): HTMLElement {
        const { message } = item;
        const severity = severityOf(message);
        const payload = visible(line(message), 600);
        const made = h(
            "article",
            { class: `message s${severity}`, tabindex: -1, "data-test": "row", "data-key": item.key },
            h("div", { class: "line" },
                h("time", { class: "time", datetime: item.at, title: item.at }, clockOf(item.at)),
                h("abbr", { class: "sev", title: SEVERITIES[severity] }, SHORT[severity]),
                h("span", { class: "logger" }, visible(text(own(message, "logger")), 80)),
                h("span", { class: "type" }, visible(text(own(message, "type")), 40)),
                h("span", { class: "payload" }, payload, h("span", { class: "fields" }, fieldsOf(message))),
            ),
        );
        return made;
    }

    function place(made: HTMLElement, item: Item, index: number, y: number): void {
        made.style.transform = `translateY(${y}px)`;
        made.setAttribute("aria-posinset", String(index + 1));
        made.setAttribute("aria-setsize", "-1");
        const isActive = index === active;
        if (isActive !== made.classList.contains("active")) made.classList.toggle("active", isActive);
        const open = opened.some((one) => one.key === item.key);
        const there = made.querySelector<HTMLElement>(".detail");
        made.setAttribute("aria-expanded", String(open));
        if (open && !there) {
            const panel = detail(item);
            panel.classList.add("detail");
            panel.dataset["key"] = item.key;
            made.append(panel);
            sizes.observe(panel);
        } else if (!open && there) {
            sizes.unobserve(there);
            there.remove();
        }
        made.dataset["index"] = String(index);
    }

    function now(): void {
        frame = 0;
        if (signal.aborted) return;
        const [all, sight] = [full(), element.clientHeight];
        canvas.style.height = `${Math.min(all, HIGHEST)}px`;
        const stretch = ratio();
        const top = element.scrollTop * stretch;
        const first = Math.max(0, indexAt(top) - SPARE);
        const last = Math.min(rows.length() - 1, indexAt(top + sight) + SPARE);
        const shown = new Set<Item>();
        for (let index = first; index <= last; index += 1) {
            const item = rows.at(index);
            if (!item) continue;
            shown.add(item);
            let made = drawn.get(item);
            if (!made) {
                made = row(item);
                drawn.set(item, made);
                canvas.append(made);
            }
            place(made, item, index, stretch === 1 ? offset(index) : element.scrollTop + offset(index) - top);
        }
        for (const [item, made] of drawn) {
            if (shown.has(item)) continue;
            const panel = made.querySelector(".detail");
            if (panel) sizes.unobserve(panel);
            made.remove();
            drawn.delete(item);
        }
        highlight(drawn.values(), marked);
        rows.seen(first, last);
    }

    function draw(): void {
        frame ||= requestAnimationFrame(now);
    }

    function choose(index: number): void {
        active = index;
        activeKey = rows.at(index)?.key ?? "";
        // In rows, of which a million are higher than what can be scrolled.
        const [y, stretch, sight] = [offset(index), ratio(), element.clientHeight];
        const top = element.scrollTop * stretch;
        if (y < top) element.scrollTop = y / stretch;
        else if (y + HEIGHT * 2 > top + sight) element.scrollTop = (y + HEIGHT * 2 - sight) / stretch;
        touched();
        cancelAnimationFrame(frame);
        now();
        const item = rows.at(index);
        if (item) drawn.get(item)?.focus({ preventScroll: true });
    }

    function flip(index: number): void {
        const item = rows.at(index);
        if (!item) return;
        const without = opened.filter((open) => open.key !== item.key);
        opened = without.length < opened.length ? without : [...opened, { key: item.key, index, extra: 0 }].sort((a, b) => a.index - b.index);
        touched();
        draw();
    }

    element.addEventListener("scroll", () => draw(), { passive: true });
    canvas.addEventListener("click", (event) => {
        const target = event.target as Element;
        const made = target.closest<HTMLElement>("article");
        // Text that somebody marks is not a click.
        if (!made || !target.closest(".line") || getSelection()?.type === "Range") return;
        active = Number(made.dataset["index"]);
        activeKey = made.dataset["key"] ?? "";
        flip(active);
    });

    return {
        element,
        draw,
        reset() {
            opened = [];
            active = -1;
            element.scrollTop = 0;
            draw();
        },
        shifted(by) {
            for (const open of opened) open.index += by;
            opened = opened.filter((open) => open.index < rows.length());
            if (active >= 0) active += by;
            if (active >= rows.length()) active = -1;
        },
        redraw() {
            for (const made of drawn.values()) made.remove();
            drawn.clear();
            draw();
        },
        mark(words) {
            marked = words;
        },
        move(by) {
            if (rows.length() === 0) return;
            // The row itself may have moved.
            const start = active < 0 ? (by > 0 ? indexAt(element.scrollTop * ratio()) - 1 : 0) : active;
            choose(Math.min(rows.length() - 1, Math.max(0, start + by)));
        },
        toggle() {
            if (active >= 0) flip(active);
        },
        top() {
            element.scrollTop = 0;
            draw();
        },
        atTop: () => element.scrollTop < 4,
        active: () => {
            const item = active >= 0 ? rows.at(active) : undefined;
            return item?.key === activeKey ? item : undefined;
        },
        close() {
            if (!opened.length && active < 0) return false;
            opened = [];
            active = -1;
            draw();
            return true;
        },
    };
}

/** Marks words without touching the elements: what is marked is no markup. */
function highlight(drawn: Iterable<HTMLElement>, words: readonly string[]): void {
    // Where a browser does not have it, nothing is marked.
    if (!("highlights" in CSS)) return;
    const ranges: Range[] = [];
    for (const made of words.length ? drawn : []) {
        const said = made.querySelector(".payload")?.firstChild;
        if (!(said instanceof Text)) continue;
        const lower = said.data.toLowerCase();
        // Some letters are more than one when they are small.
        if (lower.length !== said.length) continue;
        for (const word of words) {
            for (let at = lower.indexOf(word); at >= 0; at = lower.indexOf(word, at + word.length)) {
                const range = new Range();
                range.setStart(said, at);
                range.setEnd(said, at + word.length);
                ranges.push(range);
            }
        }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
}

/** A moment in parts: a phone has room for the middle one. */
function clockOf(at: string): Child[] {
    const said = moment(at);
    const [, day, time, rest] = /^(\S+ )(\d\d:\d\d:\d\d)(\.\S+)$/.exec(said) ?? [];
    return day === undefined ? [said] : [h("span", { class: "wide" }, day), time, h("span", { class: "wide" }, rest)];
}

/** Fields in a line, as much as it can hold. */
function fieldsOf(message: Tree): string {
    const fields = own(message, "fields");
    if (!isTree(fields)) return "";
    let said = "";
    for (const [name, value] of Object.entries(fields)) {
        said += ` ${name}=${text(value).slice(0, 80)}`;
        if (said.length > 300) break;
    }
    return visible(said, 300);
}
