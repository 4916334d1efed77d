// Pipeline: what comes in, where it goes, what is stuck, what is lost, and the sums that prove it.

import * as acts from "./acts";
import { get, watchConnection } from "./api";
import { type Child, fill, h, say, set } from "./dom";
import { type Icon, icon } from "./icons";
import { drawing, kind } from "./drawing";
import { fleet } from "./fleet";
import { bytes, percent, perSecond, plural, short, span, whole } from "./format";
import {
    type Endpoint, type Filter, type Input, type Law, type Level, type Pipeline, STATES, conditions, flows, fullLevel, lawOfEndpoint,
    lawOfInput, sum, troubles,
} from "./pipe";
import { Rates } from "./rates";
import { pairs, table } from "./table";
import { type Context, link } from "./view";
import { shown } from "./visible";

interface Client {
    client: string;
    input: string;
    last_seq: number;
    received: number;
    lost: number;
    duplicates: number;
    last_seen: string;
}

const POLL = 1000;
/** Losses change rarely, and there may be ten thousand clients. */
const CLIENTS = 5000;

export function pipeline(context: Context): void {
    const { root, signal } = context;
    root.classList.add("page");
    const rates = new Rates();
    let latest: Pipeline | null = null;
    const act = (done: Promise<boolean>): void => context.run(done.then((changed) => (changed ? poll() : undefined)));

    const head = h("p", { class: "quiet", "data-test": "pipeline-head" });
    const wrong = h("ul", { class: "troubles", "aria-live": "polite", "data-test": "troubles" });
    const picture = drawing();
    const cards = endpointCards(act);
    const spool = h("div", { "data-test": "spool" });
    const whether = h("p", { class: "quiet", "data-test": "unaccounted" });
    const laws = h("div", { class: "laws", "data-test": "laws" });
    const tables = drawnAsTables(rates);
    const lost = h("p", { class: "quiet" });
    const clients = table<Client>("Clients", CLIENT_COLUMNS, (client) => `${client.input} ${client.client}`, "No client has numbered its messages yet.");
    set(clients.element, { "data-test": "clients" });

    root.append(
        h("div", { class: "headline" },
            h("h1", {}, "Pipeline"), head,
            h("button", { "data-test": "reload", onclick: () => act(acts.reload()) }, "Reload configuration"),
        ),
        wrong,
        fleet(context),
        picture.element,
        h("details", { class: "as-tables", "data-test": "as-tables" }, h("summary", {}, "The drawing as tables"), tables.element),
        section("Endpoints", cards.element),
        section("Spool", spool),
        section("Where every message went", whether, laws),
        section("Lost on the way to us", lost, clients.element),
    );

    let away = false;
    watchConnection((lost) => {
        away = lost;
        if (latest) showTroubles(wrong, latest, away);
    }, signal);

    const show = (): void => {
        if (!latest || signal.aborted) return;
        picture.show(latest, rates);
        say(head, headText(latest));
        showTroubles(wrong, latest, away);
        cards.show(latest, rates);
        tables.show(latest);
        showSpool(spool, latest);
        say(whether, `What came in, and what became of it. Altogether ${whole(latest.unaccounted)} unaccounted for; anything but 0 is a mistake of the router.`);
        showLaws(laws, latest);
        say(lost, lostText(latest));
    };
    const poll = async (): Promise<void> => {
        latest = await get<Pipeline>("/v1/pipeline", {}, signal);
        // By the router's clock: that of this machine may be set, and an answer may be late.
        rates.take(Date.parse(latest.now), flows(latest), latest.started);
        show();
    };
    context.every(POLL, poll);
    context.every(CLIENTS, async () => {
        clients.show((await get<{ clients: Client[] }>("/v1/clients", { limit: 50 }, signal)).clients);
    });
    const size = new ResizeObserver(show);
    size.observe(picture.element);
    signal.addEventListener("abort", () => size.disconnect());
}

function section(title: string, ...children: readonly Child[]): HTMLElement {
    return h("section", { class: "block" }, h("h2", {}, title), ...children);
}

function headText({ version, started, now, reloads }: Pipeline): string {
    const refused = reloads.refused > 0 ? `, ${reloads.refused} refused` : "";
    return `metlog ${version}, up ${span(Date.parse(now) - Date.parse(started))}, ${plural(reloads.applied, "reload")}${refused}`;
}

