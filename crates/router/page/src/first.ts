// Nothing is here yet: how to send a first message.

import { key } from "./key";
import { h } from "./dom";
import { copy } from "./detail";

function commands(): [string, string][] {
    const to = `${location.origin}/v1/messages`;
    const [shell, ini, python] = key()
        ? [`-H "Authorization: Bearer $METLOG_KEY" `, "\\nsender_key = ${METLOG_KEY}", `, {"Authorization": "Bearer " + os.environ["METLOG_KEY"]}`]
        : ["", "", ""];
    return [
        ["Shell", `curl ${shell}-d '{"type":"hello","payload":"it works"}' ${to}`],
        ["Rust", `let _guard = metlog::from_text("[metlog]\\nlogger = hello\\nsender_class = http\\nsender_url = ${to}${ini}", "metlog")?.guard(); metlog::info!("it works");`],
        ["Python", `python3 -c 'import os, urllib.request as u; u.urlopen(u.Request("${to}", b"{\\"type\\":\\"hello\\",\\"payload\\":\\"it works\\"}"${python}))'`],
    ];
}

/** A panel that teaches. */
export function first(): HTMLElement {
    return h("section", { class: "first card", "data-test": "first", "aria-label": "Send a first message" },
        h("h2", {}, "Nothing has come in yet"),
        h("p", {}, "Send a first message. It appears here at once."),
        commands().map(([name, command]) => [
            h("h3", {}, name),
            h("div", { class: "command" },
                h("pre", { tabindex: 0, "aria-label": `${name} command`, "data-test": `first-${name.toLowerCase()}` }, command),
                h("button", { "aria-label": `Copy the ${name} command`, onclick: () => void copy(command) }, "Copy"),
            ),
        ]),
    );
}
