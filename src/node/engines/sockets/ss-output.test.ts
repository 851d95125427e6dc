import { expect, test } from "vitest";
import { canonicalAddress, readConnections } from "./ss-output.ts";

test.each([
  ["ESTAB 0      0      10.0.0.1:443 192.0.2.1:50000 ", 443, "192.0.2.1"],
  ["0      36     10.0.0.1:443 192.0.2.1:50000 ", 443, "192.0.2.1"],
  ["CLOSE-WAIT 1 0 [2001:db8::2]:8443 [2001:db8::1]:50000", 8443, "2001:db8::1"],
  ["ESTAB 0 0 [::ffff:10.0.0.1]:443 [::ffff:192.0.2.1]:50000", 443, "192.0.2.1"],
  ["ESTAB 0 0 [fe80::2]%eth0:443 [fe80::1]%eth0:50000", 443, "fe80::1"],
  ["ESTAB 0 0 10.0.0.1%eth0:443 192.0.2.1:50000", 443, "192.0.2.1"],
  ['ESTAB 0 0 10.0.0.1:443 192.0.2.1:50000 users:(("xray",pid=7,fd=9)) ino:5', 443, "192.0.2.1"],
])("a connection is read from %j", (line, localPort, peer) => {
  expect(readConnections(`${line}\n`)).toEqual([{ localPort, peer }]);
});

test("every line is a connection, and nothing else is", () => {
  const lines = ["State Recv-Q Send-Q Local Address:Port Peer Address:Port", "ESTAB 0 0 1.1.1.1:1 2.2.2.2:2"];
  expect(readConnections(`${lines.join("\n")}\nESTAB 0 0 1.1.1.1:3 2.2.2.2:4\n\n`)).toEqual([
    { localPort: 1, peer: "2.2.2.2" },
    { localPort: 3, peer: "2.2.2.2" },
  ]);
  expect(readConnections("")).toEqual([]);
});

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["[2001:DB8:0::0:1]", "2001:db8::1"],
  ["2001:db8:0:0::1", "2001:db8::1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["[::1]", "::1"],
  ["somewhere.example", "somewhere.example"],
  ["no:address", "no:address"],
])("the address %s is written %s", (text, canonical) => expect(canonicalAddress(text)).toBe(canonical));
