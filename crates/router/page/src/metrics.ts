// Metrics: counters as rates and timers as percentiles, by name and logger, over time.

import { Lost, Refused } from "./api";
import * as chart from "./chart";
import { fill, h, say, set, svg } from "./dom";
import { perSecond, plural, short, span } from "./format";
import { type Amount, type Counted, type Kind, type Measure, REACHES, count, course, keyOf, reach } from "./measures";
import { PARTS, plot } from "./plot";
import { check, moved, term } from "./query";
import { type Context, link } from "./view";
import { visible } from "./visible";

/** Rows that are drawn before somebody asks for more. */
const ROWS = 100;
const SORTS: Readonly<Record<string, (one: Measure, other: Measure) => number>> = {
    busiest: (one, other) => other.total - one.total,
    slowest: (one, other) => other.p99 - one.p99 || other.rate - one.rate,
    name: (one, other) => one.name.localeCompare(other.name) || one.logger.localeCompare(other.logger),
    logger: (one, other) => one.logger.localeCompare(other.logger) || one.name.localeCompare(other.name),
};

export function metrics(context: Context): void {
    const { root, signal } = context;
    root.classList.add("page");
    let [period, query, sort, picked] = ["1h", "", "busiest", ""];
    let counted: Counted | null = null;
    let loading = new AbortController();
    let painting = 0;

    const read = (params: URLSearchParams): void => {
        const known = (name: string, among: object, usual: string): string => {
            const said = params.get(name) ?? usual;
            return Object.hasOwn(among, said) ? said : usual;
        };
        period = known("range", REACHES, "1h");
        sort = known("sort", SORTS, "busiest");
        query = params.get("query") ?? "";
        picked = params.get("pick") ?? "";
        [periods.value, sorts.value, box.value] = [period, sort, query];
    };
    const write = (push = false): void => {
        const all = { range: period, query, sort: sort === "busiest" ? "" : sort, pick: picked };
        context.write(new URLSearchParams(Object.entries(all).filter(([, value]) => value !== "")), push);
    };

    const select = (label: string, test: string, options: [string, string][], change: (value: string) => void): HTMLSelectElement => {
        const element = h("select", { "aria-label": label, "data-test": test, onchange: () => change(element.value) },
            options.map(([value, says]) => h("option", { value }, says)));
        return element;
    };
    const periods = select("Time", "metrics-range", Object.entries(REACHES).map(([name, { says }]) => [name, says]), (value) => {
        period = value;
        write(true);
        anew();
    });
    const sorts = select("Order", "metrics-sort", Object.keys(SORTS).map((name) => [name, name === "name" || name === "logger" ? `by ${name}` : `${name} first`]), (value) => {
        sort = value;
        write();
        paint();
    });
    const box = h("input", { type: "search", class: "grow mono", placeholder: "all of them; or logger:web* name~/db/", "aria-label": "Which timers and counters, as a query", spellcheck: "false", "data-test": "metrics-query" });
    const wrong = h("p", { class: "error", role: "alert", hidden: true, "data-test": "metrics-error" });
    const note = h("p", { class: "quiet", role: "status", "data-test": "metrics-note" });
    const large = plot(messages, signal);
    const pick = (key: string): void => {
        picked = key;
        write();
        paint();
    };
    const lists: Record<Kind, List> = { timer: list("timer", pick), counter: list("counter", pick) };
    const none = h("div", { class: "empty", hidden: true, "data-test": "metrics-none" },
        h("p", {}, "No timers or counters in this time. From a shell, and from Rust:"),
        h("pre", { class: "source" }, `metlog-router send --type counter --logger web --field name=login 1\n\nincr!("login");\nlet _t = timer!("db.query");`));

    root.append(
        h("div", { class: "headline" }, h("h1", {}, "Metrics"), note),
        h("form", { class: "row controls", role: "search", onsubmit: (event: Event) => {
            event.preventDefault();
            query = box.value.trim();
            write(true);
            anew();
        } }, box, periods, sorts, h("button", { type: "submit", "data-test": "metrics-refresh" }, "Refresh")),
        wrong, large.element, none, lists.timer.element, lists.counter.element,
    );

    const rows = (kind: Kind): Measure[] =>
        [...(counted?.measures.values() ?? [])].filter((measure) => measure.kind === kind).sort(SORTS[sort]);
    const paint = (): void => {
        cancelAnimationFrame(painting);
        painting = requestAnimationFrame(() => {
            if (signal.aborted || !counted) return;
            const all = { timer: rows("timer"), counter: rows("counter") };
            none.hidden = all.timer.length + all.counter.length > 0;
            const chosen = counted.measures.get(picked) ?? all.timer[0] ?? all.counter[0];
            for (const kind of ["timer", "counter"] as const) lists[kind].show(all[kind], chosen && keyOf(chosen), counted.known);
            large.show(chosen ? { measure: chosen, counted } : null);
            say(note, remarks(counted));
        });
    };

    /** Another question. What is shown stays until it is answered. */
    const anew = (): void => {
        loading.abort();
        context.run(load());
    };
    const load = async (): Promise<void> => {
        loading.abort();
        loading = new AbortController();
        const mine = AbortSignal.any([signal, loading.signal]);
        const { seconds, slots: many } = REACHES[period] ?? { seconds: 120, slots: 30 };
        const now = Date.now();
        let error = "";
        // What stands before the query when it is asked together with its time.
        let shift = 0;
        try {
            await check(query, mine);
            shift = moved(query, { since: "x", until: "" });
            counted = await count(query, reach(seconds, many, now), now, mine);
            paint();
        } catch (failed) {
            if (mine.aborted || failed instanceof Lost) return;
            if (!(failed instanceof Refused)) throw failed;
            const column = failed.column === undefined ? undefined : failed.column - shift;
            error = column === undefined ? failed.message : `At character ${column}: ${failed.message}`;
        }
        wrong.hidden = error === "";
        say(wrong, error);
    };

    read(context.params);
    context.changed((params) => {
        const before = [period, query].join("\n");
        read(params);
        if (before === [period, query].join("\n")) paint();
        else anew();
    });
    signal.addEventListener("abort", () => cancelAnimationFrame(painting));
    context.key("/", "to the query", () => box.focus());
    context.key(["j", "ArrowDown"], "next metric", () => step(1));
    context.key(["k", "ArrowUp"], "the one before", () => step(-1));
    context.key("t", "another time", () => periods.focus());
    const step = (by: number): void => {
        const all = [...root.querySelectorAll<HTMLElement>("button.metric-name")];
        const at = all.findIndex((button) => button.getAttribute("aria-pressed") === "true");
        const to = all[Math.min(Math.max(at + by, 0), all.length - 1)];
        to?.focus();
        to?.click();
    };
    // As often as there is something new to see, and not so often that a long time is read through again and again.
    let next = 0;
    context.every(1000, async () => {
        if (Date.now() < next) return;
        const seconds = REACHES[period]?.seconds ?? 120;
        next = Date.now() + Math.min(Math.max(seconds / 6, 5), 300) * 1000;
        await load();
    });
    context.healed(() => { next = 0; });
}

