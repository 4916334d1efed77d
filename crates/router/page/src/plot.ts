// One measure over time, large: a counter as its rate, a timer as what half, nine in ten and ninety-nine in a hundred
// took at most.

import * as chart from "./chart";
import { fill, h, say, set, svg } from "./dom";
import { perSecond, span, whole } from "./format";
import { type Amount, type Counted, type Kind, type Measure, type Reach, course, keyOf } from "./measures";
import { type Table, table } from "./table";
import { clockNow, moment, tick } from "./show";

const [LEFT, RIGHT, TOP, BOTTOM, HEIGHT] = [64, 8, 8, 22, 230] as const;

/** Percentiles, each with a line of its own kind: colours alone do not tell them apart. */
export const PARTS = [["p50", "half"], ["p90", "9 in 10"], ["p99", "99 in 100"]] as const;

export interface Plotted {
    measure: Measure;
    counted: Counted;
}

export interface Plot {
    element: HTMLElement;
    show(plotted: Plotted | null): void;
}

interface Line {
    start: number;
    amount: Amount | null;
}

/** `messages` leads to the messages of a slot. */
export function plot(messages: (measure: Measure, since: number, until: number) => string, signal: AbortSignal): Plot {
    let shown: Plotted | null = null;
    let at: number | null = null;
    const title = h("h2", { "data-test": "metric-title" });
    const legend = h("p", { class: "marks", "aria-hidden": "true" });
    const picture = svg("svg", { class: "course", role: "img", "data-test": "plot" });
    const frame = h("div", { class: "plot-frame", tabindex: 0, role: "group", "aria-label": "Course. Left and right go through time.", "data-test": "plot-frame" }, picture);
    const readout = h("p", { class: "readout mono", role: "status", "data-test": "readout" });
    const numbers = h("details", { "data-test": "plot-table" }, h("summary", {}, "As a table"));
    const element = h("section", { class: "card metric", "aria-label": "Course of the chosen metric", "data-test": "metric", hidden: true },
        h("div", { class: "row" }, title, h("span", { class: "grow" }), legend), frame, readout, numbers);
    const tables: Record<Kind, Table<Line>> = { timer: timerTable(), counter: counterTable() };

    const width = (): number => Math.max(frame.clientWidth, 240) - LEFT - RIGHT;
    const lines = ({ measure, counted }: Plotted): Line[] =>
        counted.reach.starts.map((start, at) => ({ start, amount: measure.course[at] ?? null }));
    const slot = (): Line | null => (shown && at !== null ? lines(shown)[at] ?? null : null);
    const draw = (): void => {
        if (!shown || signal.aborted) return;
        const inner = { width: width(), height: HEIGHT - TOP - BOTTOM };
        set(picture, { viewBox: `0 0 ${inner.width + LEFT + RIGHT} ${HEIGHT}`, height: HEIGHT, width: inner.width + LEFT + RIGHT });
        const { drawn, top, label } = lined(shown, inner.width, inner.height);
        const plane = svg("g", { transform: `translate(${LEFT} ${TOP})` }, axes(shown.counted.reach, top, shown.measure.kind, inner), drawn);
        if (at !== null) {
            const x = ((at + 0.5) * inner.width) / shown.counted.reach.starts.length;
            plane.append(svg("line", { class: "cursor", x1: x, x2: x, y1: 0, y2: inner.height }));
        }
        fill(picture, plane);
        set(picture, { "aria-label": label });
        tell();
    };
    const tell = (): void => {
        const here = slot();
        if (!shown || !here) {
            fill(readout, shown ? `In all this time: ${summary(shown.measure.kind, shown.measure)}` : "");
            return;
        }
        const { measure, counted: { reach } } = shown;
        const until = here.start + reach.width;
        // As fine as slots are, not as their course is.
        const scale = reach.width * 10;
        const text = `${tick(here.start, scale)} – ${tick(until, scale)}: ${here.amount ? summary(measure.kind, here.amount) : "nothing"}`;
        if (readout.firstChild?.textContent === text) return;
        fill(readout, text, here.amount && [" ", h("a", { href: messages(measure, here.start, until), "data-test": "slot-messages" }, "messages")]);
    };
    const move = (to: number | null): void => {
        const last = (shown?.counted.reach.starts.length ?? 0) - 1;
        at = to === null ? null : Math.min(Math.max(to, 0), last);
        draw();
    };
    const pointed = (event: PointerEvent): number => {
        const part = (event.clientX - frame.getBoundingClientRect().left - LEFT) / width();
        return Math.floor(part * (shown?.counted.reach.starts.length ?? 0));
    };
    frame.addEventListener("pointermove", (event) => move(pointed(event)));
    frame.addEventListener("keydown", (event) => {
        const last = (shown?.counted.reach.starts.length ?? 0) - 1;
        const to = { ArrowLeft: (at ?? last + 1) - 1, ArrowRight: (at ?? last - 1) + 1, Home: 0, End: last }[event.key];
        if (to !== undefined) move(to);
        else if (event.key === "Enter" && slot()?.amount) readout.querySelector("a")?.click();
        else return;
        event.preventDefault();
    });
    const size = new ResizeObserver(draw);
    size.observe(frame);
    signal.addEventListener("abort", () => size.disconnect());

    const show = (plotted: Plotted | null): void => {
        const same = plotted && shown && keyOf(plotted.measure) === keyOf(shown.measure) && plotted.counted.reach.width === shown.counted.reach.width;
        if (!same) at = null;
        shown = plotted;
        element.hidden = plotted === null;
        if (!plotted) return;
        const { measure } = plotted;
        say(title, `${measure.name || "(no name)"}${measure.logger ? ` · ${measure.logger}` : ""}`);
        fill(legend, measure.kind === "timer" ? PARTS.map(([part, says]) => [mark(part), `${part}: ${says} took no longer `]) : [mark("rate"), "in a second"]);
        const own = tables[measure.kind];
        own.show(lines(plotted));
        if (numbers.lastElementChild !== own.element) fill(numbers, h("summary", {}, "As a table"), own.element);
        draw();
    };
    return { element, show };
}

