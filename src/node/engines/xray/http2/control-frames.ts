import { frameOf, frameType } from "./frames.ts";

/** The settings that matter here (RFC 9113 §6.5.2). */
export const setting = { headerTable: 1, push: 2, streamsMax: 3, initialWindow: 4 } as const;

/** A setting and its value. */
type SettingValue = readonly [id: number, value: number];

/** The settings in the payload of a SETTINGS frame. */
export function readSettings(payload: Buffer): SettingValue[] {
  return Array.from({ length: Math.floor(payload.length / settingBytes) }, (_, index) => {
    const at = index * settingBytes;
    return [payload.readUInt16BE(at), payload.readUInt32BE(at + 2)];
  });
}

/** Grants the other end that many more bytes on the connection. */
export function windowUpdate(bytes: number): Buffer {
  return frameOf(frameType.windowUpdate, 0, 0, uint32(bytes));
}

/** Gives a stream up. */
export function cancellation(streamId: number): Buffer {
  return frameOf(frameType.resetStream, 0, streamId, uint32(cancelled));
}

const settingBytes = 6;
const cancelled = 8;

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function settingsOf(values: readonly SettingValue[]): Buffer {
  const payload = Buffer.alloc(settingBytes * values.length);
  for (const [index, [id, value]] of values.entries()) {
    payload.writeUInt16BE(id, settingBytes * index);
    payload.writeUInt32BE(value, settingBytes * index + 2);
  }
  return frameOf(frameType.settings, 0, 0, payload);
}

// Answers are taken in as fast as they come, however large: the counters of many users are megabytes.
const largestWindow = 0x7fffffff;
const usualWindow = 65_535;

/** What a client begins with: it keeps no table of headers, wants no pushes, and takes answers of any size. */
export const preface: Buffer = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  settingsOf([
    [setting.headerTable, 0],
    [setting.push, 0],
    [setting.initialWindow, largestWindow],
  ]),
  windowUpdate(largestWindow - usualWindow),
]);
