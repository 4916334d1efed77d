// What needs no browser: formats, rates, the layout of the drawing, the geometry of charts. `node --test test/`
import assert from "node:assert/strict";
import test from "node:test";
import { build } from "esbuild";

async function load(name) {
    const entry = new URL(`../src/${name}.ts`, import.meta.url).pathname;
    const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: "esm", write: false });
    return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

const format = await load("format");
const { Rates } = await load("rates");
const { layout, NARROW } = await load("layout");
const chart = await load("chart");
const pipe = await load("pipe");
const measures = await load("measures");
const query = await load("query");

test("numbers keep three digits that count and small ones are not told as none", () => {
    const told = (values, how) => values.map(how);
    assert.deepEqual(told([0, 0.001, 0.25, 7, 12.34, 999.4, 999.6, 1000, 12_345, 999_950, 2.5e9, -1500], format.short), [
        "0", "< 0.01", "0.25", "7", "12.3", "999", "1 k", "1 k", "12.3 k", "1 M", "2.5 G", "-1.5 k",
    ]);
    assert.deepEqual(told([null, undefined, NaN, Infinity], format.short), ["–", "–", "–", "–"]);
    assert.deepEqual(told([0, 1023, 1024, 1536, 10 * 2 ** 30], format.bytes), ["0 B", "1023 B", "1 KiB", "1.5 KiB", "10 GiB"]);
    assert.equal(format.perSecond(1234), "1.23 k/s");
    assert.equal(format.whole(1234567), "1,234,567");
});

test("lengths of time have two units and never sixty of one", () => {
    const cases = [
        [0, "0 ms"], [0.25, "0.25 ms"], [999, "999 ms"], [1000, "1.0 s"], [999.7, "1.0 s"], [59_400, "59 s"], [59_500, "1 min"], [61_000, "1 min 1 s"],
        [3_599_600, "1 h"], [7_500_000, "2 h 5 min"], [86_399_999, "1 d"], [90_000_000, "1 d 1 h"], [-61_000, "−1 min 1 s"],
    ];
    for (const [ms, told] of cases) assert.equal(format.span(ms), told, `${ms}`);
    assert.equal(format.span(null), "–");
});

test("parts are not rounded to nothing or everything", () => {
    assert.deepEqual([[0, 5], [1, 1000], [999, 1000], [5, 5], [1, 3], [1, 0]].map(([part, of]) => format.percent(part, of)), [
        "0 %", "< 1 %", "> 99 %", "100 %", "33 %", "–",
    ]);
    assert.equal(format.cut("naïve 🙂 text", 8), "naïve 🙂…");
    assert.equal(format.plural(1, "message"), "1 message");
});

test("a rate takes two looks of one run", () => {
    const rates = new Rates(5000, 10);
    assert.equal(rates.of("a"), null);
    rates.take(0, { a: 0 });
    assert.equal(rates.of("a"), null);
    rates.take(1000, { a: 100, b: 5 });
    assert.equal(rates.of("a"), 100);
    assert.equal(rates.of("b"), null, "it was not there before");
    rates.take(2000, { a: 500, b: 5 });
    assert.deepEqual([rates.of("a"), rates.of("b")], [250, null]);
    assert.deepEqual(rates.course("a"), [100, 400]);
    rates.take(62_000, { a: 1100, b: 65 });
    assert.equal(rates.of("a"), 10, "after a long sleep, since the last look");
    rates.take(63_000, { a: 3 }, "another run");
    assert.deepEqual([rates.of("a"), rates.course("a")], [null, []]);
    rates.take(64_000, { a: 2 });
    assert.equal(rates.of("a"), null, "counters do not shrink");
    for (let at = 65; at < 100; at++) rates.take(at * 1000, { a: at });
    assert.equal(rates.course("a").length, 9);
});

test("the drawing keeps to its width, and nothing lies on another", () => {
    const names = (count) => Array.from({ length: count }, (_, at) => `n${at}`);
    for (const width of [300, 390, NARROW - 1, NARROW, 1400]) {
        for (const [inputs, endpoints] of [[1, 1], [4, 2], [2, 9], [0, 0]]) {
            const drawn = layout(names(inputs), names(endpoints), width);
            assert.equal(drawn.upright, width < NARROW);
            assert.equal(drawn.boxes.length, inputs + 2 * endpoints + 2);
            assert.equal(drawn.lines.length, inputs + 3 * endpoints);
            drawn.boxes.forEach((box, at) => {
                assert.ok(box.x >= 0 && box.y >= 0 && box.x + box.width <= width + 1 && box.y + box.height <= drawn.height + 1);
                for (const other of drawn.boxes.slice(at + 1)) {
                    const apart = box.x + box.width <= other.x || other.x + other.width <= box.x ||
                        box.y + box.height <= other.y || other.y + other.height <= box.y;
                    assert.ok(apart, `${width}: ${JSON.stringify([box, other])}`);
                }
            });
            for (const line of drawn.lines) assert.match(line.path, /^M[\d.]+ [\d.]+(?:[HV][\d.]+)+$/);
        }
    }
});

