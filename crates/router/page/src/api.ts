// Asking the router. The key is typed in once and kept for this tab. A lost connection is told once, and heals.

import { parse, isTree, own, type Json } from "./json";
import { askForKey, forgetKey, key } from "./key";

/** What the router answered instead. */
export class Refused extends Error {
    constructor(
        readonly status: number,
        message: string,
        /** Of a query: the character, the first being 1. */
        readonly column?: number,
    ) {
        super(message);
    }
}

/** No answer at all. */
export class Lost extends Error {}

export type Params = Record<string, string | number | boolean | null | undefined>;

/** Whoever wants to know when the connection is lost (`true`) or there again (`false`). */
const watchers = new Set<(lost: boolean) => void>();
let lost = false;

export function watchConnection(watcher: (lost: boolean) => void, signal?: AbortSignal): void {
    watchers.add(watcher);
    signal?.addEventListener("abort", () => watchers.delete(watcher));
}

function noteLost(): void {
    if (lost) return;
    lost = true;
    watchers.forEach((watcher) => watcher(true));
    void heal();
}

function noteThere(): void {
    if (!lost) return;
    lost = false;
    watchers.forEach((watcher) => watcher(false));
}

export const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function heal(): Promise<void> {
    for (let pause = 500; lost; pause = Math.min(pause * 1.5, 5000)) {
        await wait(pause);
        try {
            const answer = await fetch("/health/live", { cache: "no-store", credentials: "omit" });
            if (answer.ok) noteThere();
        } catch {
            // Still away.
        }
    }
}

export function address(path: string, params: Params = {}): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(params)) {
        if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
    }
    const text = query.toString();
    return text ? `${path}?${text}` : path;
}

/** Errors of `fetch` that mean that somebody stopped waiting are passed on as they are. */
function isAbort(error: unknown): boolean {
    return error instanceof DOMException && error.name === "AbortError";
}

async function refusal(answer: Response): Promise<Refused> {
    const said = await answer.text().catch(() => "");
    let message = said.trim().slice(0, 2000) || `${answer.status} ${answer.statusText}`;
    let column: number | undefined;
    try {
        const body = parse(said);
        if (isTree(body)) {
            const [error, at] = [own(body, "error"), own(body, "column")];
            if (typeof error === "string") message = error;
            if (typeof at === "number") column = at;
        }
    } catch {
        // Not JSON: what it said is the message.
    }
    return new Refused(answer.status, message, column);
}

/** Asks, with the key; asks for a key where one is missing. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
    for (;;) {
        const used = key();
        const headers = new Headers(init.headers);
        if (used) headers.set("Authorization", `Bearer ${used}`);
        let answer: Response;
        try {
            // Without credentials a browser shows no dialog of its own when a key is missing.
            answer = await fetch(path, { ...init, headers, cache: "no-store", credentials: "omit" });
        } catch (error) {
            if (isAbort(error)) throw error;
            noteLost();
            throw new Lost("no connection to the router");
        }
        noteThere();
        if (answer.ok) return answer;
        const refused = await refusal(answer);
        if (refused.status !== 401) throw refused;
        if (used === key()) {
            forgetKey();
            if (!(await askForKey(refused.message))) throw refused;
        }
        init.signal?.throwIfAborted();
    }
}

/** GETs JSON. */
export async function get<T = Json>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
    const answer = await ask(address(path, params), signal ? { signal } : {});
    return parse(await body(answer)) as T;
}

async function body(answer: Response): Promise<string> {
    try {
        return await answer.text();
    } catch (error) {
        if (isAbort(error)) throw error;
        noteLost();
        throw new Lost("the connection broke off");
    }
}

/** POSTs JSON, and says so in the way that no other site's page can. */
export async function post<T = Json>(path: string, value: unknown = {}, signal?: AbortSignal): Promise<T> {
    const headers = { "Content-Type": "application/json", "X-Metlog": "1" };
    const init: RequestInit = { method: "POST", headers, body: JSON.stringify(value) };
    const answer = await ask(path, signal ? { ...init, signal } : init);
    const said = await body(answer);
    return (said.trim() ? parse(said) : null) as T;
}

/** Saves an answer as a file. */
export async function download(path: string, params: Params, name: string): Promise<void> {
    const blob = await (await ask(address(path, params))).blob();
    const url = URL.createObjectURL(blob);
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export interface StreamEvent {
    event: string;
    data: string;
    id: string | null;
}

/** What a stream is doing. */
export type Flow = "open" | "lost";

/**
 * Reads server-sent events until `signal` ends it, and begins again behind the last id when it breaks off. EventSource
 * cannot send a key. Rejects if the router refuses what is asked.
 */
export async function stream(
    path: string,
    params: Params,
    after: string | null,
    each: (events: StreamEvent[]) => void,
    flow: (state: Flow) => void,
    signal: AbortSignal,
): Promise<void> {
    let last = after;
    for (let pause = 250; !signal.aborted; ) {
        try {
            const headers: Record<string, string> = { Accept: "text/event-stream" };
            if (last) headers["Last-Event-ID"] = last;
            const answer = await ask(address(path, { ...params, after: last }), { headers, signal });
            flow("open");
            pause = 250;
            await events(answer, (some) => {
                for (const { id } of some) last = id ?? last;
                each(some);
            });
        } catch (error) {
            if (signal.aborted) return;
            if (error instanceof Refused && error.status < 500 && error.status !== 429) throw error;
        }
        if (signal.aborted) return;
        flow("lost");
        await wait(pause);
        pause = Math.min(pause * 2, 5000);
    }
}

/** An event that never ends is no event. */
const LONGEST = 16 * 1024 * 1024;

async function events(answer: Response, each: (events: StreamEvent[]) => void): Promise<void> {
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    if (!reader) return;
    let rest = "";
    for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        const pieces = (rest + value).split("\n\n");
        rest = pieces.pop() ?? "";
        if (rest.length > LONGEST) throw new Lost("an event without an end");
        const some = pieces.map(event).filter((event) => event !== null);
        if (some.length) each(some);
    }
}

function event(piece: string): StreamEvent | null {
    const found: StreamEvent = { event: "message", data: "", id: null };
    const data: string[] = [];
    for (const line of piece.split("\n")) {
        const colon = line.indexOf(":");
        if (colon <= 0) continue;
        const value = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
        if (line.startsWith("data:")) data.push(value);
        else if (line.startsWith("event:")) found.event = value;
        else if (line.startsWith("id:")) found.id = value;
    }
    found.data = data.join("\n");
    return data.length ? found : null;
}
