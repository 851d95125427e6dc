import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, connect as tlsConnect } from "node:tls";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSelfSignedCertificate } from "../../src/platform/identity/certificate.ts";

// A certificate that signs itself is only worth something when every client can be told to trust it, and checks names.

const run = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), "garrison-certificate-peers-"));
const certFile = join(directory, "cert.pem");
const pair = createSelfSignedCertificate({
  hostNames: ["node.example", "localhost"],
  addresses: ["127.0.0.1", "2001:db8::7"],
  now: new Date(),
});
const server = createServer({ cert: pair.cert, key: pair.key }, (socket) => socket.end("hello"));

beforeAll(async () => {
  writeFileSync(certFile, pair.cert);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true });
});

const port = () => (server.address() as AddressInfo).port;

describe("OpenSSL", () => {
  it.each([
    ["-verify_hostname", "node.example", true],
    ["-verify_ip", "127.0.0.1", true],
    ["-verify_ip", "2001:db8::7", true],
    ["-verify_hostname", "other.example", false],
  ])("with %s %s, strictly: %s", async (option, name, good) => {
    const args = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", certFile, option, name, certFile];
    const verified = run("openssl", args).then(
      ({ stdout }) => stdout.includes("OK"),
      () => false,
    );
    expect(await verified).toBe(good);
  });
});

describe("Node", () => {
  it.each([
    ["node.example", undefined],
    ["127.0.0.1", undefined],
    ["other.example", "ERR_TLS_CERT_ALTNAME_INVALID"],
  ])("as %s", async (host, code) => {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const name = isIP(host) === 0 ? { servername: host } : {};
    const socket = tlsConnect({ port: port(), host: "127.0.0.1", ca: pair.cert, ...name });
    socket.once("secureConnect", () => resolve(undefined));
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
    expect(await promise).toBe(code);
    socket.destroy();
  });
});

describe("Python", () => {
  it("with a context as the panel's client makes it, and with the strictest there is", async () => {
    const script = `
import socket, ssl, sys
port, file = int(sys.argv[1]), sys.argv[2]
def shake(name, strict):
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=open(file).read())
    if strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=name) as s:
            return s.recv(5).decode()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message.split(",")[0]
for name in ("node.example", "127.0.0.1", "other.example"):
    print(name, shake(name, False), shake(name, True), sep="|")
`;
    const { stdout } = await run("python3", ["-c", script, String(port()), certFile]);
    expect(stdout.trim().split("\n")).toEqual([
      "node.example|hello|hello",
      "127.0.0.1|hello|hello",
      "other.example|Hostname mismatch|Hostname mismatch",
    ]);
  });
});

describe("Go", () => {
  it("as a root of its own, by name and address", { timeout: 180_000 }, async () => {
    const program = join(directory, "main.go");
    writeFileSync(
      program,
      `package main

import ("crypto/x509"; "encoding/pem"; "fmt"; "os")

func main() {
	text, _ := os.ReadFile(os.Args[1])
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil { panic(err) }
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	for _, name := range os.Args[2:] {
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		fmt.Println(name, err == nil)
	}
}
`,
    );
    const names = ["node.example", "[127.0.0.1]", "[2001:db8::7]", "other.example"];
    const { stdout } = await run("go", ["run", program, certFile, ...names], { cwd: directory });
    expect(stdout.trim().split("\n")).toEqual([
      "node.example true",
      "[127.0.0.1] true",
      "[2001:db8::7] true",
      "other.example false",
    ]);
  });
});