test("lanes run straight to their endpoints", () => {
    const { boxes } = layout(["udp", "tcp", "http"], ["archive", "logs"], 1000);
    for (const name of ["archive", "logs"]) {
        const [lane, endpoint] = boxes.filter((box) => box.name === name);
        assert.deepEqual([lane.kind, endpoint.kind, lane.y], ["lane", "endpoint", endpoint.y]);
    }
});

test("scales end at round numbers", () => {
    assert.deepEqual([0, -1, NaN, 1, 1.01, 9, 10, 11, 0.03, 1234, 81e6].map(chart.ceiling), [1, 1, 1, 1, 1.5, 10, 10, 15, 0.03, 1500, 1e8]);
});

test("moments are round where the reader is", () => {
    const hour = 3_600_000;
    const at = (text) => Date.parse(text);
    const told = (found) => found.map((moment) => new Date(moment).toISOString().slice(11, 16));
    assert.deepEqual(told(chart.moments(at("2026-01-01T10:07:00Z"), at("2026-01-01T11:07:00Z"), 5)), ["10:15", "10:30", "10:45", "11:00"]);
    // Half an hour off, as in Kolkata: round there is not round in UTC.
    assert.deepEqual(told(chart.moments(at("2026-01-01T00:00:00Z"), at("2026-01-01T04:00:00Z"), 5, -330)), ["00:30", "01:30", "02:30", "03:30"]);
    assert.deepEqual(chart.moments(5, 5, 5), []);
    assert.ok(chart.moments(0, 1e6 * 24 * hour, 6).length <= 6);
});

test("lines have gaps, and single points are seen", () => {
    const p = (x, y) => ({ x, y });
    assert.equal(chart.line([p(0, 1), p(1, 2), null, p(3.333, 4)]), "M0 1L1 2M1.3 4L5.3 4");
    assert.equal(chart.band([p(0, 9), p(1, 9), null], [p(0, 1), p(1, 2), p(2, 3)]), "M0 1L1 2L1 9L0 9Z");
    assert.equal(chart.line([]), "");
    assert.deepEqual(chart.points([0, null, 5, 20], 40, 10, 10), [p(5, 10), null, p(25, 5), p(35, 0)]);
    assert.deepEqual([chart.greatest([null, 3, 2]), chart.greatest([null])], [3, 0]);
});

const endpoint = (more = {}) => ({
    name: "logs", type: "file", required: true, from_inputs: null, severity_max: null, types: null, filters: [], alerts: false,
    state: "delivering", last_error: null, retry_in_ms: null, accepted: 10, filtered: 2, delivered: 3, dead_lettered: 1,
    dropped: { no_room: 1, given_up: 0 }, buffered: 3, oldest_ms: 5, redelivered: 0, failures: 0, unaccounted: 0, is_store: false, ...more,
});
const spool = (more = {}) => ({ bytes: 1, max_bytes: 100, free: 1, full_in_s: null, next_id: 1, durable_id: 1, sync_ms: null, ...more });
const pipeline = (more = {}) => ({
    started: "a", now: "b", version: "1", inputs: [], filters: [], edits: [], endpoints: [], spool: spool(),
    clients: { tracked: 0, untracked: 0, lost: 0, duplicates: 0 }, unaccounted: 0, reloads: { applied: 0, refused: 0 }, ...more,
});

test("the law is written out as a sum that is right", () => {
    const input = { name: "udp", type: "udp", place: null, unaccounted: 2, counts: { received: 10, accepted: 4, duplicates: 1, refused: { malformed: 3, too_large: 0 }, lost: 7, turned_away: 9 } };
    for (const law of [pipe.lawOfInput(input), pipe.lawOfEndpoint(endpoint())]) {
        const right = law.right.reduce((sum, { count }) => sum + count, law.remainder);
        assert.equal(law.left.count, right, JSON.stringify(law));
    }
    const told = (law) => law.right.map(({ what }) => what);
    assert.deepEqual(told(pipe.lawOfInput(input)), ["accepted", "duplicates", "refused: malformed"]);
    assert.deepEqual(told(pipe.lawOfEndpoint(endpoint())), ["delivered", "filtered", "dead letters", "dropped: no room", "waiting"]);
    assert.ok(told(pipe.lawOfEndpoint(endpoint({ dropped: {} }))).includes("dropped"), "that there is none is told too");
});