/** The messages behind a slot. */
function messages(measure: Measure, since: number, until: number): string {
    const query = `type:${measure.kind} ${term("logger", measure.logger)} ${term("name", measure.name)}`;
    return link("search", { query, since: new Date(since).toISOString(), until: new Date(until).toISOString() });
}

function remarks(counted: Counted): string {
    return [
        counted.partial && "time was up: only the latest messages were counted",
        counted.cut && "too much for one picture: courses show only the latest",
        counted.unnamed > 0 && `${plural(counted.unnamed, "message")} of further names not shown`,
        counted.unreadable > 0 && `${plural(counted.unreadable, "message")} without a number left out`,
    ].filter((text) => text !== false).join("; ");
}

interface List {
    element: HTMLElement;
    /** `known`: the first slot of which something is known. */
    show(measures: Measure[], chosen: string | undefined, known: number): void;
}

interface Line {
    row: HTMLTableRowElement;
    name: HTMLButtonElement;
    cells: HTMLElement[];
    band: SVGPathElement;
    line: SVGPathElement;
}

const COLUMNS: Record<Kind, readonly (readonly [string, (measure: Measure) => string, string?])[]> = {
    timer: [
        ...PARTS.map(([part]) => [part, (measure: Measure) => span(measure[part]), part === "p50" ? "" : "wide"] as const),
        ["Most", ({ max }) => span(max), "wide"],
        ["Times", ({ total }) => short(total)],
    ],
    counter: [["In a second", ({ rate }) => perSecond(rate)], ["Altogether", ({ total }) => short(total)]],
};

