// Signs, drawn: a font that lacks a symbol shows an empty box.

import { svg } from "./dom";

/** What is drawn in a square of 16 by 16, in the colour of the text around it. */
const DRAWN = {
    key: "M6.5 9.5a3.6 3.6 0 1 1 2.1-.9l5.4 5.4M11 11l1.8-1.8M13 13l1.2-1.2",
    auto: "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12",
    light: "M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6zM8 1v2M8 13v2M1 8h2M13 8h2M3 3l1.4 1.4M11.6 11.6l1.4 1.4M3 13l1.4-1.4M11.6 4.4l1.4-1.4",
    dark: "M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3z",
    yes: "M2.5 8.5l3.7 4L13.5 4",
    no: "M3.5 3.5l9 9M12.5 3.5l-9 9",
    circle: "M8 3a5 5 0 1 0 0 10a5 5 0 0 0 0-10z",
    triangle: "M8 2.5l6 11h-12z",
    play: "M4 2.5l9 5.5l-9 5.5z",
    again: "M13 8a5 5 0 1 1-1.6-3.7M11.8 1v3.6h-3.6",
    halt: "M8 2v7.5M8 12.6v.9",
    pause: "M5.5 3v10M10.5 3v10",
} as const;

export type Icon = keyof typeof DRAWN;

/** Those that are areas rather than lines. */
const FILLED: readonly Icon[] = ["play", "triangle"];

/** A sign for those who see it; what it means must be said beside it. */
export function icon(name: Icon): SVGSVGElement {
    const d = DRAWN[name];
    const half = name === "auto" && svg("path", { d: "M8 2a6 6 0 1 0 0 12z", class: "filled" });
    const path = svg("path", { d, class: FILLED.includes(name) ? "filled" : "" });
    return svg("svg", { class: "icon", viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true", "data-icon": name }, half, path);
}
