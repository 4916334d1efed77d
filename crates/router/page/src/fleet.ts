// The fleet: every router that reports where this one does, and the sums of all. Not there where a router is alone.

import { get } from "./api";
import { fill, h, say, set } from "./dom";
import { perSecond, plural, span, whole } from "./format";
import { type Icon, icon } from "./icons";
import type { Digits } from "./json";
import { moment } from "./show";
import { table } from "./table";
import type { Context } from "./view";
import { shown } from "./visible";

/** Sums of many routers may have more digits than a double. */
type Count = number | Digits;
type Sums = Record<string, Count>;

interface Router {
    name: string;
    instance: string;
    self: boolean;
    state: "conflict" | "silent" | "running" | "stopped";
    heard: string;
    rates: { received: number; delivered: number } | null;
    inputs: Sums;
    endpoints: Sums;
    oldest_ms: number | null;
    unaccounted: Count;
    troubles: string[];
}

interface Fleet {
    place: string | null;
    link: { state: string; why: string | null } | null;
    since: string;
    routers: Router[];
    left_out: number;
    total: {
        routers: Record<string, number>;
        lives_before: number;
        rates: { received: number; delivered: number };
        inputs: Sums;
        endpoints: Sums;
        transports: Record<string, { taken: Count; given: Count }>;
        unaccounted: Count;
    };
    refused: Record<string, number>;
}

const POLL = 1000;
/** One that is in no fleet may be given one by a reload. */
const ALONE = 30;
/** In trouble first; what more there is stands in the sums. */
const MOST = 50;

type Level = "bad" | "warn" | "good" | "idle";

const STATES: Record<Router["state"], { sign: Icon; level: Level }> = {
    conflict: { sign: "halt", level: "bad" },
    silent: { sign: "no", level: "bad" },
    running: { sign: "play", level: "good" },
    stopped: { sign: "circle", level: "idle" },
};

const number = (count: Count | undefined): number => Number(String(count ?? 0));
const told = (count: Count | undefined): string => whole(number(count));

/** A line of the table: a router, or all of them. */
interface Line {
    id: string;
    name: string;
    state: string;
    looks: { sign: Icon; level: Level } | null;
    rates: { received: number; delivered: number } | null;
    inputs: Sums;
    endpoints: Sums;
    oldest: number | null;
    unaccounted: Count;
}

function line(router: Router, twice: boolean): Line {
    const last = router.state === "running" || router.state === "conflict" ? "" : ` since ${moment(router.heard).replace(/\.\d+/, "")}`;
    const name = `${shown(router.name)}${twice ? ` (${router.instance.slice(0, 4)})` : ""}${router.self ? " (this one)" : ""}`;
    return { ...router, id: `${router.name} ${router.instance}`, name, state: `${router.state}${last}`, looks: STATES[router.state], oldest: router.oldest_ms };
}

function sum({ total, routers }: Fleet): Line {
    const all = Object.values(total.routers).reduce((sum, count) => sum + count, 0);
    const running = total.routers["running"] ?? 0;
    const oldest = routers.reduce<number | null>((most, { oldest_ms }) => (oldest_ms === null ? most : Math.max(most ?? 0, oldest_ms)), null);
    return { ...total, id: "all", name: "All", state: `${running} of ${all} running`, looks: null, oldest };
}

const COLUMNS = [
    { title: "Router", cell: (one: Line) => one.name },
    { title: "State", cell: (one: Line) => (one.looks ? h("span", { class: one.looks.level }, icon(one.looks.sign), ` ${one.state}`) : one.state) },
    { title: "In", cell: (one: Line) => perSecond(one.rates?.received), number: true },
    { title: "Out", cell: (one: Line) => perSecond(one.rates?.delivered), number: true, wide: true },
    { title: "Received", cell: (one: Line) => told(one.inputs["received"]), number: true, wide: true },
    { title: "Refused", cell: (one: Line) => told(one.inputs["refused"]), number: true, wide: true },
    { title: "Delivered", cell: (one: Line) => told(one.endpoints["delivered"]), number: true, wide: true },
    { title: "Waiting", cell: (one: Line) => told(one.endpoints["buffered"]), number: true },
    { title: "Oldest", cell: (one: Line) => span(one.oldest), number: true, wide: true },
    { title: "Unaccounted", cell: (one: Line) => told(one.unaccounted), number: true, wide: true },
];

