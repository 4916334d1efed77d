// A real router, a real browser, and the eyes of a test. One browser serves all tests of a process.
//
//     check("what shall be so", { config, allow }, async ({ router, open }) => { … });
//
// Whatever a page says on its console as an error, throws, asks of another origin, or is refused is a failure, unless the
// test said before that it may. At the end every message is accounted for.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { smaller } from "./png.mjs";

const here = (name) => new URL(name, import.meta.url).pathname;
export const PROGRAM = process.env.METLOG_ROUTER ?? here("../../../../target/debug/metlog-router");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** For whoever works on the page: this file instead of the one that is linked into the router. */
const PAGE = process.env.METLOG_PAGE;
/** Where all pictures go; those for the documentation go to METLOG_SCREENSHOTS as well, if that is set. */
const PICTURES = process.env.METLOG_PICTURES ?? here("../../../../target/screenshots");

/** Waits are for what must happen on a machine that has other things to do. */
export const PATIENCE = Number(process.env.METLOG_PATIENCE ?? 60_000);

/** Everything in a store that can be asked. The ports are the system's choice. */
export const PLAIN = `
[router]
http = "127.0.0.1:0"
[inputs.http]
[inputs.tcp]
listen = "127.0.0.1:0"
[inputs.udp]
listen = "127.0.0.1:0"
[endpoints.store]
type = "store"
`;

