// Pipeline: the drawing is the configuration, its numbers are what was sent, and what is ordered is done.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { createServer } from "node:http";
import { once } from "node:events";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AWAY, PLAIN, PROGRAM, accessible, check, curated, fits, message, part, picture, says, until } from "./harness.mjs";
import { peer } from "./peer.mjs";

const away = await peer();
after(() => away.close());

const WHOLE = `${PLAIN}
[spool]
keep = "1h"
max_bytes = "1 GiB"
[filters.secrets]
type = "redact"
names = ["password"]
[filters.loud]
type = "severity_max"
severity = 4
[filters.metrics]
type = "type_whitelist"
types = ["counter", "timer"]
[filters.wanted]
type = "any"
of = ["loud", "metrics"]
[endpoints.archive]
type = "file"
path = "all.jsonl"
[endpoints.away]
type = "http"
url = "${away.url}"
compress = "none"
filters = ["wanted"]
from_inputs = ["http", "udp"]
retry_min = "2s"
retry_max = "4s"
`.replace('http = "127.0.0.1:0"', 'http = "127.0.0.1:0"\nedit = ["secrets"]');

const node = (page, name) => part(page, `node-${name}`);
const card = (page, name) => part(page, `endpoint-${name}`);
const fact = (page, name, what) => card(page, name).locator(`[data-test="${what}"]`);
const law = async (page, name) => (await part(page, `law-${name}`).innerText()).replace(/\s+/g, " ").trim();
/** Waits for a sum: `input http: 3 received = …`. */
const comes = (page, name, wanted) => until(`the sum of ${name}`, async () => {
    const said = await law(page, name);
    assert.ok(typeof wanted === "string" ? said === wanted : wanted.test(said), said);
    return true;
});
const agree = async (page, what) => {
    await part(page, "confirm").waitFor();
    assert.match(await part(page, "confirm").innerText(), what);
    await part(page, "confirm-yes").click();
};

/** Sends until it is told to stop. */
function pump(router, make) {
    let on = true;
    let sent = 0;
    const done = (async () => {
        for (; on; await sleep(100)) {
            await router.send(...make(sent));
            sent += make(sent).length;
        }
        return sent;
    })();
    return async () => {
        on = false;
        return done;
    };
}

