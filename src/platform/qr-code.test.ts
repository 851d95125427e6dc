import jsqr from "jsqr";
import { expect, test } from "vitest";
import { qrCodeSvg } from "./qr-code.ts";

test.each([
  ["nothing but digits", "0123456789".repeat(20)],
  ["a link", "vless://0f3c@[2001:db8::1]:443?security=reality&sni=a.example.org#Zo%C3%AB"],
  ["more than ASCII", `Zoë "<&>" 🚀\n${"ü".repeat(40)}`],
  ["as much as a code holds", "Aa0-".repeat(738)],
])("%s reads as it was written", (_, text) => {
  expect(decode(qrCodeSvg(text) ?? "")).toBe(text);
});

test("a text that is too long has no code", () => {
  expect(qrCodeSvg("x".repeat(2953))).toBeDefined();
  expect(qrCodeSvg("x".repeat(2954))).toBeUndefined();
  expect(qrCodeSvg("ü".repeat(1477))).toBeUndefined();
});

/** Draws what the path says, four pixels to a module, and reads it. */
function decode(svg: string): string | undefined {
  const size = Number(/viewBox="0 0 (\d+)/.exec(svg)?.[1]);
  const width = size * 4;
  const pixels = new Uint8ClampedArray(width * width * 4).fill(255);
  let [x, y] = [0, 0];
  for (const [, dx, dy, length] of svg.matchAll(/m(-?\d+) (\d+)h(\d+)/g)) {
    [x, y] = [x + Number(dx), y + Number(dy)];
    for (let row = y * 4; row < y * 4 + 4; row += 1) {
      for (let column = x * 4; column < (x + Number(length)) * 4; column += 1)
        pixels.fill(0, (row * width + column) * 4, (row * width + column) * 4 + 3);
    }
    x += Number(length);
  }
  return jsqr.default(pixels, width, width)?.data;
}
