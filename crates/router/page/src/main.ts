// The frame around the views: navigation, themes, the line that says that the connection is lost.

import { watchConnection } from "./api";
import { fill, h, say, set } from "./dom";
import { icon } from "./icons";
import { askForKey } from "./key";
import { bind, help, listen } from "./keys";
import { toasts } from "./toast";
import { allViews, go, link, start, view } from "./view";
import { live } from "./live";
import { search } from "./search";
import { metrics } from "./metrics";
import { pipeline } from "./pipeline";
import { dead } from "./dead";
import { explain } from "./explain";

view("live", "Live", live);
view("search", "Search", search);
view("metrics", "Metrics", metrics);
view("pipeline", "Pipeline", pipeline);
view("dead", "Dead letters", dead);
view("explain", "Explain", explain);

const THEMES = ["auto", "light", "dark"] as const;

function themeButton(): HTMLElement {
    let theme: (typeof THEMES)[number] = THEMES.find((one) => one === localStorage.getItem("metlog-theme")) ?? "auto";
    const button = h("button", { class: "bare", "data-test": "theme", onclick: () => {
        theme = THEMES[(THEMES.findIndex((one) => one === theme) + 1) % THEMES.length] ?? "auto";
        localStorage.setItem("metlog-theme", theme);
        show();
    } });
    const show = (): void => {
        document.documentElement.dataset["theme"] = theme;
        fill(button, icon(theme));
        set(button, { title: `Theme: ${theme}`, "aria-label": `Theme: ${theme}. Change` });
    };
    show();
    return button;
}

function lostLine(): HTMLElement {
    const line = h("div", { class: "lost", role: "alert", "data-test": "lost", hidden: true });
    watchConnection((lost) => {
        line.hidden = !lost;
        say(line, lost ? `No connection to the router since ${new Date().toLocaleTimeString()}. Trying again.` : "");
    });
    return line;
}

function frame(): void {
    const links = new Map<string, HTMLElement>();
    for (const { name, title } of allViews()) links.set(name, h("a", { href: link(name), "data-test": `nav-${name}` }, title));
    const main = h("main", { id: "main", tabindex: -1 });
    document.body.append(
        h("a", { class: "skip", href: "#main", onclick: (event: Event) => {
            event.preventDefault();
            main.focus();
        } }, "To the content"),
        h("header", { class: "bar" },
            h("a", { class: "brand", href: link("live"), "aria-label": "metlog" }, "metlog"),
            h("nav", { "aria-label": "Views" }, [...links.values()]),
            h("span", { class: "tools" },
                h("button", { class: "bare", title: "Key", "aria-label": "Use another key", "data-test": "key",
                    onclick: () => void askForKey("Type another key in to act with it.").then((given) => given && location.reload()) }, icon("key")),
                themeButton(),
                h("button", { class: "bare wide", title: "Keys and queries (?)", "aria-label": "Help", "data-test": "help-button", onclick: help }, "?"),
                h("a", { class: "bare docs", href: "/docs", title: "HTTP API" }, "API"),
            ),
        ),
        lostLine(),
        main,
        ...toasts(),
    );
    bind("?", "this help", help);
    bind("Escape", "close, give up, back to the list", () => main.focus());
    allViews().forEach(({ name, title }, at) => bind(String(at + 1), title, () => go(name)));
    listen();
    start(main, (name) => {
        for (const [own, element] of links) set(element, { "aria-current": own === name ? "page" : null });
        // On a phone they do not all fit.
        links.get(name)?.scrollIntoView({ block: "nearest", inline: "center" });
    });
}

frame();
