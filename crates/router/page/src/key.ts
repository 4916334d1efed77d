// The key, if the router asks for one: typed in once, kept for this tab, never in an address.

import { h } from "./dom";

const NAME = "metlog-key";

export function key(): string | null {
    return sessionStorage.getItem(NAME);
}

export function forgetKey(): void {
    sessionStorage.removeItem(NAME);
}

let asking: Promise<boolean> | null = null;

/** Asks for a key; false if none was given. Asked for by many at once, it asks once. */
export function askForKey(why: string): Promise<boolean> {
    asking ??= dialog(why).finally(() => {
        asking = null;
    });
    return asking;
}

function dialog(why: string): Promise<boolean> {
    return new Promise((done) => {
        const input = h("input", {
            type: "password", autocomplete: "off", "aria-label": "Key", placeholder: "key", "data-test": "key-input",
        });
        let given = false;
        const submit = (event: Event): void => {
            event.preventDefault();
            const text = input.value.trim();
            if (text) {
                sessionStorage.setItem(NAME, text);
                given = true;
            }
            box.close();
        };
        const box = h(
            "dialog",
            { class: "dialog", "aria-label": "Key", "data-test": "key-dialog" },
            h("form", { onsubmit: submit },
                h("h2", {}, "This router asks for a key"),
                h("p", {}, why),
                h("p", { class: "quiet" }, "It is kept for this tab only. ", h("code", {}, "metlog-router key new"), " makes one."),
                input,
                h("p", { class: "buttons" },
                    h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
                    h("button", { type: "submit", class: "main" }, "Use it"),
                ),
            ),
        );
        box.addEventListener("close", () => {
            box.remove();
            done(given);
        });
        document.body.append(box);
        box.showModal();
        input.focus();
    });
}
