// Search: one question, its messages, how they lie in time, and what values they have.

import { Lost, Refused, address, download, get } from "./api";
import { clockMenu, rangeMenu, toolbar } from "./bar";
import { box } from "./box";
import { copy, detail } from "./detail";
import { h, say, set } from "./dom";
import { pathsOf, showFacets, TOP } from "./facets";
import { first } from "./first";
import { histogram, type Tally } from "./histogram";
import { key } from "./key";
import { list } from "./list";
import { Pages } from "./pages";
import { check, compose, moved, rangeName, toggled, words, type Range } from "./query";
import { SEVERITIES, count, moment } from "./show";
import { toast } from "./toast";
import { report, type Context } from "./view";

const BUCKETS = 80;
const USUAL = "1h";

interface Asked extends Range {
    query: string;
    order: "newest" | "oldest";
}

function readAsked(params: URLSearchParams): Asked {
    const order = params.get("order") === "oldest" ? "oldest" : "newest";
    // Without a word about time the last hour is meant; with an empty one, all of it.
    return { query: params.get("query") ?? "", since: params.get("since") ?? (params.has("until") ? "" : USUAL), until: params.get("until") ?? "", order };
}

function writeAsked(asked: Asked): URLSearchParams {
    const params = new URLSearchParams({ query: asked.query, since: asked.since });
    if (asked.until) params.set("until", asked.until);
    if (asked.order === "oldest") params.set("order", "oldest");
    return params;
}