const SIGNS: Record<Level, Icon> = { good: "yes", idle: "circle", warn: "triangle", bad: "no" };

const clock = (iso: string): string => new Date(iso).toLocaleTimeString();

/** Rebuilt only when something else is wrong: it is read out loud. */
function showTroubles(list: HTMLElement, pipeline: Pipeline, lost: boolean): void {
    const found = troubles(pipeline);
    // What was good when it was last heard of may be anything now.
    if (lost) found.unshift({ level: "warn", text: `The router does not answer; all of this is as it was at ${clock(pipeline.now)}.` });
    const all = found.length > 0 ? found : [{ level: "good" as const, text: "Everything flows, and every message is accounted for." }];
    const told = JSON.stringify(all);
    if (list.dataset["told"] === told) return;
    list.dataset["told"] = told;
    fill(list, all.map(({ level, text }) => h("li", { class: level }, icon(SIGNS[level]), " ", text)));
}

function showSpool(place: HTMLElement, { spool }: Pipeline): void {
    const full = spool.full_in_s === null ? "it is not growing" : `in ${span(spool.full_in_s * 1000)}, as it grows now`;
    fill(place, pairs([
        ["Holds", `${bytes(spool.bytes)} of ${bytes(spool.max_bytes)}, ${percent(spool.bytes, spool.max_bytes)}`],
        ["Full", h("span", { class: fullLevel(spool), "data-test": "full-in" }, full)],
        ["Free on its disk", bytes(spool.free)],
        ["Ids", h("span", { class: "mono" }, `${spool.oldest_id ?? "…"} up to ${spool.next_id}`)],
        ["Not on disk yet", plural(Math.max(Number(BigInt(String(spool.next_id)) - BigInt(String(spool.durable_id))), 0), "message")],
        ["One sync takes", span(spool.sync_ms)],
    ]));
}

/** The law as sums, of which only those are written again that changed: somebody may be copying one. */
function showLaws(place: HTMLElement, pipeline: Pipeline): void {
    const of = (what: string, name: string, law: Law): [string, string, Law] => [what, name, law];
    const all = [
        ...pipeline.inputs.map((input) => of("input", input.name, lawOfInput(input))),
        ...pipeline.endpoints.map((endpoint) => of("endpoint", endpoint.name, lawOfEndpoint(endpoint))),
    ];
    const known = new Map([...place.children].map((child) => [child.getAttribute("data-of"), child]));
    const wanted = all.map(([what, name, law]) => {
        const of = `${what} ${name}`;
        const told = JSON.stringify(law);
        const old = known.get(of);
        if (old?.getAttribute("data-told") === told) return old;
        return h("p", { class: `law ${law.remainder === 0 ? "good" : "bad"}`, "data-of": of, "data-told": told, "data-test": `law-${what}-${name}` },
            h("b", {}, `${what} ${name}:`), " ", term(law.left.count, law.left.what), " = ",
            law.right.map(({ count, what }, at) => [at ? " + " : "", term(count, what)]),
            " + ", h("span", { class: "term remainder" }, h("span", {}, whole(law.remainder)), " unaccounted for"),
        );
    });
    const same = wanted.length === place.children.length && wanted.every((child, at) => place.children[at] === child);
    if (!same) fill(place, wanted);
}

const term = (count: number, what: string): HTMLElement => h("span", { class: count === 0 ? "term nought" : "term" }, h("span", {}, whole(count)), ` ${what}`);

function lostText({ clients }: Pipeline): string {
    const told = `Clients that number their messages: ${whole(clients.tracked)}; ${plural(clients.lost, "message")} never came, ${plural(clients.duplicates, "duplicate")} taken out.`;
    return clients.untracked > 0 ? `${told} ${plural(clients.untracked, "message")} could not be judged.` : told;
}

