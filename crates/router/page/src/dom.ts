// Elements, made one by one. Text from outside becomes a text node or an attribute's value, never markup: there is no
// way here to parse HTML, to set a handler from text, or to link anywhere but into this page or the web.

export type Child = Node | string | number | null | undefined | false | readonly Child[];

type Listener = (event: never) => void;

/** Attributes by name. A function is a listener (`onclick`), `true` an attribute without a value, `style` an object. */
export interface Attrs {
    [name: string]: string | number | boolean | null | undefined | Listener | Record<string, string>;
}

const SVG = "http://www.w3.org/2000/svg";

/** Where a link may lead. */
function safe(address: string): boolean {
    return address.startsWith("#") || /^https?:\/\//i.test(address) || /^(blob:|\/(?!\/))/.test(address);
}

function dress(element: Element, attrs: Attrs): void {
    for (const [name, value] of Object.entries(attrs)) {
        if (value === null || value === undefined || value === false) continue;
        if (typeof value === "function") {
            if (!name.startsWith("on")) throw new Error(`${name} is no listener`);
            element.addEventListener(name.slice(2), value as unknown as EventListener);
        } else if (typeof value === "object") {
            // Through the object model: the page's policy forbids `style` attributes.
            const style = (element as HTMLElement).style;
            for (const [property, text] of Object.entries(value)) style.setProperty(property, text);
        } else if (/^on|^src|^style$/i.test(name) || (name === "href" && !safe(String(value)))) {
            throw new Error(`${name} is not set from text`);
        } else {
            element.setAttribute(name, value === true ? "" : String(value));
        }
    }
}

/** Appends children; texts and numbers become text nodes. */
export function add(parent: Node, ...children: readonly Child[]): void {
    for (const child of children) {
        if (child === null || child === undefined || child === false) continue;
        if (typeof child === "string" || typeof child === "number") parent.appendChild(document.createTextNode(String(child)));
        else if (child instanceof Node) parent.appendChild(child);
        else add(parent, ...child);
    }
}

/** An HTML element. */
export function h<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    attrs: Attrs = {},
    ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
    const element = document.createElement(tag);
    dress(element, attrs);
    add(element, ...children);
    return element;
}

/** An SVG element. */
export function svg<K extends keyof SVGElementTagNameMap>(
    tag: K,
    attrs: Attrs = {},
    ...children: readonly Child[]
): SVGElementTagNameMap[K] {
    const element = document.createElementNS(SVG, tag);
    dress(element, attrs);
    add(element, ...children);
    return element;
}

/** Puts children in the place of all there are. */
export function fill(parent: Element, ...children: readonly Child[]): void {
    parent.replaceChildren();
    add(parent, ...children);
}

/** Sets attributes of an element that is there already; `null` and `false` take one away. */
export function set(element: Element, attrs: Attrs): void {
    for (const [name, value] of Object.entries(attrs)) {
        if (value === null || value === undefined || value === false) element.removeAttribute(name);
    }
    dress(element, attrs);
}

/** Sets a text, if it is another one: what did not change is not announced again. */
export function say(element: Element, text: string): void {
    if (element.textContent !== text) element.textContent = text;
}

let ids = 0;

/** An id for labels. */
export function unique(): string {
    ids += 1;
    return `u${ids}`;
}
