// Counts over time, stacked by severity, the most severe at the bottom, where they can be compared. What is drawn is one
// answer of the router, and so is the number beside it: they are always the same.

import { ceiling, moments } from "./chart";
import { fill, h, say, set, svg } from "./dom";
import { SEVERITIES, SHORT, clockNow, count, tick } from "./show";

/** What `/v1/messages/tally` says. */
export interface Tally {
    matched: number;
    scanned: number;
    partial: boolean;
    over: { since: string; until: string; bucket_ms: number; series: { name: string; counts: number[] }[]; other: number[] };
    facets: Facet[];
}

export interface Facet {
    path: string;
    values: { value: string; count: number }[];
    other: number;
    missing: number;
    distinct: number;
    bounded: boolean;
}

const HEIGHT = 84;
const AXIS = 16;

export interface Histogram {
    element: HTMLElement;
    show(tally: Tally): void;
    /** Draws again, where times are written in another way now. */
    redraw(): void;
    /** What is drawn is not what was asked for last. */
    stale(is: boolean): void;
}

interface Bar {
    from: number;
    until: number;
    counts: number[];
}

/** `zoom` gets milliseconds; `severity` is a filter that was clicked. */
export function histogram(
    zoom: (from: number, until: number) => void,
    severity: (number: number) => void,
    signal: AbortSignal,
): Histogram {
    const plot = svg("svg", { class: "plot", role: "img", "data-test": "histogram", height: HEIGHT + AXIS });
    const tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    const legend = h("div", { class: "legend", role: "group", "aria-label": "Severities", "data-test": "legend" });
    const element = h("div", { class: "histogram" }, h("div", { class: "plotted" }, plot, tip), legend);
    const buttons = SEVERITIES.map((name, number) =>
        h("button", { class: `bare s${number}`, disabled: true, title: `Only ${name}`, "data-test": `legend-${number}`, onclick: () => severity(number) }),
    );
    legend.append(...buttons);
    let tally: Tally | null = null;
    let bars: Bar[] = [];
    let width = 0;

    function layers(of: Tally): number[][] {
        const empty = of.over.other.map(() => 0);
        return SEVERITIES.map((_, number) => of.over.series.find(({ name }) => Number(name) === number)?.counts ?? empty);
    }

    function redraw(): void {
        if (!tally || width < 40) return;
        const { over } = tally;
        const [since, step] = [Date.parse(over.since), over.bucket_ms];
        const by = layers(tally);
        bars = over.other.map((_, at) => ({
            from: since + at * step,
            until: since + (at + 1) * step,
            counts: by.map((counts) => counts[at] ?? 0),
        }));
        const sums = bars.map(({ counts }) => counts.reduce((sum, one) => sum + one, 0));
        const most = ceiling(Math.max(1, ...sums));
        const wide = width / Math.max(1, bars.length);
        const drawn: SVGElement[] = [svg("line", { class: "grid", x1: 0, x2: width, y1: HEIGHT, y2: HEIGHT })];
        bars.forEach(({ counts }, at) => {
            let y = HEIGHT;
            counts.forEach((number, of) => {
                if (!number) return;
                // A single error among thousands is still to be seen.
                const high = Math.max(1.5, (number / most) * (HEIGHT - 4));
                y -= high;
                drawn.push(svg("rect", { class: `s${of}`, x: at * wide, y, width: Math.max(1, wide - (wide > 4 ? 1 : 0)), height: high }));
            });
        });
        const length = step * bars.length;
        const zone = clockNow() === "utc" ? 0 : new Date(since).getTimezoneOffset();
        for (const at of moments(since, since + length, Math.max(2, Math.floor(width / 110)), zone)) {
            const x = ((at - since) / length) * width;
            drawn.push(svg("line", { class: "grid", x1: x, x2: x, y1: HEIGHT, y2: HEIGHT + 4 }));
            if (x > 20 && x < width - 20) drawn.push(svg("text", { x, y: HEIGHT + AXIS - 2, "text-anchor": "middle" }, tick(at, length)));
        }
        drawn.push(svg("text", { x: 2, y: 10, class: "most" }, count(most)));
        fill(plot, ...drawn);
        const totals = by.map((counts) => counts.reduce((sum, one) => sum + one, 0));
        buttons.forEach((button, number) => {
            say(button, `${SHORT[number]} ${count(totals[number] ?? 0)}`);
            button.disabled = !totals[number];
        });
        const told = totals.map((total, number) => (total ? `${count(total)} ${SEVERITIES[number]}` : "")).filter(Boolean);
        set(plot, {
            viewBox: `0 0 ${width} ${HEIGHT + AXIS}`,
            "data-total": totals.reduce((sum, one) => sum + one, 0),
            "aria-label": `Messages over time: ${told.join(", ") || "none"}`,
        });
    }

    const place = (event: PointerEvent): number => Math.min(width, Math.max(0, event.clientX - plot.getBoundingClientRect().left));
    const barAt = (x: number): Bar | undefined => bars[Math.min(bars.length - 1, Math.floor((x / width) * bars.length))];
    let began: number | null = null;
    const mark = svg("rect", { class: "mark", y: 0, height: HEIGHT });

    plot.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || !bars.length) return;
        began = place(event);
        plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointermove", (event) => {
        const x = place(event);
        if (began !== null) {
            set(mark, { x: Math.min(began, x), width: Math.abs(x - began) });
            if (!mark.isConnected) plot.append(mark);
        }
        const bar = barAt(x);
        if (!bar) return;
        const length = bar.until - bar.from;
        const told = bar.counts.map((number, of) => (number ? `${SHORT[of]} ${count(number)}` : "")).filter(Boolean);
        const scale = Math.min(length, 5e5);
        say(tip, `${tick(bar.from, scale)} – ${tick(bar.until, scale)}   ${told.join("  ") || "none"}`);
        tip.hidden = false;
        tip.style.left = `${Math.min(Math.max(0, width - tip.offsetWidth), Math.max(0, x - tip.offsetWidth / 2))}px`;
    });
    plot.addEventListener("pointerleave", () => {
        tip.hidden = true;
    });
    const cancel = (): void => {
        began = null;
        mark.remove();
    };
    plot.addEventListener("pointercancel", cancel);
    addEventListener("keydown", (event) => event.key === "Escape" && cancel(), { signal });
    plot.addEventListener("pointerup", (event) => {
        if (began === null) return;
        const [from, until] = [Math.min(began, place(event)), Math.max(began, place(event))];
        cancel();
        const [first, last] = [barAt(from), barAt(until)];
        if (!first || !last) return;
        if (until - from >= 5) zoom(first.from, last.until);
        else clicked(event, first);
    });

    /** A click means the severity under it; beside all bars it means the bar. */
    function clicked(event: PointerEvent, bar: Bar): void {
        const under = document.elementsFromPoint(event.clientX, event.clientY).find((one) => one instanceof SVGRectElement);
        const number = under ? /s(\d)/.exec(under.getAttribute("class") ?? "")?.[1] : undefined;
        if (number !== undefined) severity(Number(number));
        else zoom(bar.from, bar.until);
    }

    const sizes = new ResizeObserver(() => {
        width = Math.floor(element.querySelector(".plotted")?.clientWidth ?? 0);
        redraw();
    });
    sizes.observe(element);
    signal.addEventListener("abort", () => sizes.disconnect());

    return {
        element,
        show(next) {
            tally = next;
            redraw();
        },
        redraw,
        stale(is) {
            element.classList.toggle("stale", is);
        },
    };
}