check("the topology, live, and every message accounted for", { config: WHOLE }, async ({ router, open }) => {
    const page = await open("#/pipeline");
    for (const name of ["input-http", "input-tcp", "input-udp", "intake", "spool", "lane-store", "endpoint-store", "endpoint-archive", "endpoint-away"]) {
        await node(page, name).waitFor();
    }
    await says(page, "troubles", /^\s*Everything flows, and every message is accounted for\.$/);
    assert.match(await node(page, "intake").textContent(), /edits: ?secrets/);
    // The whole of what an endpoint takes, though the box has room for a part.
    assert.match(await node(page, "lane-away").locator("title").innerHTML(), /from http, udp[^]*wanted: any of loud, metrics/);
    assert.match(await node(page, "lane-archive").locator("title").innerHTML(), /takes everything/);

    // Over UDP a client that skips numbers: 1, 2, 5, 6, 9.
    const port = router.place("udp").split(":").at(-1);
    const socket = createSocket("udp4");
    for (const number of [1, 2, 5, 6, 9]) {
        const line = JSON.stringify(message(number, { metlog_client: "lossy", metlog_seq: number, severity: 3 }));
        await new Promise((sent, failed) => socket.send(line, Number(port), "127.0.0.1", (error) => (error ? failed(error) : sent())));
    }
    socket.close();
    await router.pour("nonsense", JSON.stringify(message(1)));
    const stop = pump(router, (from) => Array.from({ length: 20 }, (_, number) => message(from + number, { severity: number % 8 })));

    // Rates, in the drawing and in the table for those who do not see it.
    await until("it moves", async () => /[1-9][\d.]*( k)?\/s/.test(await node(page, "input-http").textContent()));
    const rate = async () => Number(/([\d.]+)\/s/.exec(await fact(page, "archive", "rate-out").innerText())?.[1] ?? 0);
    await until("messages are taken away", async () => (await rate()) > 10);
    assert.ok(await page.locator(".topology .flow.moving").count() >= 4);
    await part(page, "as-tables").locator("summary").click();
    await until("the tables have it", async () => /http\s+\S+\s+[1-9][\d.]*\/s/.test(await part(page, "as-tables").locator("tr[data-id=http]").innerText()));
    await part(page, "as-tables").locator("summary").click();
    await until("lost on the way", async () => /lossy/.test(await part(page, "clients").innerText()));
    assert.deepEqual((await part(page, "clients").locator("tbody tr").first().locator("td").allInnerTexts()).slice(0, 6), ["lossy", "udp", "5", "4", "44 %", "0"]);
    await says(page, "troubles", /messages were lost on the way to us/);
    const head = await part(page, "pipeline-head").innerText();
    assert.match(head, /^metlog \d+\.\d+\.\d+, up /);

    // The law, as anybody would add it.
    const sent = await stop();
    const told = (number) => number.toLocaleString("en");
    await comes(page, "input-http", `input http: ${told(sent)} received = ${told(sent)} accepted + 0 duplicates + 0 refused + 0 unaccounted for`);
    assert.equal(await law(page, "input-tcp"), "input tcp: 2 received = 1 accepted + 0 duplicates + 1 refused: malformed + 0 unaccounted for");
    assert.equal(await law(page, "input-udp"), "input udp: 5 received = 5 accepted + 0 duplicates + 0 refused + 0 unaccounted for");
    const loud = sent / 20 * Array.from({ length: 20 }, (_, number) => number % 8).filter((severity) => severity <= 4).length + 5;
    const all = sent + 6;
    await comes(page, "endpoint-away",
        `endpoint away: ${told(all)} accepted = ${told(loud)} delivered + ${told(all - loud)} filtered + 0 dead letters + 0 dropped + 0 waiting + 0 unaccounted for`);
    await says(page, "unaccounted", /Altogether 0 unaccounted for/);
    assert.equal(away.taken.length, loud);
});

check("an endpoint that fails says why, since when and when it tries again; a spool that grows, until when", { config: WHOLE }, async ({ router, open }) => {
    const page = await open("#/pipeline");
    away.says(() => ({ status: 503, body: JSON.stringify({ error: "under repair until noon" }) }));
    const stop = pump(router, (from) => Array.from({ length: 20 }, (_, number) => message(from + number, { severity: 2, payload: "x".repeat(2000) })));
    await until("it fails", async () => (await card(page, "away").getAttribute("data-state")) === "retrying");
    await until("why", async () => /503[^]*under repair until noon/.test(await fact(page, "away", "last-error").innerText()));
    assert.match(await fact(page, "away", "state").innerText(), /^\s*retrying$/);
    const counted = new Set();
    await until("it counts down", async () => counted.add(await fact(page, "away", "retry").innerText()).size >= 3);
    assert.ok([...counted].some((text) => /^Tries again in \d+ s\.$/.test(text)), [...counted].join());
    await until("the oldest gets older", async () => Number(/^([\d.]+) s$/.exec(await fact(page, "away", "oldest").innerText())?.[1] ?? 0) >= 3);
    assert.match(await fact(page, "away", "lag").innerText(), /^[\d,]+$/);
    await says(page, "troubles", /away is retrying: [^]*under repair until noon/);
    await says(page, "full-in", /^in ([\d.]+ (s|min|h|d) ?)+, as it grows now$/);
    assert.match(await node(page, "spool").textContent(), /full in /);
    for (const theme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: theme });
        await accessible(page, `a pipeline in trouble, ${theme}`);
        await (theme === "dark" ? picture(page, "pipeline-trouble-dark") : curated(page, "pipeline"));
    }
    await page.setViewportSize({ width: 390, height: 800 });
    await until("it goes downwards", () => page.locator(".topology.upright").isVisible());
    await fits(page, "the pipeline on a phone");
    for (const theme of ["dark", "light"]) {
        await page.emulateMedia({ colorScheme: theme });
        await accessible(page, `a pipeline on a phone, ${theme}`);
        await picture(page, `pipeline-phone-${theme}`);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    const sent = await stop();
    const before = away.taken.length;
    away.says(() => null);
    await until("it has everything", () => away.taken.length - before === sent);
    await until("it says so", async () => (await card(page, "away").getAttribute("data-state")) === "waiting" && (await fact(page, "away", "lag").innerText()) === "nothing");
    assert.match(await fact(page, "away", "last-error").innerText(), /^Last error \(.* ago\): /, "the last error stays to be read");
    await says(page, "troubles", /^\s*Everything flows/);
    await says(page, "full-in", /^it is not growing$/);
});

