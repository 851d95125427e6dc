import { encodeQR } from "qr";

/** The light border that a code needs to be found, in modules. */
const border = 4;

/**
 * A text as a QR code: an SVG element, to stand in a page, black on white, of whatever size the page gives it. Undefined
 * for a text that no QR code holds: of more than 2,953 bytes.
 */
export function qrCodeSvg(text: string): string | undefined {
  const modules = modulesOf(text);
  if (modules === undefined) return undefined;
  const size = modules.length;
  return (
    `<svg class="qr" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges" role="img" aria-label="QR code">` +
    `<path fill="#fff" d="M0 0h${size}v${size}H0z"/><path stroke="#000" d="M0 .5${strokesOf(modules)}"/></svg>`
  );
}

function modulesOf(text: string): boolean[][] | undefined {
  if (Buffer.byteLength(text) > mostBytes) return undefined;
  return encodeQR(text, "raw", { ecc: "low", encoding: "byte", border });
}

/** Of the largest code, with the least redundancy. */
const mostBytes = 2953;

/** One stroke for each run of dark modules: a quarter of the length of squares. */
function strokesOf(modules: readonly (readonly boolean[])[]): string {
  let strokes = "";
  let [atX, atY] = [0, 0];
  for (const [y, row] of modules.entries()) {
    for (let x = row.indexOf(true); x !== -1; x = row.indexOf(true, atX)) {
      const light = row.indexOf(false, x);
      const end = light === -1 ? row.length : light;
      strokes += `m${x - atX} ${y - atY}h${end - x}`;
      [atX, atY] = [end, y];
    }
  }
  return strokes;
}
