// The fleet: routers that hear each other over a NATS server, as the page of one of them shows them.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { PLAIN, Router, accessible, check, curated, fits, message, part, picture, says, until } from "./harness.mjs";

/** A server on a port of its own, which goes with the tests. */
async function nats() {
    const store = mkdtempSync(join(tmpdir(), "metlog-page-nats-"));
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const child = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port), "-sd", store], { stdio: "ignore" });
    await until("the NATS server greets", () => new Promise((done) => {
        const socket = connect(port, "127.0.0.1");
        socket.once("data", () => {
            socket.destroy();
            done(true);
        });
        socket.once("error", () => done(false));
    }));
    return { url: `nats://127.0.0.1:${port}`, port, stop: () => child.kill("SIGKILL"), clean: () => rmSync(store, { recursive: true, force: true }) };
}

const server = await nats();
after(() => {
    server.stop();
    server.clean();
});

const named = (name, more = "") => `${PLAIN}[fleet]\nname = "${name}"\nurls = ["${server.url}"]\nevery = "200ms"\n${more}`;
const row = (page, name) => part(page, "fleet").locator("tbody tr").filter({ has: page.locator("td:first-child", { hasText: name }) });
const cells = async (page, name) => (await row(page, name).locator("td").allInnerTexts()).map((text) => text.trim());

check("the routers of a fleet, live, and the sums of all", { config: named("edge-1") }, async ({ router, open }) => {
    const page = await open("#/pipeline");
    await part(page, "endpoints").waitFor();
    await until("the router knows itself", async () => (await router.get("/v1/fleet")).routers.length === 1);
    assert.equal(await part(page, "fleet").isVisible(), false, "nobody else is there");

    const other = new Router(named("edge-2"));
    const third = new Router(named("edge-3", "[endpoints.away]\ntype = \"tcp\"\naddress = \"127.0.0.1:9\"\nretry_max = \"200ms\"\n"));
    try {
        await Promise.all([other.start(), third.start()]);
        await part(page, "fleet").waitFor();
        await router.send(message(1), message(2), message(3));
        await other.send(message(4), message(5));
        await third.send(message(6));
        await says(page, "fleet-law", /^6 received = 6 accepted \+ 0 refused \+ 0 duplicates \+ 0 unaccounted for\.\s+For all endpoints 7 = 6 delivered \+ 0 filtered .* \+ 1 waiting /);
        await until("each has its numbers", async () => (await cells(page, "edge-2"))[4] === "2" && (await cells(page, "edge-1 (this one)"))[4] === "3");
        assert.deepEqual((await cells(page, "All")).slice(1, 2), ["3 of 3 running"]);
        assert.equal((await cells(page, "edge-1"))[1], "running");
        await says(page, "fleet-troubles", /edge-3: away is retrying: /);
        await says(page, "fleet-head", /subject metlog-fleet/);
        await accessible(page, "the fleet, light");
        await curated(page, "fleet");
        const dark = await open("#/pipeline", { theme: "dark", width: 390, height: 800 });
        await part(dark, "fleet").waitFor();
        await until("it is filled", async () => (await cells(dark, "edge-2"))[0] === "edge-2");
        await accessible(dark, "the fleet, dark, on a phone");
        await fits(dark, "the fleet on a phone");
        await picture(dark, "fleet-phone");
        // By keyboard: the table can be reached, and scrolled where it is wider than its place.
        const region = part(page, "fleet").locator('[role="region"]');
        await region.focus();
        assert.ok(await region.evaluate((one) => one === document.activeElement));

        await other.kill();
        await until("a killed one is silent", async () => /^silent since /.test((await cells(page, "edge-2"))[1]));
        assert.deepEqual((await cells(page, "All"))[1], "2 of 3 running");
        await says(page, "fleet-law", /^6 received = 6 accepted/);
        await other.start();
        await until("it is back", async () => (await cells(page, "edge-2"))[1] === "running");
        await says(page, "fleet-law", /^6 received = 6 accepted [^]*\s1 earlier life of these routers counted in/);

        // What somebody says who is no router of ours stays text, and is not believed.
        const stranger = connect(server.port, "127.0.0.1");
        const evil = "{\"form\":1,\"name\":\"<img src=x onerror=pwned()>\"}";
        stranger.write(`CONNECT {"verbose":false}\r\nPUB metlog-fleet ${evil.length}\r\n${evil}\r\n`);
        await says(page, "fleet-head", /1 thing heard there is no report/);
        stranger.destroy();

        server.stop();
        await says(page, "fleet-troubles", /Not connected to the fleet: /);
        await until("nobody else is heard", async () => /^silent since /.test((await cells(page, "edge-3"))[1]));
    } finally {
        other.abandon();
        third.abandon();
    }
});

check("what a router says of others is text, whatever it is", {}, async ({ open }) => {
    const strange = "<img src=x onerror=pwned(1)>\u001b[31m\u202e";
    const sums = { received: 1e20, accepted: 1, refused: 0, duplicates: 0, unaccounted: 0, delivered: 1, buffered: 2, filtered: 0, dead_lettered: 0, dropped: 0, unheard: 0 };
    const one = (name, state) => ({
        name, instance: `${strange}${state}`, self: false, state, heard: strange, rates: null, inputs: sums, endpoints: sums, oldest_ms: null, unaccounted: 0,
        troubles: [strange],
    });
    const answer = {
        place: strange, link: { state: "away", why: strange }, since: strange, routers: [one(strange, "silent"), one(strange, "conflict")], left_out: 7,
        total: { routers: { silent: 2 }, lives_before: 1, rates: { received: 0, delivered: 0 }, inputs: sums, endpoints: sums, transports: { [strange]: { taken: 1, given: 1 } }, unaccounted: 0 },
        refused: { malformed: 2 },
    };
    const page = await open("#/live");
    await page.route(/\/v1\/fleet/, (route) => route.fulfill({ json: answer }));
    await page.evaluate(() => (location.hash = "#/pipeline"));
    await part(page, "fleet").waitFor();
    await says(page, "fleet-head", /<img src=x onerror=pwned\(1\)>␛\[31m⟨202E⟩; 7 more routers in the sums; 2 things heard there are no report/);
    await says(page, "fleet-troubles", /More than one router is called <img /);
    assert.equal(await part(page, "fleet").locator("img").count(), 0);
    await fits(page, "long words");
});
