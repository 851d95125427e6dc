import { once } from "node:events";
import { createServer, get } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { type AuthorityKeyPair, certificateSha256, createAuthority, issueCertificate } from "./authority.ts";
import { createSelfSignedCertificate } from "./certificate.ts";
import { AuthorityMismatch, asAuthorityMismatch, fetchAuthority, pinnedTls } from "./pinned-tls.ts";

const now = new Date();
const names = { hostNames: ["core.example.org"], addresses: [] };
const authority = createAuthority("Garrison CA", now);
const caSha256 = certificateSha256(authority.cert);
const issue = (by: AuthorityKeyPair, days = 90, at = now) => issueCertificate(by, { names, now: at, days });

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((closed) => server.close(closed));
});

/** Serves HTTPS with a certificate, and says where and how often it was asked. */
async function serve(pair: { cert: string; key: string }) {
  const asked: string[] = [];
  const server = createServer({ cert: pair.cert, key: pair.key }, (request, response) => {
    asked.push(request.headers["x-secret"]?.toString() ?? "");
    response.end("core");
  });
  servers.push(server);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, server };
}

/** Calls with a secret, trusting the authority; what came back, or why not. */
async function call(url: string, ca: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  get(url, { ...pinnedTls(ca), agent: false, headers: { "x-secret": "enrolment code" } }, (response) => {
    response.setEncoding("utf8").on("data", resolve);
  }).on("error", (error) => reject(asAuthorityMismatch(error)));
  return promise;
}

test("the authority is got by its digest, and who has a certificate of it is trusted, whatever its names", async () => {
  const { url, asked } = await serve(issue(authority));
  const ca = await fetchAuthority(url, { caSha256 });
  expect(certificateSha256(ca)).toBe(caSha256);
  expect(asked).toEqual([]);
  expect(await call(url, ca)).toBe("core");
  expect(asked).toEqual(["enrolment code"]);
});

test("another certificate of the same authority is trusted without further ado", async () => {
  const { url, server } = await serve(issue(authority));
  const ca = await fetchAuthority(url, { caSha256 });
  const { cert, key } = issue(authority);
  Reflect.apply(Reflect.get(server, "setSecureContext"), server, [{ cert, key }]);
  expect(await call(url, ca)).toBe("core");
});

test.each([
  ["of another authority", () => issue(createAuthority("Garrison CA", now))],
  ["that signs itself", () => createSelfSignedCertificate({ ...names, now })],
  [
    "that signs itself, with the authority's put behind it",
    () => {
      const own = createSelfSignedCertificate({ ...names, now });
      return { cert: `${own.cert}${authority.cert}`, key: own.key };
    },
  ],
  [
    "that claims to be the authority's, signed with another key",
    () => issue({ cert: authority.cert, key: createAuthority("Garrison CA", now).key }),
  ],
])("a certificate %s is refused before anything is sent", async (_, made) => {
  const { url, asked } = await serve(made());
  await expect(call(url, authority.cert)).rejects.toThrow(AuthorityMismatch);
  await expect(call(url, authority.cert)).rejects.toThrow("not signed by the authority that is pinned");
  expect(asked).toEqual([]);
});

test.each([
  ["has another authority", () => issue(createAuthority("Garrison CA", now))],
  ["signs itself", () => createSelfSignedCertificate({ ...names, now })],
])("the authority is not got from somebody who %s", async (_, made) => {
  const { url, asked } = await serve(made());
  await expect(fetchAuthority(url, { caSha256 })).rejects.toThrow(AuthorityMismatch);
  expect(asked).toEqual([]);
});

test("a certificate that has expired is refused, which is not the authority's fault", async () => {
  const { url, asked } = await serve(issue(authority, 1, new Date(now.getTime() - 10 * 86_400_000)));
  await expect(call(url, authority.cert)).rejects.toThrow("certificate has expired");
  expect(asked).toEqual([]);
});

test("a certificate that the machine's own authorities vouch for is not enough", async () => {
  const known = createAuthority("Known CA", now);
  const { url, asked } = await serve(issue(known));
  const defaults = getCACertificates("default");
  setDefaultCACertificates([...defaults, known.cert]);
  try {
    const reached = await fetch(url, { headers: { host: "core.example.org" } }).catch((error: Error) => error.cause);
    expect(reached).toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID" }); // trusted, but for the name
    await expect(call(url, authority.cert)).rejects.toThrow(AuthorityMismatch);
    expect(asked).toEqual([]);
  } finally {
    setDefaultCACertificates(defaults);
  }
});

test("nobody there, silence, and giving up are told", async () => {
  const silent = createTcpServer();
  servers.push(silent);
  await once(silent.listen(0, "127.0.0.1"), "listening");
  const { port } = silent.address() as AddressInfo;
  const sockets: { destroy(): void }[] = [];
  silent.on("connection", (socket) => sockets.push(socket));
  const url = `https://127.0.0.1:${port}`;
  await expect(fetchAuthority(url, { caSha256, timeoutMs: 50 })).rejects.toThrow("did not answer within 50 ms");
  const stop = new AbortController();
  const given = fetchAuthority(url, { caSha256, signal: stop.signal });
  stop.abort(new Error("the node ends"));
  await expect(given).rejects.toThrow("the node ends");
  for (const socket of sockets) socket.destroy();
  await expect(fetchAuthority("https://127.0.0.1:1", { caSha256 })).rejects.toThrow("ECONNREFUSED");
});
