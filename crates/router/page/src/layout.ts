// Where the parts of a pipeline stand in its drawing.
//
// Side by side, every endpoint has a lane of its own, so that no line crosses another: inputs, then all that comes in
// together, then what each endpoint takes, then the spool, then the endpoints. On a narrow screen the same goes
// downwards along one trunk.

export type Kind = "input" | "intake" | "lane" | "spool" | "endpoint";

export interface Box {
    kind: Kind;
    /** Of the input or endpoint; of the others, nothing. */
    name: string;
    x: number;
    y: number;
    width: number;
    height: number;
}

/** What flows along it: what comes in by an input, what is meant for an endpoint, what it takes away. */
export type Flow = "in" | "meant" | "out";

export interface Line {
    flow: Flow;
    name: string;
    path: string;
}

export interface Layout {
    width: number;
    height: number;
    upright: boolean;
    boxes: Box[];
    lines: Line[];
}

/** Below this many pixels the drawing goes downwards. */
export const NARROW = 720;

const ROW = 64;
const GAP = 14;
/** Shares of the width, in the order of the flow; what is left is divided among the lines between. */
const COLUMNS: [Kind, number][] = [["input", 0.17], ["intake", 0.13], ["lane", 0.18], ["spool", 0.13], ["endpoint", 0.21]];

export function layout(inputs: string[], endpoints: string[], width: number): Layout {
    return width < NARROW ? downwards(inputs, endpoints, width) : sideways(inputs, endpoints, width);
}

function sideways(inputs: string[], endpoints: string[], width: number): Layout {
    const rows = Math.max(inputs.length, endpoints.length, 1);
    const height = rows * ROW + (rows - 1) * GAP;
    const gap = (width * (1 - COLUMNS.reduce((sum, [, share]) => sum + share, 0))) / (COLUMNS.length - 1);
    const columns = new Map<Kind, { x: number; width: number }>();
    let x = 0;
    for (const [kind, share] of COLUMNS) {
        columns.set(kind, { x: Math.round(x), width: Math.round(width * share) });
        x += width * share + gap;
    }
    const boxes: Box[] = [];
    const lines: Line[] = [];
    const column = (kind: Kind, names: string[]) => {
        const step = height / Math.max(names.length, 1);
        names.forEach((name, at) => {
            const y = Math.round(at * step + (step - ROW) / 2);
            boxes.push({ kind, name, ...columns.get(kind)!, y, height: ROW });
        });
    };
    const bar = (kind: Kind) => boxes.push({ kind, name: "", ...columns.get(kind)!, y: 0, height });
    column("input", inputs);
    bar("intake");
    column("lane", endpoints);
    bar("spool");
    column("endpoint", endpoints);
    for (const box of boxes) {
        if (box.name === "" && (box.kind === "intake" || box.kind === "spool")) continue;
        const middle = box.y + ROW / 2;
        const [intake, spool] = [columns.get("intake")!, columns.get("spool")!];
        const across = (flow: Flow, from: number, to: number) =>
            lines.push({ flow, name: box.name, path: `M${from} ${middle}H${to}` });
        if (box.kind === "input") across("in", box.x + box.width, intake.x);
        if (box.kind === "lane") {
            across("meant", intake.x + intake.width, box.x);
            across("meant", box.x + box.width, spool.x);
        }
        if (box.kind === "endpoint") across("out", spool.x + spool.width, box.x);
    }
    return { width, height, upright: false, boxes, lines };
}

function downwards(inputs: string[], endpoints: string[], width: number): Layout {
    const [trunk, left, space] = [8, 26, 10];
    const boxes: Box[] = [];
    let y = 0;
    const put = (kind: Kind, name: string, height: number) => {
        boxes.push({ kind, name, x: left, y, width: Math.max(width - left, 40), height });
        y += height + space;
    };
    inputs.forEach((name) => put("input", name, ROW));
    put("intake", "", ROW);
    endpoints.forEach((name) => put("lane", name, ROW));
    put("spool", "", ROW);
    endpoints.forEach((name) => put("endpoint", name, ROW));
    const middle = (box: Box) => box.y + box.height / 2;
    const bar = (kind: Kind) => middle(boxes.find((box) => box.kind === kind)!);
    // Each to its own side of a bar, so that what comes and what goes do not lie upon each other.
    const between = (from: number, to: number) => `M${left} ${from}H${trunk}V${to}H${left}`;
    const lines = boxes.flatMap((box): Line[] => {
        const at = middle(box);
        if (box.kind === "input") return [{ flow: "in", name: box.name, path: between(at, bar("intake") - 8) }];
        if (box.kind === "lane") {
            return [
                { flow: "meant", name: box.name, path: between(bar("intake") + 8, at - 8) },
                { flow: "meant", name: box.name, path: between(at + 8, bar("spool") - 8) },
            ];
        }
        return box.kind === "endpoint" ? [{ flow: "out", name: box.name, path: between(bar("spool") + 8, at) }] : [];
    });
    return { width, height: Math.max(y - space, 0), upright: true, boxes, lines };
}