export function search(context: Context): void {
    const { root, signal } = context;
    let asked = readAsked(context.params);
    let pages: Pages | null = null;
    let asking = new AbortController();
    let tally: Tally | null = null;
    let again = 0;
    let answered = false;
    /** What was looked at before each zoom. */
    const zoomed: Range[] = [];

    const filter = (condition: string, out: boolean): void => change({ query: toggled(input.value(), condition, out) });
    const input = box("Search", () => change({ query: input.value() }), signal);
    const range = rangeMenu((chosen) => change({ ...chosen, query: input.value() }));
    const order = h("select", { "aria-label": "Order", "data-test": "order" }, h("option", { value: "newest" }, "newest first"), h("option", { value: "oldest" }, "oldest first"));
    order.addEventListener("change", () => change({ order: order.value === "oldest" ? "oldest" : "newest" }));
    const clock = clockMenu(() => {
        rows.redraw();
        bars.redraw();
        range.put(asked);
    });
    const counted = h("span", { class: "counted", role: "status", "data-test": "count" });
    const stop = h("button", { hidden: true, "data-test": "stop", onclick: () => halt() }, "Stop");
    const out = h("button", { hidden: true, "data-test": "zoom-out", onclick: () => change(wider()) }, "Zoom out");
    const bars = histogram(
        (from, until) => {
            zoomed.push({ since: asked.since, until: asked.until });
            change({ since: new Date(from).toISOString(), until: new Date(until).toISOString() });
        },
        (severity) => filter(`severity:${SEVERITIES[severity]}`, false),
        signal,
    );
    const facets = h("div", { class: "facets" });
    const aside = h("details", { class: "aside", open: matchMedia("(min-width: 900px)").matches }, h("summary", {}, "Values"), facets);
    const nothing = h("div", { class: "nothing", hidden: true, "data-test": "nothing" });
    const source = {
        length: () => pages?.length() ?? 0,
        at: (index: number) => pages?.at(index),
        seen: (from: number, until: number) => pages?.seen(from, until),
    };
    const rows = list(source, (item) => detail(item, filter, signal), () => {}, signal);

    const save = (format: "jsonl" | "csv"): void => {
        const params = { query: compose(asked.query, asked), order: asked.order, format };
        const name = `messages.${format}`;
        if (key()) context.run(download("/v1/messages/export", params, name));
        // Without a key the browser writes it to disk while it comes.
        else h("a", { href: address("/v1/messages/export", params), download: name }).click();
        toast(`${name} is on its way`);
    };
    const share = (): void => void copy(location.href);

    root.append(
        toolbar(input, range.element, order, clock, stop, out, h("span", { class: "grow" }), counted,
            h("button", { "data-test": "share", title: "Copy this page's address", onclick: share }, "Share"),
            h("button", { "data-test": "jsonl", title: "Download as JSON lines", onclick: () => save("jsonl") }, "JSON"),
            h("button", { "data-test": "csv", title: "Download as CSV", onclick: () => save("csv") }, "CSV")),
        bars.element,
        h("div", { class: "found" }, aside, h("div", { class: "stack" }, nothing, rows.element)),
    );

    function change(next: Partial<Asked>): void {
        asked = { ...asked, ...next };
        context.write(writeAsked(asked), true);
        show();
    }

    /** What one came from; for whom a link brought here, three times as much. */
    function wider(): Range {
        for (let last = zoomed.pop(); last; last = zoomed.pop()) if (last.since !== asked.since || last.until !== asked.until) return last;
        const [from, until] = [Date.parse(asked.since), Date.parse(asked.until)];
        if (Number.isNaN(from) || Number.isNaN(until)) return { since: "", until: "" };
        const more = until - from;
        return { since: new Date(from - more).toISOString(), until: new Date(until + more).toISOString() };
    }

    function show(): void {
        input.put(asked.query);
        range.put(asked);
        order.value = asked.order;
        out.hidden = rangeName(asked) !== "chosen time" || !asked.until;
        context.run(run());
    }

    function halt(): void {
        asking.abort();
        stop.hidden = true;
        bars.stale(false);
        root.removeAttribute("aria-busy");
        if (pages && !pages.ended) say(counted, `${counted.textContent} · stopped`);
    }

    /** What is shown stays until there is something else to show. */
    async function run(): Promise<void> {
        asking.abort();
        asking = new AbortController();
        const mine = asking.signal;
        signal.addEventListener("abort", () => asking.abort(), { once: true });
        const what = { query: compose(asked.query, asked), order: asked.order };
        let by = 0;
        bars.stale(true);
        stop.hidden = false;
        answered = false;
        set(root, { "aria-busy": "true" });
        try {
            await check(asked.query, mine);
            by = moved(asked.query, asked);
            const next = new Pages(what, mine, () => found(next), (error) => fail(error, mine));
            const counting = get<Tally>("/v1/messages/tally", { query: what.query, buckets: BUCKETS, by: "severity", deadline: "15s" }, mine);
            // Not to be taken for unheard while the list is being looked for.
            counting.catch(() => {});
            await next.load();
            input.wrong(null);
            pages = next;
            rows.mark(words(asked.query));
            rows.reset();
            found(next);
            await drawn(await counting, mine);
            answered = true;
            void countValues(what.query, next, mine);
        } catch (error) {
            if (mine.aborted) return;
            answered = !(error instanceof Lost);
            if (error instanceof Refused && (error.column !== undefined || error.status === 400)) input.wrong(error, by);
            else if (!(error instanceof Lost)) report(error, signal);
        } finally {
            if (mine === asking.signal) {
                stop.hidden = true;
                bars.stale(false);
                root.removeAttribute("aria-busy");
            }
        }
    }

    function fail(error: unknown, mine: AbortSignal): void {
        if (!mine.aborted) report(error, signal);
    }

    async function drawn(next: Tally, mine: AbortSignal): Promise<void> {
        if (mine.aborted) return;
        tally = next;
        bars.show(next);
        tell();
        await empty();
    }

    async function countValues(query: string, of: Pages, mine: AbortSignal): Promise<void> {
        const sample = Array.from({ length: Math.min(200, of.length()) }, (_, at) => of.at(at)?.message).filter((one) => one !== undefined);
        try {
            const answer = await get<Tally>("/v1/messages/tally", { query, facets: pathsOf(sample).join(","), top: TOP, deadline: "15s" }, mine);
            showFacets(facets, answer.facets, filter);
        } catch (error) {
            fail(error, mine);
        }
    }

    function found(of: Pages): void {
        if (of !== pages) return;
        rows.draw();
        tell();
        // Time was up before anything was found: the list, being empty, does not ask for more.
        if (of.length() === 0 && !of.ended) void of.more();
    }

    function tell(): void {
        if (!pages) return;
        if (!tally) return say(counted, `${count(pages.length())} so far`);
        const since = moment(tally.over.since).slice(0, 14);
        const partial = tally.partial ? `the latest ${count(tally.matched)}, looked through ${count(tally.scanned)} in the time there was` : `${count(tally.matched)} messages`;
        const until = moment(tally.over.until).slice(0, 14);
        say(counted, asked.since || asked.until || !tally.matched ? partial : `${partial}, ${since} – ${until}`);
        set(counted, { "data-total": tally.matched });
    }

    /** Nothing found: is there nothing at all, or nothing like this? */
    async function empty(): Promise<void> {
        nothing.hidden = !pages || pages.length() > 0 || !pages.ended;
        rows.element.hidden = !nothing.hidden;
        if (nothing.hidden) return;
        const size = await get<{ messages: number }>("/v1/store", {}, signal);
        if (Number(size.messages) === 0) {
            if (!nothing.querySelector(".first")) nothing.replaceChildren(first());
            // What is sent appears here.
            clearTimeout(again);
            again = window.setTimeout(() => nothing.hidden || signal.aborted || context.run(run()), 2000);
            return;
        }
        const said = asked.query ? "Nothing like this" : "Nothing";
        nothing.replaceChildren(h("p", {}, `${said} in the ${rangeName(asked).replace(/^all time$/, "whole store")}.`));
        if (asked.since || asked.until) {
            nothing.append(h("button", { "data-test": "all-time", onclick: () => change({ since: "", until: "" }) }, "Look at all time"));
        }
    }

    context.changed((params) => {
        asked = readAsked(params);
        show();
    });
    context.healed(() => {
        // Who reads on is left where he is.
        if (!answered || !pages) return show();
        pages.stuck = false;
        rows.draw();
    });
    context.key("/", "search", () => input.focus());
    context.key(["j", "ArrowDown"], "next message", () => rows.move(1));
    context.key(["k", "ArrowUp"], "message before", () => rows.move(-1));
    context.key("Enter", "open or close a message", () => rows.toggle());
    context.key("t", "time range", () => range.element.focus());
    context.key("f", "follow live", () => {
        location.hash = `#/live?${new URLSearchParams({ query: asked.query })}`;
    });
    context.key("g", "to the top", () => rows.top());
    context.key("Escape", "stop, close", () => {
        if (!stop.hidden) halt();
        else rows.close();
    });
    show();
}
