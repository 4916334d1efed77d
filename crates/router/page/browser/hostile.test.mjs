// Whatever a message, an endpoint or an address says: it is text. Nothing of it runs, becomes an element, or asks anybody.

import assert from "node:assert/strict";
import { after } from "node:test";
import { PLAIN, check, message, part, picture, until } from "./harness.mjs";
import { PAYLOADS } from "./payloads.mjs";
import { peer } from "./peer.mjs";

// One refuses with what the message says, the other always fails, with the worst it can think of.
const refusing = await peer(({ body }) => {
    const found = PAYLOADS.find((payload) => body.includes(JSON.stringify(payload).slice(1, -1)) && payload.length > 8);
    return { status: 400, body: JSON.stringify({ error: found ?? PAYLOADS[0] }) };
});
const failing = await peer(() => ({ status: 503, type: "text/html", body: PAYLOADS.slice(0, 40).join("\n") }));
after(() => [refusing, failing].forEach((one) => one.close()));

const CONFIG = `${PLAIN}
[endpoints.refusing]
type = "http"
url = "${refusing.url}"
types = ["refused"]
[endpoints.failing]
type = "http"
url = "${failing.url}"
types = ["refused"]
`;

/** Elements that the page itself is made of; whatever else appears came out of a text. */
const OWN = ["a", "abbr", "article", "aside", "b", "button", "caption", "circle", "code", "datalist", "dd", "defs", "details", "dialog", "div", "dl", "dt", "figcaption", "figure",
    "footer", "form", "g", "h1", "h2", "h3", "h4", "header", "input", "kbd", "label", "legend", "li", "line", "main", "nav", "ol", "option", "output", "p", "path", "polyline", "polygon", "pre", "q", "rect",
    "section", "select", "small", "span", "strong", "summary", "svg", "table", "tbody", "td", "text", "textarea", "tfoot", "th", "thead", "time", "title", "tr", "tspan", "ul", "var", "em", "fieldset", "clipPath"];