test("what an endpoint takes is told condition by condition", () => {
    const filters = [{ name: "wanted", type: "any", of: ["loud", "metrics"] }, { name: "loud", type: "severity_max", of: [] }];
    assert.deepEqual(pipe.conditions(endpoint(), filters), []);
    const all = endpoint({ from_inputs: ["udp"], severity_max: 0, types: ["a", "b"], filters: ["wanted", "loud"] });
    assert.deepEqual(pipe.conditions(all, filters), ["from udp", "severity ≤ 0", "type a, b", "wanted: any of loud, metrics", "loud"]);
});

test("what is wrong is told, the worst first", () => {
    assert.deepEqual(pipe.troubles(pipeline()), []);
    const found = pipe.troubles(pipeline({
        unaccounted: 3, clients: { tracked: 1, untracked: 0, lost: 9, duplicates: 0 }, spool: spool({ full_in_s: 3600 }),
        endpoints: [endpoint({ state: "retrying", last_error: "away" }), endpoint({ name: "db", state: "held" }), endpoint({ name: "x", state: "paused" })],
    }));
    assert.deepEqual(found.map(({ level }) => level), ["bad", "bad", "bad", "warn", "warn", "warn"]);
    assert.ok(found.some(({ text }) => text === "logs is retrying: away"));
});

test("a spool that fills up is told in time", () => {
    const levels = [{}, { full_in_s: 90_000 }, { full_in_s: 80_000 }, { full_in_s: 14_000 }, { bytes: 70 }, { bytes: 90 }];
    assert.deepEqual(levels.map((more) => pipe.fullLevel(spool(more))), ["good", "good", "warn", "bad", "warn", "bad"]);
});

test("slots lie at round moments and end with now", () => {
    const { width, starts } = measures.reach(30, 4, 100_001);
    assert.deepEqual([width, starts], [30_000, [0, 30_000, 60_000, 90_000]]);
});

test("courses say slot by slot what was there, and the open slot ends now", () => {
    const reach = measures.reach(30, 4, 100_000);
    const timer = { logger: "web", name: "db", count: 3, total: 6, p50: 1, p90: 2, p99: 3, max: 4 };
    const took = { bucket: [1, 3], count: [2, 1], total: [4, 2], p50: [1, 5], p90: [2, 6], p99: [3, 7], max: [4, 8] };
    const counter = { logger: "web", name: "db", count: 2, sum: 130, course: { bucket: [1, 3], count: [1, 1], sum: [30, 100] } };
    const tally = (more) => ({ timers: [{ ...timer, course: took }], counters: [counter], partial: false, cut: false, unnamed: 0, unreadable: 1, ...more });
    const whole = measures.read(tally(), reach, 100_000);
    const of = (counted, value) => [...counted.measures.values()].map((measure) => measures.course(measure, counted.known, value));
    assert.deepEqual(of(whole, ({ p50 }) => p50)[0], [null, 1, null, 5]);
    assert.deepEqual(of(whole, ({ rate }) => rate)[1], [0, 1, 0, 10], "a counter of which nothing came stood still; 100 in the last 10 s");
    assert.deepEqual([...whole.measures.values()].map(({ rate }) => rate), [0.06, 1.3], "of 100 s");
    assert.equal(whole.unreadable, 1);
    for (const more of [{ partial: true }, { cut: true }]) {
        assert.deepEqual(of(measures.read(tally(more), reach, 100_000), ({ rate }) => rate)[1], [null, 1, 0, 10], "what is before is not known");
    }
    assert.deepEqual(measures.read({ ...tally({ partial: true }), timers: [], counters: [] }, reach, 100_000).known, 4);
});

test("words that are looked for are told from what is asked of fields", () => {
    const told = (text) => query.words(text).join("|");
    assert.equal(told('disk Full "not a \\"drill\\"" dis*'), 'disk|full|not a "drill"|dis');
    assert.equal(told('severity<=4 logger:"a b" -quiet -"be still" x~/a b/'), "b/");
    assert.equal(told("(a OR b) NOT c d"), "a|b|d");
    assert.equal(told('"unclosed'), "unclosed");
    assert.equal(told(""), "");
});
