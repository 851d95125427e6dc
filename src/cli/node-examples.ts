import { randomUUID } from "node:crypto";

/** What the examples have to know of a node that runs. */
export interface ExampleNode {
  /** Where it can be called at. */
  readonly url: string;
  /** The file with its key; undefined when the operator gave the key. */
  readonly keyFile: string | undefined;
  /** The file with its certificate; undefined without TLS. */
  readonly certFile: string | undefined;
  /** The program `buf`. */
  readonly buf: string;
}

const inboundPort = 20443;

/**
 * Shell commands that call a node: they ask it what it is, start Xray, add a user, and read what the user has used.
 * A share link for that user stands between them.
 */
export function nodeExamples(node: ExampleNode, makeUuid: () => string = randomUUID): string {
  const isTls = node.certFile !== undefined;
  const key = '-H "x-api-key: $KEY"';
  const curl = `curl -sS${isTls ? ' --cacert "$CERT"' : ""} ${key} -H 'content-type: application/json'`;
  const bufTransport = isTls ? '--cacert "$CERT"' : "--http2-prior-knowledge";
  const buf = `"$BUF" curl --protocol grpc ${bufTransport} ${key} --reflect-header "x-api-key: $KEY"`;
  const call = (program: string, method: string, request: unknown) =>
    `${program} \\\n  -d ${quoted(JSON.stringify(request))} \\\n  ${node.url}/service.NodeService/${method}`;
  const userId = makeUuid();
  return [
    "# Call the node, in another terminal:",
    node.keyFile === undefined
      ? 'KEY="$API_KEY" # the one that you gave the node'
      : `KEY=$(cat ${quoted(node.keyFile)})`,
    ...(node.certFile === undefined ? [] : [`CERT=${quoted(node.certFile)}`]),
    `BUF=${quoted(node.buf)}`,
    "",
    "# What is it? Over gRPC; the node itself tells what it can be asked:",
    call(buf, "GetBaseInfo", {}),
    "",
    "# The same with curl, over Connect:",
    call(curl, "GetBaseInfo", {}),
    "",
    "# Start Xray with one inbound, which only this machine can reach:",
    call(curl, "Start", { type: "XRAY", config: JSON.stringify(exampleConfig) }),
    "",
    "# Add a user, without a restart:",
    call(buf, "SyncUser", { email: "1", proxies: { vless: { id: userId } }, inbounds: ["vless"] }),
    "",
    "# Paste this share link into a client on this machine:",
    `echo ${quoted(`vless://${userId}@127.0.0.1:${inboundPort}?encryption=none&security=none&type=tcp#garrison`)}`,
    "",
    "# What has the user used?",
    call(curl, "GetStats", { type: "UsersStat" }),
    "",
  ].join("\n");
}

const exampleConfig = {
  inbounds: [
    {
      tag: "vless",
      listen: "127.0.0.1",
      port: inboundPort,
      protocol: "vless",
      settings: { clients: [], decryption: "none" },
    },
  ],
  outbounds: [{ tag: "direct", protocol: "freedom" }],
};

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
