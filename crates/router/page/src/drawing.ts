// The drawing of the pipeline. Built anew when its parts change; what flows is only written into it.

import { fill, h, say, set, svg } from "./dom";
import { bytes, cut, perSecond, short, span } from "./format";
import { type Box, type Kind, type Layout, layout } from "./layout";
import { type Endpoint, type Input, type Level, type Pipeline, STATES, conditions, fullLevel } from "./pipe";
import type { Rates } from "./rates";

const LETTER = 6.7;
const PAD = 9;

interface Node {
    box: Box;
    group: SVGGElement;
    title: SVGTitleElement;
    texts: SVGTextElement[];
}

/** The drawing, and how to bring it up to date. */
export function drawing(): { element: HTMLElement; show(pipeline: Pipeline, rates: Rates): void } {
    const picture = svg("svg", { class: "topology", role: "img", "data-test": "topology" });
    const element = h("figure", { class: "drawing" }, picture);
    let drawn = "";
    let nodes: Node[] = [];
    let lines: { name: string; flow: string; path: SVGPathElement }[] = [];

    const build = (plan: Layout, pipeline: Pipeline): void => {
        const box = { viewBox: `-1 -1 ${plan.width + 2} ${plan.height + 2}`, width: plan.width, height: plan.height };
        set(picture, { ...box, class: `topology ${plan.upright ? "upright" : "sideways"}` });
        lines = plan.lines.map(({ flow, name, path }) => ({ flow, name, path: svg("path", { class: "flow", d: path }) }));
        nodes = plan.boxes.map(node);
        for (const { box, group } of nodes) {
            if (box.kind !== "endpoint" && box.kind !== "lane") continue;
            group.addEventListener("pointerenter", () => light(box.name, pipeline));
            group.addEventListener("pointerleave", () => light(null, pipeline));
        }
        fill(picture, lines.map(({ path }) => path), nodes.map(({ group }) => group));
    };

    /** Shows what belongs to an endpoint, and dims the rest. */
    const light = (name: string | null, pipeline: Pipeline): void => {
        const endpoint = pipeline.endpoints.find((endpoint) => endpoint.name === name);
        const dim = (kind: string, other: string): boolean => {
            if (!endpoint) return false;
            if (kind === "input") return endpoint.from_inputs !== null && !endpoint.from_inputs.includes(other);
            return (kind === "lane" || kind === "endpoint") && other !== name;
        };
        for (const { box, group } of nodes) group.classList.toggle("dim", dim(box.kind, box.name));
        for (const { flow, name, path } of lines) path.classList.toggle("dim", dim(flow === "in" ? "input" : "lane", name));
    };

    const show = (pipeline: Pipeline, rates: Rates): void => {
        const width = Math.max(element.clientWidth - 4, 280);
        const [inputs, endpoints] = [pipeline.inputs.map(({ name }) => name), pipeline.endpoints.map(({ name }) => name)];
        const plan = JSON.stringify([inputs, endpoints, width]);
        if (plan !== drawn) build(layout(inputs, endpoints, width), pipeline);
        drawn = plan;
        for (const one of nodes) write(one, pipeline, rates);
        for (const { flow, name, path } of lines) {
            const rate = rates.of(`${flow} ${name}`) ?? 0;
            const endpoint = pipeline.endpoints.find((endpoint) => endpoint.name === name);
            const level = flow === "out" && endpoint ? STATES[endpoint.state].level : "good";
            set(path, {
                class: `flow ${rate > 0 ? "moving" : "still"} ${level}${path.classList.contains("dim") ? " dim" : ""}`,
                "stroke-width": (1.5 + Math.log10(1 + rate)).toFixed(1),
            });
        }
        set(picture, { "aria-label": described(pipeline, rates) });
    };
    return { element, show };
}

function node(box: Box): Node {
    const title = svg("title");
    const texts = Array.from({ length: Math.max(3, Math.floor((box.height - 10) / 17)) }, (_, at) =>
        svg("text", { x: box.x + PAD, y: box.y + 20 + at * 17, class: at === 0 ? "name" : "fact" }),
    );
    const rect = { x: box.x, y: box.y, width: box.width, height: box.height, rx: 6 };
    const tank = box.kind === "spool" ? svg("rect", { class: "tank", ...rect }) : null;
    const test = `node-${box.kind}${box.name ? `-${box.name}` : ""}`;
    const group = svg("g", { class: `node ${box.kind}`, "data-test": test }, title, svg("rect", { class: "box", ...rect }), tank, texts);
    return { box, group, title, texts };
}

