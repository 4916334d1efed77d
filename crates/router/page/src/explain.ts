// Explain: what the router makes of a message, what each filter says, and where it goes. Nothing is sent or counted.

import { Lost, Refused, ask, get, post } from "./api";
import { pretty } from "./dead";
import { type Child, fill, h, say, unique } from "./dom";
import { icon } from "./icons";
import type { Pipeline } from "./pipe";
import type { Context } from "./view";
import { shown } from "./visible";

interface Explained {
    understood: string | null;
    notes: string[];
    edits?: { edit: string; changed: boolean }[];
    refused: string | null;
    endpoints: { endpoint: string; takes: boolean; why: string | null }[];
    filters: { filter: string; says: boolean }[];
}

const EXAMPLE = `{"type": "log", "logger": "web", "severity": 3, "payload": "disk full", "fields": {"disk": "sda"}}`;

export function explain(context: Context): void {
    const { root, signal } = context;
    root.classList.add("page");
    const [id, from] = [unique(), unique()];
    const text = h("textarea", { id, rows: 8, spellcheck: "false", class: "mono", placeholder: EXAMPLE, "data-test": "explain-message" });
    const input = h("select", { id: from, "data-test": "explain-input" }, h("option", { value: "" }, "the first one"));
    const wrong = h("p", { class: "error", role: "alert", hidden: true, "data-test": "explain-error" });
    const answer = h("div", { class: "explained", role: "status", "data-test": "explained" });
    let asked = 0;

    const show = async (): Promise<void> => {
        const number = ++asked;
        const message = text.value.trim() || EXAMPLE;
        if (text.value.trim() === "") text.value = EXAMPLE;
        const body = input.value ? { message, input: input.value } : { message };
        let explained: Explained | null = null;
        let error = "";
        try {
            explained = await post<Explained>("/v1/explain", body, signal);
        } catch (failed) {
            if (!(failed instanceof Refused) && !(failed instanceof Lost)) throw failed;
            error = failed.message;
        }
        // An answer to what has been asked anew since is no answer.
        if (number !== asked) return;
        wrong.hidden = error === "";
        say(wrong, error);
        if (explained) fill(answer, told(explained));
    };
    const submit = (event: Event): void => {
        event.preventDefault();
        context.write(new URLSearchParams());
        context.run(show());
    };
    /** A message from a row: its text, or where it is kept. */
    const take = async (params: URLSearchParams): Promise<void> => {
        const [message, position, by] = [params.get("message"), params.get("position"), params.get("input")];
        if (by !== null && ![...input.options].some((option) => option.value === by)) input.append(h("option", { value: by }, by));
        if (by !== null) input.value = by;
        if (message !== null) text.value = pretty(message);
        else if (position !== null && /^\d+$/.test(position)) text.value = pretty(await (await ask(`/v1/messages/${position}`, { signal })).text());
        else return;
        await show();
    };

    root.append(
        h("div", { class: "headline" }, h("h1", {}, "Explain"),
            h("p", { class: "quiet" }, "Where would this message go, and which filter says no? Nothing is sent or counted.")),
        h("form", { class: "explain-form", onsubmit: submit },
            h("label", { for: id }, "A message, as an application sends it"), text,
            h("div", { class: "row" }, h("label", { for: from }, "coming by"), input, h("span", { class: "grow" }),
                h("button", { type: "submit", class: "main", "data-test": "explain-go" }, "Explain")),
        ),
        wrong, answer,
    );
    text.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
    });
    context.key(["/", "e"], "to the message (Ctrl Enter explains it)", () => text.focus());
    context.changed((params) => context.run(take(params)));
    context.run(take(context.params));
    const inputs = async (): Promise<void> => {
        const { inputs } = await get<Pipeline>("/v1/pipeline", {}, signal);
        const known = new Set([...input.options].map((option) => option.value));
        for (const { name } of inputs) if (!known.has(name)) input.append(h("option", { value: name }, name));
    };
    context.run(inputs());
    context.healed(() => context.run(inputs()));
}

function told({ understood, notes, edits = [], refused, endpoints, filters: all }: Explained): Child[] {
    // What edits has said what it has to say.
    const filters = all.filter(({ filter }) => !edits.some(({ edit }) => edit === filter));
    if (refused !== null) {
        return [
            h("p", { class: "verdict bad", "data-test": "explain-refused" }, h("b", {}, icon("no"), " Refused, to the dead letters: "), shown(refused)),
            remarks(notes, edits),
        ];
    }
    const takers = endpoints.filter(({ takes }) => takes).length;
    const verdict = takers > 0 ? `It goes to ${takers} of ${endpoints.length} endpoints.` : "Nobody wants it: it is counted as unwanted and goes no further.";
    return [
        h("p", { class: `verdict ${takers > 0 ? "good" : "quiet"}`, "data-test": "explain-verdict" }, h("b", {}, icon(takers > 0 ? "yes" : "circle"), ` ${verdict}`)),
        h("h2", {}, "Where it goes"),
        verdicts("Endpoints", ["Endpoint", "Verdict", "Why"], endpoints.map(({ endpoint, takes, why }) => [endpoint, takes, takes ? "takes it" : "does not", why ?? ""])),
        h("h2", {}, "What each filter says"),
        filters.length > 0
            ? verdicts("Filters", ["Filter", "Verdict"], filters.map(({ filter, says }) => [filter, says, says ? "yes" : "no"]))
            : h("p", { class: "quiet" }, "There are no named filters."),
        h("h2", {}, "As the router writes it"),
        remarks(notes, edits),
        h("pre", { class: "source", "data-test": "explain-understood" }, shown(pretty(understood ?? ""))),
    ];
}

/** What was mended, and what the operator's edits did. */
function remarks(notes: string[], edits: { edit: string; changed: boolean }[]): Child {
    const all = [...notes, ...edits.map(({ edit, changed }) => `edit ${edit} ${changed ? "changed it" : "left it as it was"}`)];
    return all.length > 0 && h("ul", { class: "notes", "data-test": "explain-notes" }, all.map((note) => h("li", {}, shown(note))));
}

type Verdict = readonly [name: string, yes: boolean, ...told: string[]];

function verdicts(label: string, titles: string[], rows: Verdict[]): HTMLElement {
    const cell = (yes: boolean) => (text: string, at: number): HTMLElement => 
        h("td", { class: at === 0 ? (yes ? "good" : "bad") : "" }, at === 0 && [icon(yes ? "yes" : "no"), " "], shown(text));
    return h("div", { class: "table narrow", role: "region", "aria-label": label, tabindex: 0 },
        h("table", {}, h("thead", {}, h("tr", {}, titles.map((title) => h("th", { scope: "col" }, title)))),
            h("tbody", {}, rows.map(([name, yes, ...told]) =>
                h("tr", { "data-test": `verdict-${name}`, "data-yes": String(yes) }, h("th", { scope: "row" }, name), told.map(cell(yes))))),
        ));
}