/** Keys as the program makes them, and the sections that know them. */
function keys(...scopes) {
    const sections = [];
    const made = Object.fromEntries(scopes.map((scope) => {
        const both = execFileSync("sh", ["-c", `"$0" key new --name ${scope} --scope ${scope} 2>&1`, PROGRAM], { encoding: "utf8" });
        const section = both.slice(both.indexOf("[keys."));
        sections.push(section.split("\n").filter((line) => /^\[keys\.|^\w+ = /.test(line)).join("\n"));
        return [scope, /^\S{20,}$/m.exec(both)[0]];
    }));
    return { made, sections: sections.join("\n") };
}
const { made, sections } = keys("read", "admin", "ingest");
const GUARDED = `${WHOLE}\n${sections}`;

check("what is ordered needs an admin's key, which is asked for, and is done", {
    config: GUARDED, headers: { Authorization: `Bearer ${made.admin}` },
    allow: [/^answer: 401 /, /^answer: 403 POST \/v1\/endpoints/, /^answer: 422 POST \/v1\/reload/],
}, async ({ router, open }) => {
    const admin = { Authorization: `Bearer ${made.admin}` };
    const state = async (name) => (await router.get("/v1/pipeline", admin)).endpoints.find((one) => one.name === name);
    const send = async (...lines) => {
        const answer = await fetch(`${router.at}/v1/messages`, { method: "POST", headers: { Authorization: `Bearer ${made.ingest}` }, body: lines.map((one) => JSON.stringify(one)).join("\n") });
        assert.equal(answer.status, 200);
    };
    const page = await open("#/pipeline");
    const type = async (key) => {
        await part(page, "key-input").fill(key);
        await page.keyboard.press("Enter");
    };
    // Without a key nothing is shown, and it is asked for; a wrong one is told to be wrong.
    await says(page, "key-dialog", /key/i);
    await accessible(page, "the question for a key");
    await picture(page, "key");
    await type("not-a-key");
    await until("it is asked for again", async () => (await part(page, "key-input").inputValue().catch(() => "x")) === "");
    await says(page, "key-dialog", /not known|unknown|wrong|no key/i);
    await picture(page, "key-wrong");
    await type(made.read);
    await node(page, "endpoint-archive").waitFor();
    assert.equal((await page.context().cookies()).length, 0);
    assert.ok(!page.url().includes(made.read), "a key is never in an address");

    // A key that may only read: the order is refused in words, and a better key is asked for.
    await send(message(1), message(2), message(3));
    await until("they have come", async () => (await fact(page, "archive", "lag").innerText()) === "nothing" && /3 delivered/.test(await law(page, "endpoint-archive")));
    await card(page, "archive").getByRole("button", { name: "Pause archive" }).click();
    await part(page, "confirm-no").click();
    assert.notEqual((await state("archive")).state, "paused", "who does not agree pauses nothing");
    await card(page, "archive").getByRole("button", { name: "Pause archive" }).click();
    await agree(page, /^Pause archive\?/);
    await says(page, "key-dialog", /admin/);
    await picture(page, "key-admin");
    await part(page, "key-dialog").getByRole("button", { name: "Cancel" }).click();
    await says(page, "errors", /admin/);
    assert.notEqual((await state("archive")).state, "paused");
    await card(page, "archive").getByRole("button", { name: "Pause archive" }).click();
    await agree(page, /^Pause archive\?/);
    await type(made.admin);
    await until("it is paused", async () => (await state("archive")).state === "paused");
    await until("the page says so", async () => (await card(page, "archive").getAttribute("data-state")) === "paused");
    await says(page, "troubles", /archive is paused/);

    // From here on without a question for a key.
    await send(message(4), message(5));
    await until("they wait", async () => (await fact(page, "archive", "lag").innerText()) === "2");
    await card(page, "archive").getByRole("button", { name: "Resume archive" }).click();
    await agree(page, /^Resume archive\?/);
    await comes(page, "endpoint-archive", /5 delivered/);

    // A period once more: the last hour by default, or ids.
    const replay = () => card(page, "archive").getByRole("button", { name: "Replay a period to archive" }).click();
    await replay();
    await accessible(page, "the question for a period");
    await picture(page, "replay");
    await part(page, "replay-since").fill("an hour");
    await part(page, "replay-yes").click();
    assert.equal(await part(page, "replay-dialog").isVisible(), true, "what is no length of time is not sent");
    await part(page, "replay-since").fill("2h");
    await part(page, "replay-yes").click();
    await says(page, "toasts", /5 messages to send to archive again/);
    await until("they have come again", async () => Number((await state("archive")).redelivered) === 5);
    const next = Number((await router.get("/v1/pipeline", admin)).spool.next_id);
    await replay();
    await part(page, "replay-from").fill(String(next - 2));
    assert.equal(await part(page, "replay-since").isDisabled(), true, "one way or the other");
    await part(page, "replay-yes").click();
    await until("two more", async () => Number((await state("archive")).redelivered) === 7);

    // Reload: what is right is done, and what is wrong is told and changes nothing.
    await part(page, "reload").click();
    await agree(page, /^Read the configuration again\?/);
    await says(page, "toasts", /nothing|no change|unchanged/i);
    const second = `${GUARDED}\n[endpoints.second]\ntype = "file"\npath = "second.jsonl"\n`;
    router.configure(second);
    await part(page, "reload").click();
    await agree(page, /^Read the configuration again\?/);
    await says(page, "toasts", /second/);
    await node(page, "endpoint-second").waitFor();
    await card(page, "second").waitFor();
    router.configure(second.replace('path = "second.jsonl"', 'paht = "second.jsonl"'));
    await part(page, "reload").click();
    await agree(page, /^Read the configuration again\?/);
    await says(page, "errors", /router\.toml:\d+[^]*paht/);
    await picture(page, "reload-refused");
    await says(page, "pipeline-head", /2 reloads, 1 refused/);
});

check("a page of somebody else changes nothing and reads nothing", { allow: [/./] }, async ({ router, open }) => {
    const stranger = createServer((_, answer) => answer.writeHead(200, { "Content-Type": "text/html" }).end("<title>stranger</title><form method=post target=into></form><iframe name=into></iframe>"));
    stranger.listen(0, "127.0.0.1");
    await once(stranger, "listening");
    const page = await open("#/pipeline");
    await node(page, "endpoint-store").waitFor();
    const other = await page.context().newPage();
    try {
        await other.goto(`http://127.0.0.1:${stranger.address().port}/`);
        const found = await other.evaluate(async (router) => {
            const tried = {};
            const order = `${router}/v1/endpoints/store/pause`;
            const text = async (name, ...asked) => { tried[name] = await fetch(...asked).then(async (answer) => `${answer.type} ${answer.status} ${(await answer.text()).length}`, () => "nothing"); };
            await text("reads", `${router}/v1/pipeline`);
            await text("reads the page", `${router}/`);
            await text("orders as the page does", order, { method: "POST", headers: { "Content-Type": "application/json", "X-Metlog": "1" }, body: "{}" });
            await text("orders without asking first", order, { method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body: "{}" });
            await text("orders with nothing", order, { method: "POST", mode: "no-cors" });
            const form = document.forms[0];
            form.action = order;
            await new Promise((done) => { document.querySelector("iframe").addEventListener("load", done, { once: true }); form.submit(); setTimeout(done, 3000); });
            const frame = document.createElement("iframe");
            frame.src = router;
            await new Promise((done) => { frame.addEventListener("load", done, { once: true }); document.body.append(frame); setTimeout(done, 3000); });
            let inside = "nothing";
            try { inside = frame.contentDocument?.body?.innerText || "nothing"; } catch { /* Another origin, as it should be. */ }
            return { ...tried, inside };
        }, router.at);
        assert.deepEqual(found, {
            reads: "nothing", "reads the page": "nothing", "orders as the page does": "nothing",
            "orders without asking first": "opaque 0 0", "orders with nothing": "opaque 0 0", inside: "nothing",
        });
    } finally {
        await other.close();
        stranger.close();
    }
    const { endpoints } = await router.get("/v1/pipeline");
    assert.equal(endpoints.find((one) => one.name === "store").state, "waiting");
    assert.match(await (await fetch(`${router.at}/metrics`)).text(), /requests_refused[^\n]*origin[^\n]* [1-9]/);
});

check("a router that goes away is told, what is shown stays, and it heals", { config: WHOLE, allow: AWAY }, async ({ router, open }) => {
    await router.send(...Array.from({ length: 50 }, (_, number) => message(number)));
    const pages = [await open("#/pipeline"), await open("#/metrics?range=15m"), await open("#/dead"), await open("#/explain")];
    const [page, , , explain] = pages;
    await comes(page, "endpoint-archive", /50 delivered/);
    await router.send(message(50, { type: "counter", payload: "3", fields: { name: "hits" } }));
    await pages[1].locator('[data-test="counter-row"]').waitFor();
    await router.kill();
    for (const one of pages.slice(0, 3)) await says(one, "lost", /^No connection to the router since .*\. Trying again\.$/);
    await picture(page, "pipeline-lost");
    await accessible(page, "without a router");
    assert.match(await law(page, "endpoint-archive"), /delivered/, "what is shown stays");
    await says(page, "troubles", /^\s*The router does not answer; all of this is as it was at [\d:]+\.$/);
    await pages[1].locator('[data-test="counter-row"]').waitFor();
    // An order that nobody hears is not taken for done.
    await card(page, "archive").getByRole("button", { name: "Pause archive" }).click();
    await agree(page, /^Pause archive\?/);
    await says(page, "errors", /No answer\. Look whether it was done/);
    await explain.locator("textarea").fill('{"type": "log"}');
    await part(explain, "explain-go").click();
    await says(explain, "explain-error", /no connection/);
    await router.start();
    for (const one of pages) await part(one, "lost").waitFor({ state: "hidden" });
    // It counts from nought again, which is no negative rate, and there it goes on.
    await router.send(...Array.from({ length: 7 }, (_, number) => message(60 + number)));
    await comes(page, "input-http", /^input http: 7 received/);
    await says(page, "troubles", /^\s*Everything flows/);
    for (const text of await node(page, "input-http").locator("text").allInnerTexts()) assert.ok(!/[-−]\d/.test(text), text);
    await part(explain, "explain-go").click();
    await says(explain, "explain-verdict", /It goes to/);
});