/** Waits until `so()` is neither false nor nothing, and gives it. */
export async function until(what, so, within = PATIENCE) {
    const end = Date.now() + within;
    for (let last; ; await sleep(50)) {
        try {
            const got = await so();
            if (got) return got;
            last = got;
        } catch (error) {
            last = error;
        }
        assert.ok(Date.now() < end, `${what}: not within ${within} ms; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
    }
}

/** Below those that the system gives to connections: a page that asks for a router that is away must not get its port. */
async function freePort() {
    for (;;) {
        const port = 10_000 + Math.floor(Math.random() * 20_000);
        const probe = createServer();
        const free = await new Promise((done) => {
            probe.once("error", () => done(false));
            probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
        });
        if (free) return port;
    }
}

/** The real program in a directory of its own. */
export class Router {
    constructor(config) {
        this.directory = mkdtempSync(join(tmpdir(), "metlog-page-"));
        this.configure(config);
        this.child = null;
    }

    /** Writes the file; a running router reads it on `reload`. */
    configure(config) {
        // After a restart it is where it was.
        this.config = this.port ? config.replace('http = "127.0.0.1:0"', `http = "127.0.0.1:${this.port}"`) : config;
        writeFileSync(join(this.directory, "router.toml"), this.config);
    }

    log() {
        return readFileSync(join(this.directory, "log.txt"), "utf8");
    }

    async start() {
        this.port ??= await freePort();
        this.configure(this.config);
        const log = openSync(join(this.directory, "log.txt"), "w");
        this.child = spawn(PROGRAM, ["run", "--config", "router.toml"], { cwd: this.directory, stdio: ["ignore", "ignore", log] });
        closeSync(log);
        this.ended = new Promise((done) => this.child.once("exit", (code, signal) => done({ code, signal })));
        let gone = null;
        void this.ended.then((how) => (gone = how));
        this.at = await until("the router starts", async () => {
            if (gone) return "gone";
            const place = this.place("http");
            return place && (await fetch(`${place}/health/ready`)).ok && place;
        });
        assert.notEqual(this.at, "gone", `${JSON.stringify(gone)}\n${this.log()}`);
    }

    /** The address of an input, as the router says it at its start: `http://127.0.0.1:1234`, `tcp://…`. */
    place(input) {
        return new RegExp(`input ${input}: (\\S+)`).exec(this.log())?.[1];
    }

    /** As by a power cut. */
    async kill() {
        this.child.kill("SIGKILL");
        await this.ended;
    }

    async get(path, headers = {}) {
        const answer = await fetch(this.at + path, { headers });
        const said = await answer.text();
        assert.ok(answer.ok, `${path}: ${answer.status} ${said}`);
        return JSON.parse(said);
    }

    async post(path, body, headers = {}) {
        const answer = await fetch(this.at + path, {
            method: "POST", headers: { "Content-Type": "application/json", "X-Metlog": "1", ...headers }, body: JSON.stringify(body),
        });
        const said = await answer.text();
        assert.ok(answer.ok, `${path}: ${answer.status} ${said}`);
        return said.trim() ? JSON.parse(said) : null;
    }

    /** Sends messages to /v1/messages, all of which must be taken. */
    async send(...messages) {
        for (let at = 0; at < messages.length; at += 5000) {
            const part = messages.slice(at, at + 5000);
            const answer = await fetch(`${this.at}/v1/messages`, {
                method: "POST", headers: { "Content-Type": "application/x-ndjson" }, body: part.map((one) => JSON.stringify(one)).join("\n"),
            });
            const said = await answer.json();
            assert.deepEqual({ status: answer.status, accepted: said.accepted, rejected: said.rejected }, { status: answer.status, accepted: part.length, rejected: [] });
        }
    }

    /** Writes bytes to the TCP input, newline for newline, whatever they are, and waits until they are written. */
    async pour(...lines) {
        const { hostname, port } = new URL(this.place("tcp").replace("tcp:", "http:"));
        const socket = connect(Number(port), hostname);
        await new Promise((done, failed) => {
            socket.once("error", failed);
            socket.end(lines.map((line) => `${line}\n`).join(""), done);
        });
    }

    /** Until the store has so many messages and they can be found. */
    async stored(count) {
        await until(`${count} messages in the store`, async () => Number((await this.get("/v1/messages/tally?query=")).matched) >= count);
    }

    /** The account, at the end of every test. */
    async stop() {
        if (this.child.exitCode === null && this.child.signalCode === null) {
            await until("every message is accounted for", async () => Number((await this.get("/v1/status", this.headers)).unaccounted) === 0);
            this.child.kill("SIGTERM");
            const how = await this.ended;
            const log = this.log();
            assert.equal(how.code, 0, log);
            assert.match(log, /unaccounted for: 0\s*$/);
        }
        rmSync(this.directory, { recursive: true, force: true });
    }

    /** Whatever happened: no process and no directory stay behind. */
    abandon() {
        this.child?.kill("SIGKILL");
        rmSync(this.directory, { recursive: true, force: true });
    }
}

let browser = null;

async function theBrowser() {
    browser ??= await chromium.launch({
        executablePath: CHROMIUM,
        timeout: PATIENCE,
        // Its own profile, made and removed by the launcher; nothing that asks anybody.
        args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--disable-lcd-text"],
    });
    return browser;
}

after(async () => browser?.close());

/** Watches a page; gives what was wrong with it. */
function watch(page, origin, allow) {
    const wrong = [];
    const allowed = (said) => allow.some((one) => (typeof one === "string" ? said.includes(one) : one.test(said)));
    const note = (said) => allowed(said) || wrong.push(said);
    page.on("console", (said) => {
        // The answers themselves are looked at below, with their status.
        if (said.type() === "error" && !/^Failed to load resource/.test(said.text())) note(`console: ${said.text()}`);
    });
    page.on("pageerror", (error) => note(`thrown: ${error.stack ?? error.message}`));
    page.on("dialog", (dialog) => {
        wrong.push(`a dialog: ${dialog.message()}`);
        void dialog.dismiss();
    });
    page.on("crash", () => wrong.push("the page crashed"));
    page.on("popup", (other) => wrong.push(`another window: ${other.url()}`));
    page.on("request", (request) => {
        const url = new URL(request.url());
        if (url.origin !== origin && !["blob:", "data:"].includes(url.protocol)) wrong.push(`asked elsewhere: ${request.url()}`);
    });
    page.on("response", (answer) => {
        if (answer.status() >= 400) note(`answer: ${answer.status()} ${answer.request().method()} ${answer.url().slice(origin.length)}`);
    });
    page.on("requestfailed", (request) => {
        const why = request.failure()?.errorText ?? "";
        // The page stopped waiting: another view, another question.
        if (why !== "net::ERR_ABORTED") note(`lost: ${why} ${request.method()} ${request.url().slice(origin.length)}`);
    });
    return wrong;
}

/** Puts PAGE in the place of the router's page, under the same policy. */
async function replaced(route) {
    if (!route.request().isNavigationRequest()) return route.continue();
    const answer = await route.fetch({ headers: { ...route.request().headers(), "if-none-match": "" } });
    const body = readFileSync(PAGE, "utf8");
    const hash = (tag) => createHash("sha256").update(body.split(`<${tag}>`)[1].split(`</${tag}>`)[0]).digest("base64");
    const headers = answer.headers();
    headers["content-security-policy"] = headers["content-security-policy"].replace(/(script|style)-src 'sha256-[^']*'/g, (_, tag) => `${tag}-src 'sha256-${hash(tag)}'`);
    delete headers["content-encoding"];
    await route.fulfill({ response: answer, headers, body });
}

/** What a router that went away does to a page. For `allow`. */
export const AWAY = [/^lost: net::ERR_(CONNECTION_|INCOMPLETE_CHUNKED|EMPTY_RESPONSE|NETWORK_CHANGED|SOCKET)/];

/** Set in every page before its own script: counts what must never happen. */
function trap() {
    window.trapped = [];
    window.pwned = (what) => window.trapped.push(`executed: ${what}`);
    addEventListener("securitypolicyviolation", (event) => window.trapped.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
}

/**
 * A test with a router and pages of it.
 *
 * `config`: the router's; `allow`: texts or patterns of what may go wrong in a page, such as `/^answer: 400/` or `AWAY`.
 * The work is given `router`, `open(hash, { theme, width, height, motion, key, zone })` and `clean(page)`, which says at once
 * whether something was wrong; at the end that is asked anyway.
 */
export function check(name, { config = PLAIN, allow = [], within = 180_000, headers = undefined } = {}, work) {
    test(name, { timeout: within }, async (context) => {
        const router = new Router(config);
        router.headers = headers;
        const opened = [];
        const clean = async (page) => {
            const one = opened.find((each) => each.page === page);
            const trapped = page.isClosed() ? [] : await page.evaluate(() => window.trapped);
            assert.deepEqual([...one.wrong, ...trapped].slice(0, 8), [], "nothing goes wrong in the page");
        };
        const open = async (hash = "#/live", { theme = "light", width = 1280, height = 800, motion = "reduce", key = null, zone = "UTC", scale = 1, init = null } = {}) => {
            const frame = await (await theBrowser()).newContext({
                viewport: { width, height }, colorScheme: theme, reducedMotion: motion, timezoneId: zone, locale: "en-GB",
                deviceScaleFactor: scale, acceptDownloads: true,
            });
            await frame.grantPermissions(["clipboard-read", "clipboard-write"], { origin: router.at });
            await frame.addInitScript(trap);
            if (key) await frame.addInitScript((given) => sessionStorage.setItem("metlog-key", given), key);
            if (init) await frame.addInitScript(init);
            frame.setDefaultTimeout(PATIENCE);
            if (PAGE) await frame.route(`${router.at}/`, replaced);
            const page = await frame.newPage();
            opened.push({ page, frame, wrong: watch(page, router.at, allow) });
            await page.goto(`${router.at}/${hash}`);
            await page.locator("main > section").waitFor();
            return page;
        };
        let failed = true;
        try {
            await router.start();
            await work({ router, open, clean });
            for (const { page } of opened) await clean(page);
            failed = false;
        } finally {
            for (const { page, frame } of opened) {
                // What it looked like says more than what it was not.
                if (failed && !page.isClosed()) await picture(page, `failed-${name.replace(/\W+/g, "-").slice(0, 60)}`).catch(() => {});
                await frame.close().catch(() => {});
            }
            if (failed) {
                context.diagnostic(`wrong: ${JSON.stringify(opened.flatMap((one) => one.wrong))}`);
                router.abandon();
            }
        }
        await router.stop().catch((error) => {
            router.abandon();
            throw error;
        });
    });
}

/** The part of a page with that `data-test`. */
export const part = (page, name) => page.locator(`[data-test="${name}"]`);

/** Whether it can be seen. */
export const seen = (page, name) => part(page, name).first().isVisible();

/** Waits for the text of a part. */
export async function says(page, name, pattern) {
    let last = "";
    return until(`${name} says ${pattern}`, async () => {
        last = await part(page, name).first().innerText();
        return pattern.test(last) && last;
    }).catch((error) => {
        throw new Error(`${error.message}; it says: ${last}`);
    });
}

/** Takes a picture into target/screenshots. */
export async function picture(page, name) {
    mkdirSync(PICTURES, { recursive: true });
    await page.screenshot({ path: join(PICTURES, `${name}.png`), animations: "disabled", caret: "initial" });
}

/** One of those that the documentation shows. */
export async function curated(page, name) {
    await picture(page, name);
    const small = smaller(readFileSync(join(PICTURES, `${name}.png`)));
    assert.ok(small.length <= 150_000, `${name}: ${small.length} bytes`);
    const also = process.env.METLOG_SCREENSHOTS;
    if (!also) return;
    mkdirSync(also, { recursive: true });
    writeFileSync(join(also, `${name}.png`), small);
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** No serious finding of axe-core in what is shown. */
export async function accessible(page, what) {
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 5).map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`).join(" | ")}`);
    assert.deepEqual(told, [], what);
}

/** Nothing is wider than the page. */
export async function fits(page, what) {
    const { wide, over } = await page.evaluate(() => {
        const most = document.documentElement.clientWidth;
        const beyond = [...document.body.querySelectorAll("*")].filter((one) => one.getBoundingClientRect().right > most + 1);
        return { wide: document.documentElement.scrollWidth > most, over: beyond.slice(0, 5).map((one) => one.outerHTML.slice(0, 120)) };
    });
    assert.ok(!wide, `${what} scrolls sideways: ${over.join("\n")}`);
}

/** A message; what is given replaces what it usually has. */
export function message(number, more = {}) {
    return {
        type: "log", severity: 6, logger: "web", payload: `message ${number}`, metlog_hostname: "here", metlog_pid: 7,
        env_version: "0.8", ...more, fields: { number, ...more.fields },
    };
}

/** The rows that are drawn, in their order: `{ key, index, y, text, severity }`. */
export function rows(page) {
    return page.evaluate(() => [...document.querySelectorAll("[data-test=row]")].map((row) => ({
        key: row.dataset.key, index: Number(row.dataset.index), y: Math.round(row.getBoundingClientRect().top),
        payload: row.querySelector(".payload").firstChild.textContent, severity: row.querySelector(".sev").textContent,
    })).sort((a, b) => a.index - b.index));
}