const SPARK = { width: 120, height: 24 };

/** All timers, or all counters, each with a small picture of its course. Rows are kept while their numbers change. */
function list(kind: Kind, pick: (key: string) => void): List {
    const rows = new Map<string, Line>();
    let most = ROWS;
    const body = h("tbody");
    const more = h("button", { hidden: true, "data-test": `${kind}s-more` });
    const title = kind === "timer" ? "Timers" : "Counters";
    const heading = h("h2", {}, title);
    const head = h("tr", {}, ["Name", "Logger"].map((text, at) => h("th", { scope: "col", class: at ? "wide" : "" }, text)),
        COLUMNS[kind].map(([text, , wide]) => h("th", { scope: "col", class: `number ${wide ?? ""}` }, text)), h("th", { scope: "col" }, "Course"));
    const element = h("section", { class: "block", hidden: true, "data-test": `${kind}s` }, heading,
        h("div", { class: "table", role: "region", "aria-label": title, tabindex: 0 }, h("table", {}, h("thead", {}, head), body)), more);

    const make = (key: string, measure: Measure): Line => {
        const name = h("button", { class: "bare metric-name", onclick: () => pick(key) }, visible(measure.name, 120) || "(no name)");
        const cells = COLUMNS[kind].map(([, , wide]) => h("td", { class: `number ${wide ?? ""}` }));
        const [band, line] = [svg("path", { class: "band inner" }), svg("path", { class: "trace p50" })];
        const spark = svg("svg", { class: "spark", ...SPARK, viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, "aria-hidden": "true" }, band, line);
        const row = h("tr", { "data-test": `${kind}-row`, "data-name": measure.name, "data-logger": measure.logger },
            h("th", { scope: "row" }, name, h("span", { class: "narrow-only quiet" }, visible(measure.logger, 60))),
            h("td", { class: "wide" }, visible(measure.logger, 60)), cells, h("td", {}, spark));
        return { row, name, cells, band, line };
    };
    const show: List["show"] = (measures, chosen, known) => {
        element.hidden = measures.length === 0;
        say(heading, `${title} (${measures.length})`);
        const some = measures.slice(0, most);
        more.hidden = some.length === measures.length;
        say(more, `Show all ${measures.length}`);
        more.onclick = () => {
            most = Infinity;
            show(measures, chosen, known);
        };
        const wanted = some.map((measure) => {
            const key = keyOf(measure);
            const line = rows.get(key) ?? make(key, measure);
            rows.set(key, line);
            set(line.name, { "aria-pressed": key === chosen ? "true" : "false" });
            COLUMNS[kind].forEach(([, tell], at) => {
                const cell = line.cells[at];
                if (cell) say(cell, tell(measure));
            });
            spark(line, measure, known);
            return line.row;
        });
        const same = wanted.length === body.children.length && wanted.every((row, at) => body.children[at] === row);
        // A focused button that is moved loses its focus.
        const focused = document.activeElement;
        if (!same) fill(body, wanted);
        if (!same && focused instanceof HTMLElement && body.contains(focused)) focused.focus({ preventScroll: true });
    };
    return { element, show };
}

function spark({ band, line }: Line, measure: Measure, known: number): void {
    const { kind } = measure;
    const values = (value: (amount: Amount) => number): (number | null)[] => course(measure, known, value);
    const [low, high] = kind === "timer" ? [values(({ p50 }) => p50), values(({ p90 }) => p90)] : [values(() => 0), values(({ rate }) => rate)];
    const top = chart.greatest(high) || 1;
    const points = (values: (number | null)[]): (chart.Point | null)[] =>
        chart.points(values, SPARK.width, SPARK.height - 3, top).map((point) => point && { x: point.x, y: point.y + 2 });
    set(band, { d: chart.band(points(low), points(high), 1) });
    set(line, { d: chart.line(points(kind === "timer" ? low : high), 1) });
}