/** The law over all routers and all their lives, in words. */
function law({ total: { inputs, endpoints, transports, lives_before } }: Fleet): string[] {
    const texts = [
        `${told(inputs["received"])} received = ${told(inputs["accepted"])} accepted + ${told(inputs["refused"])} refused + ` +
            `${told(inputs["duplicates"])} duplicates + ${told(inputs["unaccounted"])} unaccounted for.`,
        `For all endpoints ${told(endpoints["accepted"])} = ${told(endpoints["delivered"])} delivered + ${told(endpoints["filtered"])} filtered + ` +
            `${told(endpoints["dead_lettered"])} dead letters + ${told(endpoints["dropped"])} dropped + ${told(endpoints["buffered"])} waiting + ` +
            `${told(endpoints["unheard"])} gone on unheard + ${told(endpoints["unaccounted"])} unaccounted for.`,
    ];
    for (const [kind, { taken, given }] of Object.entries(transports)) {
        if (number(taken) > 0 && number(given) > 0) texts.push(`Over ${kind} ${told(given)} were given and ${told(taken)} taken, which count at both ends.`);
    }
    if (lives_before > 0) texts.push(`${plural(lives_before, "earlier life", "earlier lives")} of these routers counted in, as far as heard.`);
    return texts;
}

/** What keeps this router from seeing the others, or is wrong with them. */
function wrong({ link, routers }: Fleet): { level: "bad" | "warn"; text: string }[] {
    const away = link && link.state === "away" ? [`Not connected to the fleet: ${shown(link.why ?? "")}`] : [];
    const names = new Set(routers.filter(({ state }) => state === "conflict").map(({ name }) => name));
    const twice = [...names].map((name) => `More than one router is called ${shown(name)}.`);
    const bad = [...away, ...twice].map((text) => ({ level: "bad" as const, text }));
    const stuck = routers.flatMap(({ name, troubles }) => troubles.map((one) => ({ level: "warn" as const, text: `${shown(name)}: ${shown(one)}` })));
    return [...bad, ...stuck].slice(0, 10);
}

/** The strip; it stays hidden while there is nobody else. */
export function fleet(context: Context): HTMLElement {
    const lines = table<Line>("Fleet", COLUMNS, (one) => one.id, "Nobody reports.");
    const sums = h("div", { class: "quiet", "data-test": "fleet-law" });
    const head = h("p", { class: "quiet", "data-test": "fleet-head" });
    const troubles = h("ul", { class: "troubles", "data-test": "fleet-troubles" });
    const element = h("section", { class: "block fleet", hidden: true, "data-test": "fleet" }, h("h2", {}, "Fleet"), head, troubles, lines.element, sums);
    let rest = 0;
    context.every(POLL, async () => {
        if (rest > 0) {
            rest -= 1;
            return;
        }
        const now = await get<Fleet>("/v1/fleet", { limit: MOST }, context.signal);
        rest = now.place === null ? ALONE : 0;
        const alone = now.routers.length < 2 && now.link?.state !== "away";
        set(element, { hidden: alone });
        if (alone) return;
        const names = now.routers.map(({ name }) => name);
        const twice = (name: string): boolean => names.indexOf(name) !== names.lastIndexOf(name);
        lines.show([...now.routers.map((router) => line(router, twice(router.name))), sum(now)]);
        const more = now.left_out > 0 ? `; ${plural(now.left_out, "more router")} in the sums` : "";
        const refused = Object.values(now.refused).reduce((sum, count) => sum + count, 0);
        const foreign = refused > 0 ? `; ${plural(refused, "thing")} heard there ${refused === 1 ? "is" : "are"} no report` : "";
        say(head, `${shown(now.place ?? "")}${more}${foreign}`);
        const all = wrong(now);
        if (isNew(troubles, all)) fill(troubles, all.map(({ level, text }) => h("li", { class: level }, icon(level === "bad" ? "no" : "triangle"), " ", text)));
        const texts = law(now);
        if (isNew(sums, texts)) fill(sums, texts.map((text) => h("p", {}, text)));
    });
    return element;
}

/** Whether something else is to be shown there; what stays the same is left alone, for somebody may be copying it. */
function isNew(place: HTMLElement, what: unknown): boolean {
    const told = JSON.stringify(what);
    if (place.dataset["told"] === told) return false;
    place.dataset["told"] = told;
    return true;
}
