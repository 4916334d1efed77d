// A PNG as a browser writes it, with a palette of its 256 most frequent colours instead: of a page full of text that is a
// third, and nobody sees a difference.

import { deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

function read(png) {
    const data = [];
    let head = null;
    for (let at = 8; at < png.length; ) {
        const length = png.readUInt32BE(at);
        const [kind, body] = [png.toString("latin1", at + 4, at + 8), png.subarray(at + 8, at + 8 + length)];
        if (kind === "IHDR") head = { width: body.readUInt32BE(0), height: body.readUInt32BE(4), depth: body[8], colour: body[9], lace: body[12] };
        if (kind === "IDAT") data.push(body);
        at += 12 + length;
    }
    if (head?.depth !== 8 || ![2, 6].includes(head.colour) || head.lace) throw new Error("only what a browser writes");
    return { ...head, size: head.colour === 6 ? 4 : 3, rows: inflateSync(Buffer.concat(data)) };
}

/** Each pixel as one number; what the filters of the format took away is put back. */
function pixels({ width, height, size, rows }) {
    const line = width * size;
    const whole = Buffer.alloc(line * height);
    const nearest = (left, above, corner) => {
        const guess = left + above - corner;
        const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - above), Math.abs(guess - corner)];
        return a <= b && a <= c ? left : b <= c ? above : corner;
    };
    for (let y = 0; y < height; y += 1) {
        const filter = rows[y * (line + 1)];
        for (let x = 0; x < line; x += 1) {
            const at = y * line + x;
            const left = x >= size ? whole[at - size] : 0;
            const above = y > 0 ? whole[at - line] : 0;
            const corner = x >= size && y > 0 ? whole[at - line - size] : 0;
            const add = [0, left, above, (left + above) >> 1, nearest(left, above, corner)][filter];
            whole[at] = rows[y * (line + 1) + 1 + x] + add;
        }
    }
    return Uint32Array.from({ length: width * height }, (_, at) => whole.readUIntBE(at * size, 3));
}

function chunk(kind, body) {
    const named = Buffer.concat([Buffer.from(kind, "latin1"), body]);
    let sum = 0xffffffff;
    for (const byte of named) {
        sum ^= byte;
        for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
    }
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(body.length, 0);
    frame.writeUInt32BE(~sum >>> 0, 4);
    return Buffer.concat([frame.subarray(0, 4), named, frame.subarray(4)]);
}

export function smaller(png) {
    const image = read(png);
    const { width, height } = image;
    const all = pixels(image);
    const counts = new Map();
    for (const colour of all) counts.set(colour, (counts.get(colour) ?? 0) + 1);
    const palette = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 256).map(([colour]) => colour);
    const parts = (colour) => [colour >> 16, (colour >> 8) & 255, colour & 255];
    const away = (one, other) => parts(one).reduce((sum, part, at) => sum + (part - parts(other)[at]) ** 2, 0);
    const places = new Map(palette.map((colour, at) => [colour, at]));
    for (const colour of counts.keys()) {
        if (!places.has(colour)) places.set(colour, palette.reduce((best, other, at) => (away(colour, other) < away(colour, palette[best]) ? at : best), 0));
    }
    const rows = Buffer.alloc(height * (width + 1));
    for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) rows[y * (width + 1) + 1 + x] = places.get(all[y * width + x]);
    const head = Buffer.alloc(13);
    head.writeUInt32BE(width, 0);
    head.writeUInt32BE(height, 4);
    head.set([8, 3, 0, 0, 0], 8);
    return Buffer.concat([SIGNATURE, chunk("IHDR", head), chunk("PLTE", Buffer.from(palette.flatMap(parts))), chunk("IDAT", deflateSync(rows, { level: 9, memLevel: 9 })), chunk("IEND", Buffer.alloc(0))]);
}