/** Lines of a box, what of them is a trouble, and what is too long for it. */
interface Told {
    lines: string[];
    level: Level;
}

function write({ box, group, title, texts }: Node, pipeline: Pipeline, rates: Rates): void {
    const most = Math.floor((box.width - 2 * PAD) / LETTER);
    const { lines, level } = told(box, most, pipeline, rates);
    const fits = lines.length > texts.length ? [...lines.slice(0, texts.length - 1), `and ${lines.length - texts.length + 1} more`] : lines;
    texts.forEach((text, at) => say(text, cut(fits[at] ?? "", most)));
    say(title, lines.join("\n"));
    for (const one of ["good", "idle", "warn", "bad"]) group.classList.toggle(one, one === level);
    const tank = group.querySelector(".tank");
    if (tank) {
        const { spool } = pipeline;
        const part = spool.max_bytes > 0 ? Math.min(spool.bytes / spool.max_bytes, 1) : 0;
        // The bar stands or lies, as the pipeline does.
        const lies = box.width > box.height * 2;
        const size = (lies ? box.width : box.height) * part;
        set(tank, lies ? { width: size } : { y: box.y + box.height - size, height: size });
    }
}

function told(box: Box, most: number, pipeline: Pipeline, rates: Rates): Told {
    const told: Record<Kind, () => Told> = {
        input: () => ofInput(pipeline.inputs.find(({ name }) => name === box.name), rates),
        intake: () => ({
            lines: ["Intake", perSecond(rates.of("in")), ...packed(pipeline.edits.length > 0 ? ["edits:", ...pipeline.edits] : ["no edits"], " ", most)],
            level: "good",
        }),
        lane: () => {
            const endpoint = pipeline.endpoints.find(({ name }) => name === box.name);
            const takes = endpoint ? conditions(endpoint, pipeline.filters) : [];
            // Upright, a lane does not stand beside its endpoint.
            const head = perSecond(rates.of(`meant ${box.name}`));
            return { lines: [`${head} for ${box.name}`, ...packed(takes.length > 0 ? takes : ["takes everything"], " · ", most)], level: "good" };
        },
        spool: () => {
            const { spool } = pipeline;
            const full = spool.full_in_s === null ? "not growing" : `full in ${span(spool.full_in_s * 1000)}`;
            return { lines: ["Spool", `${bytes(spool.bytes)} of ${bytes(spool.max_bytes)}`, full], level: fullLevel(spool) };
        },
        endpoint: () => ofEndpoint(pipeline.endpoints.find(({ name }) => name === box.name), rates),
    };
    return told[box.kind]();
}

/** As many together in a line as have room there. */
function packed(texts: string[], between: string, most: number): string[] {
    const lines: string[] = [];
    for (const text of texts) {
        const last = lines.at(-1);
        if (last !== undefined && last.length + between.length + text.length <= most) lines[lines.length - 1] = last + between + text;
        else lines.push(text);
    }
    return lines;
}

function ofInput(input: Input | undefined, rates: Rates): Told {
    if (!input) return { lines: [], level: "idle" };
    const rate = rates.of(`in ${input.name}`);
    return { lines: [input.name, kind(input), perSecond(rate)], level: rate ? "good" : "idle" };
}

function ofEndpoint(endpoint: Endpoint | undefined, rates: Rates): Told {
    if (!endpoint) return { lines: [], level: "idle" };
    const { level } = STATES[endpoint.state];
    const behind = endpoint.buffered > 0 ? ` · ${short(endpoint.buffered)} wait` : "";
    return {
        lines: [
            endpoint.name,
            `${endpoint.state}${behind}`,
            `${perSecond(rates.of(`out ${endpoint.name}`))}${endpoint.type === endpoint.name ? "" : ` · ${endpoint.type}`}`,
        ],
        level,
    };
}

/** What it is, where its name does not say so. */
export function kind({ name, type, place }: Input): string {
    const where = place?.replace(/^\w+:\/\/| \(.*$/g, "") ?? "";
    return [type === name ? "" : type, where].filter((text) => text !== "").join(" ");
}

/** The drawing in a sentence; the tables below it have the numbers. */
function described(pipeline: Pipeline, rates: Rates): string {
    const inputs = pipeline.inputs.map(({ name }) => name).join(", ") || "nothing";
    const endpoints = pipeline.endpoints.map(({ name, state }) => `${name} (${state})`).join(", ") || "nothing";
    const moving = perSecond(rates.of("in"));
    return `Messages flow from ${inputs} through the spool to ${endpoints}; ${moving} come in. The tables below say the same in numbers.`;
}
