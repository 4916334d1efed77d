// One line in the corner, for what happened and what did not.

import { h } from "./dom";

const place = h("div", { class: "toasts", role: "status", "aria-live": "polite", "data-test": "toasts" });
const loud = h("div", { class: "toasts", role: "alert", "data-test": "errors" });

/** Where they appear. */
export function toasts(): Node[] {
    return [place, loud];
}

/** Says something for some seconds. */
export function toast(text: string, kind: "done" | "error" = "done"): void {
    const parent = kind === "error" ? loud : place;
    for (const old of [...parent.children]) if (old.getAttribute("data-text") === text) old.remove();
    const box = h(
        "div",
        { class: `toast ${kind}`, "data-text": text, "data-test": `toast-${kind}` },
        h("span", {}, text),
        h("button", { class: "bare", "aria-label": "Dismiss", onclick: () => box.remove() }, "×"),
    );
    parent.append(box);
    while (parent.children.length > 3) parent.firstChild?.remove();
    setTimeout(() => box.remove(), kind === "error" ? 12_000 : 4000);
}

/** Asks before something is done that cannot be undone. */
export function confirm(question: string, yes: string): Promise<boolean> {
    return new Promise((done) => {
        let agreed = false;
        const agree = (): void => {
            agreed = true;
            box.close();
        };
        const box = h(
            "dialog",
            { class: "dialog", "aria-label": question, "data-test": "confirm" },
            h("p", {}, question),
            h("p", { class: "buttons" },
                h("button", { onclick: () => box.close(), "data-test": "confirm-no" }, "Cancel"),
                h("button", { class: "main danger", onclick: agree, "data-test": "confirm-yes" }, yes),
            ),
        );
        box.addEventListener("close", () => {
            box.remove();
            done(agreed);
        });
        document.body.append(box);
        box.showModal();
    });
}