const CLIENT_COLUMNS = [
    { title: "Client", cell: (client: Client) => client.client },
    { title: "Input", cell: (client: Client) => client.input },
    { title: "Came", cell: (client: Client) => whole(client.received), number: true },
    { title: "Lost", cell: (client: Client) => whole(client.lost), number: true },
    { title: "Part", cell: (client: Client) => percent(client.lost, client.lost + client.received), number: true },
    { title: "Duplicates", cell: (client: Client) => whole(client.duplicates), number: true, wide: true },
    { title: "Last number", cell: (client: Client) => whole(client.last_seq), number: true, wide: true },
    { title: "Last seen", cell: (client: Client) => `${span(Math.max(Date.now() - Date.parse(client.last_seen), 0))} ago`, wide: true },
];

/** What the drawing shows, for those who do not see it. */
function drawnAsTables(rates: Rates): { element: HTMLElement; show(pipeline: Pipeline): void } {
    let filters: Filter[] = [];
    const name = { title: "Name", cell: (row: { name: string }) => row.name };
    const type = { title: "Type", cell: (row: { type: string }) => row.type };
    const inputs = table<Input>("Inputs", [
        name, { title: "Kind", cell: kind }, { title: "Rate", cell: (row) => perSecond(rates.of(`in ${row.name}`)), number: true },
        { title: "Received", cell: (row) => whole(row.counts.received), number: true },
        { title: "Refused", cell: (row) => whole(sum(row.counts.refused)), number: true },
        { title: "Turned away", cell: (row) => whole(row.counts.turned_away ?? 0), number: true, wide: true },
    ], (row) => row.name, "No inputs.");
    const edits = table<string>("Edits, in this order", [{ title: "Edit", cell: (row) => row }], (row) => row, "Nothing is edited.");
    const named = table<Filter>("Filters", [name, type, { title: "Of", cell: (row) => row.of.join(", ") }], (row) => row.name, "No named filters.");
    const endpoints = table<Endpoint>("Endpoints", [
        name, type, { title: "Takes", cell: (row) => conditions(row, filters).join("; ") || "everything" },
        { title: "State", cell: (row) => row.state },
        { title: "Meant for it", cell: (row) => perSecond(rates.of(`meant ${row.name}`)), number: true },
        { title: "Taken away", cell: (row) => perSecond(rates.of(`out ${row.name}`)), number: true },
        { title: "Waiting", cell: (row) => whole(row.buffered), number: true },
    ], (row) => row.name, "No endpoints.");
    const all = [inputs, edits, named, endpoints];
    const element = h("div", {}, all.map((one) => [h("h2", {}, one.element.getAttribute("aria-label")), one.element]));
    return {
        element,
        show(pipeline) {
            filters = pipeline.filters;
            inputs.show(pipeline.inputs);
            edits.show(pipeline.edits);
            named.show(pipeline.filters);
            endpoints.show(pipeline.endpoints);
        },
    };
}

interface Card {
    element: HTMLElement;
    show(endpoint: Endpoint, pipeline: Pipeline, rates: Rates): void;
}

/** A card for each endpoint. They are kept, and so are their buttons, while numbers change in them. */
function endpointCards(act: (done: Promise<boolean>) => void): { element: HTMLElement; show(pipeline: Pipeline, rates: Rates): void } {
    const element = h("div", { class: "cards", "data-test": "endpoints" });
    const known = new Map<string, Card>();
    const show = (pipeline: Pipeline, rates: Rates): void => {
        const wanted = pipeline.endpoints.map((endpoint) => {
            const own = known.get(endpoint.name) ?? card(endpoint.name, act);
            known.set(endpoint.name, own);
            own.show(endpoint, pipeline, rates);
            return own.element;
        });
        for (const name of known.keys()) if (!pipeline.endpoints.some((endpoint) => endpoint.name === name)) known.delete(name);
        if (wanted.length !== element.children.length || wanted.some((child, at) => element.children[at] !== child)) fill(element, wanted);
    };
    return { element, show };
}

