import { expect, test } from "vitest";
import {
  askForEverything,
  recordedExchanges,
  recordedName,
  replaying,
} from "../../../../../test/support/wg-exchanges.ts";
import { ToolFailed } from "../host/system-tool.ts";
import { DeviceRefused, DeviceUnreachable } from "./device.ts";
import { createKernelDevice } from "./kernel-device.ts";

const key = (number: number) => Buffer.alloc(32, number).toString("base64");
const unheard = { endpoint: undefined, lastHandshake: 0, receivedBytes: 0n, sentBytes: 0n };

test("what was recorded of wg is asked for, and understood", async () => {
  const device = createKernelDevice(recordedName, replaying(await recordedExchanges()));
  const { states, refusal } = await askForEverything(device);
  expect(states).toEqual([
    { listenPort: 51_820, peers: [] },
    {
      listenPort: 51_820,
      peers: [
        { publicKey: key(1), allowedIps: ["10.8.0.2/32", "fd00::2/128"], ...unheard },
        { publicKey: key(2), allowedIps: ["10.8.0.3/32"], ...unheard },
      ],
    },
    {
      listenPort: 51_820,
      peers: [
        { publicKey: key(1), allowedIps: ["10.8.0.4/32"], ...unheard },
        { publicKey: key(3), allowedIps: ["10.8.0.2/32", "10.8.0.3/32"], ...unheard },
      ],
    },
  ]);
  expect(refusal).toContain("WireGuard refuses what it was given");
  expect(refusal).not.toContain(key(4));
});

test("counters, endpoints and handshakes are read from a dump", async () => {
  const dump = [
    [key(0x41), key(0x42), "51820", "off"],
    [key(1), "(none)", "198.51.100.7:40123", "10.8.0.2/32", "1763767322", "18446744073709551615", "4821", "off"],
    [key(2), key(9), "[2001:db8::7]:40123", "10.8.0.3/32,fd00::3/128", "0", "0", "148", "25"],
  ];
  const device = createKernelDevice("wg0", async () => `${dump.map((line) => line.join("\t")).join("\n")}\n`);
  expect(await device.read()).toEqual({
    listenPort: 51_820,
    peers: [
      {
        publicKey: key(1),
        allowedIps: ["10.8.0.2/32"],
        endpoint: "198.51.100.7:40123",
        lastHandshake: 1_763_767_322,
        receivedBytes: 2n ** 64n - 1n,
        sentBytes: 4_821n,
      },
      {
        publicKey: key(2),
        allowedIps: ["10.8.0.3/32", "fd00::3/128"],
        endpoint: "[2001:db8::7]:40123",
        lastHandshake: 0,
        receivedBytes: 0n,
        sentBytes: 148n,
      },
    ],
  });
});

test.each([
  ["Unable to access interface: No such device", DeviceUnreachable],
  ["Unable to modify interface: No such device", DeviceUnreachable],
  ["`wg` is not installed: the package wireguard-tools has it", DeviceUnreachable],
  ["Unable to modify interface: Operation not permitted", DeviceRefused],
  ["AllowedIP has invalid CIDR: `99'", DeviceRefused],
])("%s", async (said, kind) => {
  const device = createKernelDevice("wg0", async () => {
    throw new ToolFailed("wg", said);
  });
  const change = device.change([{ publicKey: key(1), allowedIps: ["10.8.0.2/32"], preSharedKey: undefined }]);
  await expect(change).rejects.toThrow(kind);
});
