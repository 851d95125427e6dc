import { X509Certificate } from "node:crypto";
import { afterEach, expect, test, vi } from "vitest";
import { createAuthority } from "./authority.ts";
import type { Certificate } from "./certificate-files.ts";
import { type IssuedCertificate, openIssuedCertificate } from "./issued-certificate.ts";

const day = 86_400_000;
const start = Date.UTC(2026, 2, 1);
const authority = createAuthority("Garrison CA", new Date(start));

let opened: IssuedCertificate;
afterEach(() => opened.close());

function open() {
  const world = { now: start, addresses: ["192.0.2.7"], hostNames: ["core.example.org"] };
  const changes: Certificate[] = [];
  const problems: string[] = [];
  opened = openIssuedCertificate({
    authority,
    names: () => ({ hostNames: [...world.hostNames], addresses: [...world.addresses] }),
    now: () => new Date(world.now),
    pollMs: 5,
    onChange: (certificate) => changes.push(certificate),
    onProblem: (message) => problems.push(message),
  });
  return { world, changes, problems };
}
const rounds = () => new Promise((resolve) => setTimeout(resolve, 50));
const leafOf = ({ cert }: Certificate) => new X509Certificate(cert);

test("a certificate stays for two months, and is replaced a month before it ends", async () => {
  const { world, changes } = open();
  const { validTo } = opened.current;
  expect(validTo).toEqual(new Date(start + 90 * day));
  world.now = start + 60 * day;
  await rounds();
  expect(changes).toEqual([]);
  world.now += 1;
  await vi.waitFor(() => expect(changes).toHaveLength(1));
  await rounds();
  expect(changes).toHaveLength(1);
  expect(opened.current).toBe(changes[0]);
  expect(opened.current.validTo).toEqual(new Date(start + 150 * day));
  expect(leafOf(opened.current).checkIssued(new X509Certificate(authority.cert))).toBe(true);
});

test("a certificate that was made while the clock was ahead is replaced once the clock is right", async () => {
  const { world, changes } = open();
  world.now = start - 200 * day;
  await vi.waitFor(() => expect(changes).toHaveLength(1));
  expect(leafOf(opened.current).validFromDate).toEqual(new Date(start - 201 * day));
  await rounds();
  expect(changes).toHaveLength(1);
});

test("a certificate is replaced when the names of the machine change, and not when their order does", async () => {
  const { world, changes } = open();
  world.addresses = ["192.0.2.8", "192.0.2.7"];
  await vi.waitFor(() => expect(changes).toHaveLength(1));
  expect(leafOf(opened.current).checkIP("192.0.2.8")).toBe("192.0.2.8");
  world.addresses = ["192.0.2.7", "192.0.2.8"];
  await rounds();
  expect(changes).toHaveLength(1);
});

test("names that no certificate can have leave the one before, and are told once", async () => {
  const { world, changes, problems } = open();
  world.hostNames = ["not a name"];
  await rounds();
  expect({ changes, problems }).toEqual({ changes: [], problems: ['not a host name: "not a name"'] });
  world.hostNames = ["other.example.org"];
  await vi.waitFor(() => expect(changes).toHaveLength(1));
});