function mark(part: string): Node {
    return svg("svg", { class: "marking", width: 26, height: 8 }, svg("line", { class: `trace ${part}`, x1: 1, x2: 25, y1: 4, y2: 4 }));
}

/** What there was, in a line. */
function summary(kind: Kind, amount: Amount): string {
    if (kind === "counter") return `${perSecond(amount.rate)}, ${whole(amount.total)} altogether`;
    const parts = PARTS.map(([part]) => `${part} ${span(amount[part])}`);
    return `${parts.join(", ")}, most ${span(amount.max)}, ${whole(amount.total)} times`;
}

function lined({ measure, counted }: Plotted, width: number, height: number): { drawn: Node[]; top: number; label: string } {
    const values = (value: (amount: Amount) => number): (number | null)[] => course(measure, counted.known, value);
    if (measure.kind === "counter") {
        const rates = values(({ rate }) => rate);
        const top = chart.ceiling(chart.greatest(rates));
        const points = chart.points(rates, width, height, top);
        const floor = points.map((point) => point && { x: point.x, y: height });
        const drawn = [svg("path", { class: "area", d: chart.band(floor, points) }), svg("path", { class: "trace rate", d: chart.line(points) })];
        return { drawn, top, label: `${measure.name}: up to ${perSecond(chart.greatest(rates))}` };
    }
    const top = chart.ceiling(chart.greatest(values(({ p99 }) => p99)));
    const [p50, p90, p99] = PARTS.map(([part]) => chart.points(values((amount) => amount[part]), width, height, top));
    const drawn = [
        svg("path", { class: "band outer", d: chart.band(p90 ?? [], p99 ?? []) }),
        svg("path", { class: "band inner", d: chart.band(p50 ?? [], p90 ?? []) }),
        ...[p50, p90, p99].map((points, at) => svg("path", { class: `trace ${PARTS[at]?.[0]}`, d: chart.line(points ?? []) })),
    ];
    return { drawn, top, label: `${measure.name}: ${summary(measure.kind, measure)}` };
}

function axes(reach: Reach, top: number, kind: Kind, { width, height }: { width: number; height: number }): Node {
    const scale = reach.width * reach.starts.length;
    const first = reach.starts[0] ?? 0;
    const zone = clockNow() === "utc" ? 0 : new Date(first).getTimezoneOffset();
    const x = (moment: number): number => ((moment - first) / scale) * width;
    return svg("g", { class: "axes" },
        [0, 0.5, 1].map((part) => [
            svg("line", { x1: 0, x2: width, y1: height * (1 - part), y2: height * (1 - part) }),
            svg("text", { x: -6, y: height * (1 - part) + 4, "text-anchor": "end" }, part === 0 ? "0" : kind === "timer" ? span(top * part) : perSecond(top * part)),
        ]),
        chart.moments(first, first + scale, Math.max(2, Math.floor(width / 110)), zone).map((at) => [
            svg("line", { class: "tick", x1: x(at), x2: x(at), y1: height, y2: height + 4 }),
            x(at) > 14 && x(at) < width - 14 && svg("text", { x: x(at), y: height + 17, "text-anchor": "middle" }, tick(at, scale)),
        ]),
    );
}

const when = { title: "From", cell: ({ start }: Line) => moment(new Date(start).toISOString()).replace(/\.000/, "") };
const of = (tell: (amount: Amount) => string) => ({ amount }: Line): string => (amount ? tell(amount) : "–");

function timerTable(): Table<Line> {
    const parts = PARTS.map(([part]) => ({ title: part, cell: of((amount) => span(amount[part])), number: true }));
    const rest = [{ title: "Most", cell: of(({ max }) => span(max)), number: true }, { title: "Times", cell: of(({ total }) => whole(total)), number: true }];
    return table<Line>("Course as a table", [when, ...parts, ...rest], ({ start }) => String(start), "Nothing.");
}

function counterTable(): Table<Line> {
    const columns = [
        when, { title: "In a second", cell: of(({ rate }) => perSecond(rate)), number: true },
        { title: "Altogether", cell: of(({ total }) => whole(total)), number: true },
    ];
    return table<Line>("Course as a table", columns, ({ start }) => String(start), "Nothing.");
}