function card(name: string, act: (done: Promise<boolean>) => void): Card {
    const state = h("span", { class: "state", "data-test": "state" });
    const about = h("p", { class: "quiet" });
    const error = h("p", { class: "error", "data-test": "last-error", hidden: true });
    const again = h("p", { class: "warn", "data-test": "retry", hidden: true });
    const facts = FACTS.map(([label, , test]) => [label, h("span", { "data-test": test })] as const);
    let paused = false;
    const pause = h("button", { "data-test": "pause", onclick: () => act(paused ? acts.resume(name) : acts.pause(name)) });
    const replay = h("button", { "data-test": "replay", onclick: () => act(acts.replay(name)) }, "Replay…");
    const period = h("p", { class: "quiet", "data-test": "again", hidden: true });
    const dead = h("a", { href: link("dead"), hidden: true, "data-test": "dead-link" });
    const element = h("article", { class: "card", "aria-label": `Endpoint ${name}`, "data-test": `endpoint-${name}` },
        h("h3", {}, name, " ", state), about, pairs(facts), error, again, period, h("p", { class: "buttons" }, pause, replay, dead),
    );
    return {
        element,
        show(endpoint, pipeline, rates) {
            const { sign, level, means } = STATES[endpoint.state];
            set(element, { class: `card ${level}`, "data-state": endpoint.state });
            set(state, { class: `state ${level}`, title: means });
            if (state.textContent?.trim() !== endpoint.state) fill(state, icon(sign), ` ${endpoint.state}`);
            const takes = conditions(endpoint, pipeline.filters).join("; ") || "everything";
            const role = [endpoint.is_store && "keeps what the page shows", endpoint.alerts && "alerts", !endpoint.required && "may drop"];
            say(about, [endpoint.type, takes, ...role.filter((text) => text !== false)].join(" · "));
            FACTS.forEach(([, tell], at) => {
                const place = facts[at]?.[1];
                if (place) say(place, tell(endpoint, rates));
            });
            const retry = endpoint.retry_in_ms !== null ? `Tries again in ${countdown(endpoint.retry_in_ms)}.` : "";
            error.hidden = endpoint.last_error === null;
            const over = endpoint.state !== "retrying" && endpoint.state !== "held";
            const at = endpoint.last_error_at ? ` (${span(Math.max(Date.parse(pipeline.now) - Date.parse(endpoint.last_error_at), 0))} ago)` : "";
            set(error, { class: over ? "quiet" : "error" });
            say(error, over ? `Last error${at}: ${shown(endpoint.last_error ?? "")}` : shown(endpoint.last_error ?? ""));
            again.hidden = retry === "";
            say(again, retry);
            period.hidden = !endpoint.again;
            if (endpoint.again) say(period, `Sending a period again: ${whole(endpoint.again.done)} of ${endpoint.again.counted ? "" : "more than "}${plural(endpoint.again.messages, "message")}.`);
            paused = endpoint.state === "paused";
            say(pause, paused ? "Resume" : "Pause");
            set(pause, { "aria-label": `${paused ? "Resume" : "Pause"} ${name}` });
            set(replay, { "aria-label": `Replay a period to ${name}` });
            dead.hidden = endpoint.dead_lettered === 0;
            say(dead, plural(endpoint.dead_lettered, "dead letter"));
        },
    };
}

/** Name, value, and what tests call it. */
const FACTS: readonly (readonly [string, (endpoint: Endpoint, rates: Rates) => string, string])[] = [
    ["Taken away", (one, rates) => perSecond(rates.of(`out ${one.name}`)), "rate-out"],
    ["Waiting", (one) => (one.buffered === 0 ? "nothing" : `${whole(one.buffered)}`), "lag"],
    ["Oldest of these", (one) => span(one.buffered === 0 ? null : one.oldest_ms), "oldest"],
    ["Caught up", drained, "drained"],
    ["Failed tries", (one) => whole(one.failures), "failures"],
    ["Sent again", (one) => short(one.redelivered), "redelivered"],
];

/** Whole seconds, as clocks count down. */
function countdown(ms: number): string {
    return ms < 60_000 ? `${Math.ceil(ms / 1000)} s` : span(Math.ceil(ms / 1000) * 1000);
}

/** When everything that waits will have gone, if it goes on like this. */
function drained(endpoint: Endpoint, rates: Rates): string {
    const [gone, come] = [rates.of(`out ${endpoint.name}`), rates.of(`meant ${endpoint.name}`)];
    if (endpoint.buffered < 1000) return "–";
    if (gone === null || come === null) return "–";
    return gone - come > 1 ? `in ${span((endpoint.buffered / (gone - come)) * 1000)}` : "not as it goes now";
}