/** Looks at everything that is ever added or changed. */
const guard = (own) => {
    const allowed = new Set(own.map((name) => name.toLowerCase()));
    const look = (element) => {
        if (!allowed.has(element.localName.toLowerCase())) window.trapped.push(`an element: ${element.outerHTML.slice(0, 200)}`);
        for (const { name, value } of element.attributes) {
            if (/^on|^src|^style$|^formaction$|^action$|^ping$|^srcdoc$/i.test(name) && !(name === "style" && !/url|expression|import/i.test(value))) window.trapped.push(`an attribute: ${name}=${value.slice(0, 200)}`);
            if (/href$/i.test(name) && !/^#|^\/docs$|^\/v1\//.test(value)) window.trapped.push(`a link: ${value.slice(0, 200)}`);
        }
    };
    new MutationObserver((changes) => {
        for (const { target, addedNodes } of changes) {
            if (target instanceof Element && target.closest("body")) look(target);
            for (const node of addedNodes) {
                if (!(node instanceof Element) || !node.closest("body")) continue;
                for (const one of [node, ...node.querySelectorAll("*")]) if (one.localName !== "noscript" && one.localName !== "script") look(one);
            }
        }
    }).observe(document, { childList: true, subtree: true, attributes: true });
};

const GUARDED = { init: { content: `window.addEventListener("DOMContentLoaded", () => (${guard})(${JSON.stringify(OWN)}))` } };

async function untouched(page) {
    const state = await page.evaluate(() => ({
        scripts: document.scripts.length, styles: document.querySelectorAll("style, link:not([rel=icon])").length, frames: frames.length,
        inherited: Object.keys(Object.prototype), polluted: [{}.polluted, [].polluted, (() => {}).polluted].map(String),
        names: [typeof document.body.append, typeof document.querySelector, typeof window.x],
    }));
    const own = { scripts: 1, styles: 1, frames: 0, inherited: [], polluted: Array(3).fill("undefined"), names: ["function", "function", "undefined"] };
    assert.deepEqual(state, own, "the page's own script and style are all there is");
}

/** From the top of a list to its end, a screen at a time. */
async function through(page, each = async () => {}) {
    await part(page, "list").evaluate((list) => (list.scrollTop = 0));
    for (;;) {
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        await each();
        const more = await part(page, "list").evaluate((list) => {
            const before = list.scrollTop;
            list.scrollTop += list.clientHeight;
            return list.scrollTop > before;
        });
        if (!more) return;
    }
}

check(`${PAYLOADS.length} payloads as every part of a message, in every view`, { config: CONFIG, within: 300_000, allow: [/^answer: 400 (GET|POST) \/v1/, /^answer: 404 GET \/v1\/messages/] }, async ({ router, open, clean }) => {
    assert.ok(PAYLOADS.length >= 200);
    let seq = 0;
    const all = PAYLOADS.flatMap((evil, at) => {
        const fields = Object.fromEntries([["name", evil], ["trace_id", evil], [evil, evil], [`deep ${at}`, { [evil]: [evil, { [evil]: evil }] }]]);
        const body = (more) => JSON.stringify({ env_version: "0.8", type: evil, logger: evil, severity: at % 8, payload: evil, metlog_hostname: evil, metlog_pid: 1, metlog_client: evil.slice(0, 60), metlog_seq: (seq += 2), ...more, fields });
        const plain = evil.replace(/[\u0000-\u001f]/g, "") || "x";
        return [
            // Where identifiers are checked it is refused, and is a dead letter; what may be anything comes in.
            body({}), body({ type: "log", logger: "web" }), body({ type: "timer", logger: "web", payload: "12" }), body({ type: "counter", logger: "web", payload: "1" }),
            ...(at % 4 ? [] : [body({ type: "refused", logger: "web" })]), plain, `{"type": ${JSON.stringify(evil)}, ${plain}`,
        ];
    });
    await router.pour(...all);
    const counts = () => router.get("/v1/pipeline").then(({ inputs }) => inputs.find(({ name }) => name === "tcp").counts);
    const lines = all.join("\n").split("\n").filter((line) => line.trim()).length;
    await until("all have come in", async () => Number((await counts()).received) >= lines);
    await until("the store has them", async () => Number((await router.get("/v1/pipeline")).endpoints.find(({ name }) => name === "store").buffered) === 0);
    const { accepted } = await counts();
    assert.ok(accepted >= PAYLOADS.length * 4, `${accepted} accepted`);
    await until("an endpoint has refused", async () => Number((await router.get("/v1/deadletters?limit=50")).letters.filter(({ reply }) => reply).length) >= 20);
    const received = Number((await router.get("/v1/messages/tally?query=")).matched);
    assert.equal(received, Number(accepted));

    const page = await open("#/live", GUARDED);
    await part(page, "row").first().waitFor();
    await through(page);
    await untouched(page);

    await page.goto(`${router.at}/#/search?query=&since=`);
    await until("all are found", async () => Number(await part(page, "count").getAttribute("data-total")) === received);
    await part(page, "facet").first().waitFor();
    await picture(page, "hostile-search");
    let rows = 0;
    await through(page, async () => {
        // Every sixth is opened and closed again.
        rows += await page.evaluate(() => {
            const drawn = [...document.querySelectorAll("[data-test=row]")];
            for (const row of drawn.filter(({ dataset }) => Number(dataset.index) % 6 === 0)) row.querySelector(".line").click();
            return drawn.length;
        });
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        await page.evaluate(() => document.querySelectorAll("[data-test=row][aria-expanded=true] > .line").forEach((line) => line.click()));
    });
    assert.ok(rows >= received, `${rows} rows were drawn`);
    await untouched(page);
    await clean(page);

    // What can be clicked in one: its filters, its trace, what is around it, its copy.
    for (const act of ["copy", "surrounding", "filter-in", "filter-out", "trace"]) {
        const query = `type=log "onerror" -${act}`;
        await page.goto(`${router.at}/#/search?query=${encodeURIComponent(query)}&since=`);
        await until("it is asked", async () => (await part(page, "query").inputValue()) === query);
        await page.locator("section:not([aria-busy])[data-test=view-search]").waitFor();
        assert.ok(Number(await part(page, "count").getAttribute("data-total")) > 20);
        await part(page, "row").nth(2).locator(".line").click();
        await part(page, "detail").waitFor();
        const buttons = part(page, act);
        for (const at of act.startsWith("filter") ? [3, 8, 11] : [0]) {
            if (await buttons.nth(at).isVisible()) await buttons.nth(at).click();
            else break;
            await page.locator("section:not([aria-busy])[data-test=view-search]").waitFor();
            if (!(await part(page, "detail").first().isVisible())) break;
        }
        await untouched(page);
    }
    // What completes a query comes from messages as well.
    await part(page, "query").fill("");
    for (const begun of ["on", "java", "name=", "logger=", "type=", "__", "const"]) {
        const looked = page.waitForResponse((answer) => answer.url().includes("/v1/fields"));
        await part(page, "query").fill(begun);
        await looked;
    }
    await page.keyboard.press("Escape");

    // Every payload as what an address asks for.
    for (const [at, evil] of PAYLOADS.entries()) {
        const asked = encodeURIComponent(evil);
        const hash = [`#/search?query=${asked}&since=${asked}`, `#/live?query=${asked}`, `#/explain?message=${asked}`, `#/explain?position=${asked}`, `#/${asked}`, `#/metrics?query=${asked}&name=${asked}`, `#/dead?id=${asked}`][at % 7];
        await page.evaluate((to) => (location.hash = to), hash);
    }
    await untouched(page);

    await page.evaluate(() => (location.hash = "#/metrics?since=15m"));
    await part(page, "timer-row").first().waitFor();
    for (const kind of ["timer", "counter"]) {
        if (await part(page, `${kind}s-more`).isVisible()) await part(page, `${kind}s-more`).click();
        const names = part(page, `${kind}-row`);
        const count = await names.count();
        assert.ok(count > 20, `${count} ${kind}s`);
        for (let at = 0; at < count; at += Math.ceil(count / 12)) await names.nth(at).click();
    }
    await picture(page, "hostile-metrics");
    await untouched(page);

    await page.evaluate(() => (location.hash = "#/pipeline"));
    await part(page, "endpoint-failing").waitFor();
    await until("the failure is told", async () => /503/.test(await part(page, "endpoint-failing").innerText()));
    await until("clients are told", async () => (await part(page, "clients").locator("tr").count()) > 10);
    await picture(page, "hostile-pipeline");
    await untouched(page);

    await page.evaluate(() => (location.hash = "#/dead"));
    await part(page, "letter").first().waitFor();
    const total = Number((await router.get("/v1/deadletters?limit=1")).total);
    assert.ok(total > PAYLOADS.length);
    for (let shown = 0; await part(page, "dead-more").isVisible() && shown < total;) {
        await part(page, "dead-more").click();
        await until("more letters", async () => (await part(page, "letter").count()) > shown);
        shown = await part(page, "letter").count();
    }
    await page.evaluate(() => document.querySelectorAll("[data-test=letter] summary").forEach((summary) => summary.click()));
    await until("they are open", async () => (await page.locator("[data-test=letter] details[open]").count()) > PAYLOADS.length);
    assert.ok(await part(page, "letter-reply").count() >= 20);
    await picture(page, "hostile-dead");
    await untouched(page);

    await page.evaluate(() => (location.hash = "#/explain"));
    await part(page, "explain-message").waitFor();
    for (let at = 0; at < PAYLOADS.length; at += 8) {
        const some = PAYLOADS.slice(at, at + 8);
        const whole = JSON.stringify({ type: "refused", logger: some[0], payload: some[1], severity: 3, fields: Object.fromEntries(some.map((evil) => [evil, evil])) });
        for (const text of [whole, some[2]]) {
            const answered = page.waitForResponse((answer) => answer.url().endsWith("/v1/explain"));
            await page.evaluate((text) => {
                document.querySelector("[data-test=explain-message]").value = text;
                document.querySelector("[data-test=explain-go]").click();
            }, text);
            await (await answered).finished();
        }
    }
    await picture(page, "hostile-explain");
    await untouched(page);
    await clean(page);
    assert.equal(page.url().split("#")[0], `${router.at}/`);
});

check("what is injected all the same is caught, by the policy and by these tests", { allow: [/Content Security Policy/, /^lost: csp/] }, async ({ open }) => {
    const page = await open("#/live", GUARDED);
    await page.evaluate(() => {
        const place = document.createElement("div");
        document.body.append(place);
        place.innerHTML = "<img src=/x onerror=pwned(1)><p onclick=pwned(2)></p><a href=javascript:pwned(3)>x</a><iframe srcdoc=x></iframe>";
        document.querySelector("p[onclick]").click();
        place.querySelector("a").click();
        const script = document.createElement("script");
        script.textContent = "pwned(4)";
        place.append(script);
    });
    const trapped = await until("it is caught", () => page.evaluate(() => window.trapped.length >= 8 && window.trapped));
    for (const kind of [/^an element: <img/, /^an element: <iframe/, /^an attribute: onclick/, /^a link: javascript/, /^policy: img-src/, /^policy: script-src-attr/, /^policy: script-src-elem/]) {
        assert.ok(trapped.some((one) => kind.test(one)), `${kind} in ${trapped.join("\n")}`);
    }
    assert.ok(!trapped.some((one) => /^executed/.test(one)), trapped.join("\n"));
    await page.evaluate(() => (window.trapped.length = 0));
});
