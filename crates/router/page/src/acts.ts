// What changes something: each asks first, says what came of it, and asks for a better key where the one in use may not.

import { Lost, Refused, post } from "./api";
import { h, unique } from "./dom";
import { plural } from "./format";
import { askForKey } from "./key";
import { confirm, toast } from "./toast";

/** Changes something; of a key that may only read, another one is asked for. */
export async function act<T>(path: string, body: unknown): Promise<T> {
    for (;;) {
        try {
            return await post<T>(path, body);
        } catch (error) {
            // The line at the top says that the connection is lost, but not that something was not done.
            if (error instanceof Lost) throw new Error("No answer. Look whether it was done when the connection is back.");
            if (!(error instanceof Refused) || error.status !== 403 || !(await askForKey(error.message))) throw error;
        }
    }
}

const of = (endpoint: string, what: string): string => `/v1/endpoints/${encodeURIComponent(endpoint)}/${what}`;

/** Each is true if it was done. */
export async function pause(endpoint: string): Promise<boolean> {
    const question = `Pause ${endpoint}? What is meant for it waits in the spool, which fills up meanwhile.`;
    if (!(await confirm(question, "Pause"))) return false;
    await act(of(endpoint, "pause"), {});
    toast(`${endpoint} is paused`);
    return true;
}

export async function resume(endpoint: string): Promise<boolean> {
    if (!(await confirm(`Resume ${endpoint}? Everything that waits for it is sent now.`, "Resume"))) return false;
    await act(of(endpoint, "resume"), {});
    toast(`${endpoint} goes on`);
    return true;
}

export async function reload(): Promise<boolean> {
    const question = "Read the configuration again? If anything in it is wrong, everything stays as it is and the mistake is told.";
    if (!(await confirm(question, "Reload"))) return false;
    const { changes } = await act<{ changes: string }>("/v1/reload", {});
    toast(changes.trim() || "Nothing changed");
    return true;
}

export async function replay(endpoint: string): Promise<boolean> {
    const period = await askForPeriod(endpoint);
    if (!period) return false;
    const { messages, counted } = await act<{ messages: number; counted?: boolean }>(of(endpoint, "replay"), period);
    toast(`${counted === false ? "More than " : ""}${plural(messages, "message")} to send to ${endpoint} again`);
    return true;
}

type Period = { since: string } | { from: string; to: string | null };

/** Which messages to send again: those of the last hour, say, or those from one id to another. */
function askForPeriod(endpoint: string): Promise<Period | null> {
    return new Promise((done) => {
        let period: Period | null = null;
        const field = (label: string, test: string, attrs: Record<string, string | boolean>): [HTMLElement, HTMLInputElement] => {
            const id = unique();
            const input = h("input", { id, "data-test": test, autocomplete: "off", ...attrs });
            return [h("p", { class: "field" }, h("label", { for: id }, label), input), input];
        };
        const [last, since] = field("The last", "replay-since", { value: "1h", pattern: "\\s*\\d+\\s*(ms|s|m|min|h|d|w)\\s*", title: "such as 30m, 2h, 1d" });
        const [first, from] = field("Or: from id", "replay-from", { inputmode: "numeric", pattern: "\\d*", title: "a whole number" });
        const [end, to] = field("Before id", "replay-to", { inputmode: "numeric", pattern: "\\d*", title: "a whole number; none: to the end" });
        // One of the two ways: who types ids does not mean the last hour.
        const either = (): void => {
            const byId = from.value !== "" || to.value !== "";
            since.disabled = byId;
            since.required = !byId;
            from.required = byId;
        };
        const submit = (event: Event): void => {
            event.preventDefault();
            period = since.disabled ? { from: from.value, to: to.value || null } : { since: since.value.trim() };
            box.close();
        };
        const title = `Send a period to ${endpoint} again`;
        const box = h("dialog", { class: "dialog", "aria-label": title, "data-test": "replay-dialog" },
            h("form", { onsubmit: submit, oninput: either },
                h("h2", {}, title),
                h("p", {}, "What is still in the spool goes through today’s filters and to this endpoint once more. It gets messages twice that it has already."),
                last, first, end,
                h("p", { class: "buttons" },
                    h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
                    h("button", { type: "submit", class: "main danger", "data-test": "replay-yes" }, "Send again"),
                ),
            ),
        );
        box.addEventListener("close", () => {
            box.remove();
            done(period);
        });
        document.body.append(box);
        either();
        box.showModal();
        since.select();
    });
}
