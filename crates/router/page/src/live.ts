// Live: what comes in, as it comes, and how much of it. What somebody reads does not move: while the list is not at its
// top, or is paused, what is new waits behind a button.

import { Refused, get, stream, type StreamEvent } from "./api";
import { clockMenu, rangeMenu, toolbar } from "./bar";
import { box } from "./box";
import { detail } from "./detail";
import { h, say, set } from "./dom";
import { first } from "./first";
import { histogram, type Tally } from "./histogram";
import type { Digits, Tree } from "./json";
import { Item, list } from "./list";
import { itemsOf } from "./pages";
import { compose, toggled, words, type Range } from "./query";
import { SEVERITIES, brief, count } from "./show";
import { go, report, type Context } from "./view";

/** Rows that are kept, and that wait behind the button. */
const KEPT = 5000;
/** Rows that are there at the beginning. */
const BEFORE = 200;
const BUCKETS = 60;
const USUAL = "15m";
/** The least time between two counts, and how many times as long as one took. */
const PAUSE = 2000;
const RESPITE = 4;

export function live(context: Context): void {
    const { root, signal } = context;
    let query = context.params.get("query") ?? "";
    let range: Range = { since: context.params.get("since") ?? USUAL, until: "" };
    /** Latest last: that end grows. */
    let shown: Item[] = [];
    let waiting: Item[] = [];
    let skipped = 0;
    let paused = false;
    let tailing = new AbortController();
    let frame = 0;
    let stored = true;
    /** The query whose stream is open, or is opened again by itself. */
    let streamed: string | null = null;

    const filter = (condition: string, out: boolean): void => ask(toggled(input.value(), condition, out));
    const input = box("Filter what comes in", () => ask(input.value()), signal);
    const menu = rangeMenu((chosen) => {
        if (chosen.until) return go("search", { query, since: chosen.since, until: chosen.until });
        range = chosen;
        write();
        context.run(tallied());
    });
    const clock = clockMenu(() => {
        rows.redraw();
        bars.redraw();
    });
    const counted = h("span", { class: "counted", "data-test": "count" }, "counting…");
    const state = h("span", { class: "flow", role: "status", "data-test": "flow" });
    const sampling = h("span", { class: "sampling", role: "status", hidden: true, "data-test": "sampling" });
    const follow = h("button", { "aria-pressed": "true", title: "Follow (f)", "data-test": "follow", onclick: () => toggle() }, "Following");
    const pill = h("button", { class: "pill main", hidden: true, "data-test": "pill", onclick: () => resume() });
    const teach = first();
    teach.hidden = true;
    const bars = histogram(
        (from, until) => go("search", { query, since: new Date(from).toISOString(), until: new Date(until).toISOString() }),
        (severity) => filter(`severity:${SEVERITIES[severity]}`, false),
        signal,
    );
    const source = { length: () => shown.length, at: (index: number) => shown[shown.length - 1 - index], seen: () => {} };
    const rows = list(source, (item) => detail(item, filter, signal), () => pause(), signal);

    root.append(
        toolbar(input, menu.element, clock, follow, state, sampling, h("span", { class: "grow" }), counted),
        bars.element,
        h("div", { class: "found" }, h("div", { class: "stack" }, pill, teach, rows.element)),
    );

    function write(): void {
        const params = new URLSearchParams();
        if (query) params.set("query", query);
        if (range.since !== USUAL) params.set("since", range.since);
        context.write(params);
    }

    function ask(next: string): void {
        const before = query;
        query = next;
        input.put(query);
        context.run(begin().catch((error: unknown) => {
            if (!(error instanceof Refused)) throw error;
            // What was asked before goes on.
            query = before;
            input.wrong(error);
        }));
    }

    /** What is there already, then what comes behind it. */
    async function begin(): Promise<void> {
        const asked = query;
        const before = await latest(asked);
        if (signal.aborted || asked !== query) return;
        input.wrong(null);
        write();
        tailing.abort();
        tailing = new AbortController();
        signal.addEventListener("abort", () => tailing.abort(), { once: true });
        [shown, waiting, skipped] = [before.reverse(), [], 0];
        rows.reset();
        resume();
        const last = shown.at(-1)?.key ?? null;
        streamed = asked;
        rows.mark(words(asked));
        stream("/v1/tail", asked ? { query: asked } : {}, last, take, flow, tailing.signal).catch((error: unknown) => report(error, signal));
        void tallied().catch((error: unknown) => report(error, signal));
    }

    async function latest(asked: string): Promise<Item[]> {
        try {
            type Page = { messages: Tree[]; positions: (number | Digits)[] };
            const page = await get<Page>("/v1/messages", { query: asked, limit: BEFORE, deadline: "2s" }, signal);
            stored = true;
            // The order of the store's ids, in which they came, is the one in which more come.
            return itemsOf(page).sort((a, b) => Number(b.key) - Number(a.key));
        } catch (error) {
            if (!(error instanceof Refused) || error.status !== 503) throw error;
            stored = false;
            return [];
        }
    }

    function flow(to: "open" | "lost"): void {
        say(state, to === "open" ? "connected" : "connection lost, trying again");
        set(state, { class: `flow ${to === "open" ? "good" : "bad"}`, "data-state": to });
    }

    let unnamed = 0;
    let sampled = 0;
    function take(events: StreamEvent[]): void {
        for (const { event, data, id } of events) {
            if (event === "message") {
                unnamed += 1;
                waiting.push(new Item(id ?? `n${unnamed}`, data));
            } else if (event === "sampled" || event === "missed") {
                sample(event, data);
            }
        }
        const over = waiting.length - KEPT;
        if (over > 0) {
            waiting.splice(0, over);
            skipped += over;
        }
        frame ||= requestAnimationFrame(show);
    }

    /** `{"seen":20000,"sent":200}`; an older router says how many it left out. */
    function sample(event: string, data: string): void {
        let said = "too much to show all";
        const { seen, sent } = event === "sampled" ? (JSON.parse(data) as { seen: number; sent: number }) : { seen: 0, sent: 0 };
        if (seen > 0) said = `sampling: ${brief(sent)} of ${brief(seen)} messages shown`;
        else if (Number(data) > 0) said = `sampling: ${brief(Number(data))} messages left out`;
        tellOf(said);
    }

    function tellOf(said: string): void {
        say(sampling, said);
        sampling.hidden = false;
        clearTimeout(sampled);
        sampled = window.setTimeout(() => {
            sampling.hidden = true;
        }, 5000);
    }

    /** Text in the list is marked: it stays under the mark. */
    const marking = (): boolean => {
        const marked = getSelection();
        return marked?.type === "Range" && rows.element.contains(marked.anchorNode);
    };
    const following = (): boolean => !paused && rows.atTop() && !marking();
    const moved = (): void => (following() && waiting.length ? void (frame ||= requestAnimationFrame(show)) : tell());

    function show(): void {
        frame = 0;
        if (signal.aborted || !waiting.length) return;
        if (following()) {
            const known = new Set(shown.slice(-KEPT).map(({ key }) => key));
            const fresh = waiting.filter(({ key }) => !known.has(key));
            shown.push(...fresh);
            if (shown.length > KEPT) shown.splice(0, shown.length - KEPT);
            rows.shifted(fresh.length);
            if (skipped) tellOf(`${count(skipped)} more came meanwhile than this list holds; Search has them`);
            [waiting, skipped] = [[], 0];
            rows.draw();
        }
        tell();
    }

    function tell(): void {
        const fresh = waiting.length + skipped;
        pill.hidden = fresh === 0 || following();
        say(pill, `↑ ${count(fresh)} new`);
        set(follow, { "aria-pressed": String(following()) });
        say(follow, following() ? "Following" : "Paused");
        const empty = shown.length === 0 && waiting.length === 0;
        teach.hidden = !empty || query !== "";
        rows.element.hidden = !teach.hidden;
    }

    function pause(): void {
        paused = true;
        tell();
    }

    function resume(): void {
        paused = false;
        if (marking()) getSelection()?.removeAllRanges();
        rows.close();
        rows.top();
        requestAnimationFrame(show);
        tell();
    }

    function toggle(): void {
        if (!following()) resume();
        else pause();
    }

    rows.element.addEventListener("scroll", moved, { passive: true });
    document.addEventListener("selectionchange", moved, { signal });

    let resting = 0;
    let counting: AbortController | null = null;
    async function tallied(): Promise<void> {
        if (!stored) {
            bars.element.hidden = true;
            return say(counted, "nothing is kept here: only what comes in is shown");
        }
        counting?.abort();
        counting = new AbortController();
        const mine = AbortSignal.any([counting.signal, signal]);
        const began = performance.now();
        const answer = await get<Tally>("/v1/messages/tally", { query: compose(query, range), buckets: BUCKETS, by: "severity", deadline: "1s" }, mine);
        resting = began + (performance.now() - began) * (1 + RESPITE);
        bars.element.hidden = false;
        bars.show(answer);
        menu.put(range);
        const within = range.since ? ` in the ${menu.element.selectedOptions[0]?.textContent ?? ""}` : "";
        say(counted, answer.partial ? `the latest ${count(answer.matched)} messages${within}` : `${count(answer.matched)} messages${within}`);
        set(counted, { "data-total": answer.matched });
    }

    context.every(PAUSE, () => {
        // A large store is not asked all the time.
        if (performance.now() > resting) return tallied();
    });
    context.healed(() => {
        if (streamed !== query) ask(query);
    });
    context.changed((params) => {
        range = { since: params.get("since") ?? USUAL, until: "" };
        menu.put(range);
        if ((params.get("query") ?? "") !== query) ask(params.get("query") ?? "");
    });
    context.key("/", "filter", () => input.focus());
    context.key(["j", "ArrowDown"], "next message", () => rows.move(1));
    context.key(["k", "ArrowUp"], "message before", () => rows.move(-1));
    context.key("Enter", "open or close a message", () => rows.toggle());
    context.key("f", "follow or pause", () => toggle());
    context.key("t", "time range", () => menu.element.focus());
    context.key("Escape", "close", () => rows.close());
    menu.put(range);
    input.put(query);
    say(state, "connecting");
    ask(query);
}
