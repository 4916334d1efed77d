// Text that cannot pretend: control characters and those that turn the direction of writing are shown as what they are.

const HIDDEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

function name(symbol: string): string {
    const code = symbol.codePointAt(0) ?? 0;
    if (symbol === "\t") return "\t";
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : `⟨${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** As it is, hidden characters shown. */
export function shown(said: string): string {
    return said.replace(HIDDEN, name);
}

/** In one line, cut to so many characters. */
export function visible(said: string, most: number): string {
    const cut = said.length > most ? `${said.slice(0, most)}…` : said;
    return shown(cut).replace(/\n/g, "⏎").replace(/\t/g, " ");
}
