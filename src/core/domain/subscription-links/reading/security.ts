import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { type JsonObject, objectIn } from "../../fleet/json-object.ts";
import { realityPublicKey } from "../../fleet/protocols/reality-key.ts";
import type { Security } from "../endpoint.ts";
import { textIn, textsIn } from "./lenient.ts";
import type { LinkSettings } from "./link-settings.ts";

/**
 * What an inbound of Xray with these settings is wrapped in; undefined when it cannot be told. `hosts` are what it is reached
 * by, and what its node is.
 */
export function readSecurity(
  settings: JsonObject,
  link: LinkSettings,
  hosts: readonly [string, string],
): Security | undefined {
  const stream = objectIn(settings.streamSettings) ?? {};
  const security = textIn(stream, "security");
  if (security === "" || security === "none") return { kind: "none" };
  if (security === "tls") return readTls(objectIn(stream.tlsSettings) ?? {}, link, hosts);
  if (security !== "reality") return undefined;
  return readReality(settings, objectIn(stream.realitySettings) ?? {}, link, hosts[0]);
}

function readTls(tls: JsonObject, link: LinkSettings, hosts: readonly [string, string]): Security {
  const certificate = certificateIn(tls);
  const sni = link.sni || textIn(tls, "serverName") || nameFor(hosts, certificate);
  // Whom clients cannot trust without being told, they are told about.
  const insecure = link.allowInsecure ?? (certificate !== undefined && certificate.issuer === certificate.subject);
  return {
    kind: "tls",
    sni,
    alpn: link.alpn.length > 0 ? link.alpn : textsIn(tls, "alpn"),
    fingerprint: fingerprintOf(link.fingerprint || textIn(tls, "fingerprint")),
    insecure,
    ...(insecure && certificate !== undefined && { certificate: pinned(certificate, sni) }),
  };
}

function readReality(
  settings: JsonObject,
  reality: JsonObject,
  link: LinkSettings,
  host: string,
): Security | undefined {
  const publicKey = realityPublicKey(settings);
  if (publicKey === "") return undefined;
  const shortIds = Array.isArray(reality.shortIds) ? reality.shortIds : [];
  return {
    kind: "reality",
    sni: link.sni || (textsIn(reality, "serverNames")[0] ?? host),
    fingerprint: fingerprintOf(link.fingerprint || textIn(reality, "fingerprint")) || "chrome",
    publicKey,
    shortId: shortIds.find((id) => typeof id === "string") ?? "",
    spiderX: /^\/.*/.exec(textIn(reality, "spiderX"))?.[0] ?? "",
  };
}

/** The certificate of the server, where it stands in the settings and not in a file of the node's. */
function certificateIn(tls: JsonObject): X509Certificate | undefined {
  const all = Array.isArray(tls.certificates) ? tls.certificates : [];
  for (const one of all.map(objectIn)) {
    if (one === undefined || !(one.usage === undefined || one.usage === "" || one.usage === "encipherment")) continue;
    const lines = one.certificate;
    if (!Array.isArray(lines)) continue;
    try {
      return new X509Certificate(lines.join("\n"));
    } catch {
      // The engine will say so; a client can know nothing of it.
    }
  }
  return undefined;
}

function pinned(certificate: X509Certificate, sni: string) {
  return {
    sha256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    pem: certificate.toString(),
    namesServer: names(certificate, sni),
  };
}

/**
 * What to ask a server for: what it is reached by, where that is a name or an address in its certificate, else the name
 * of its node, else the first one in the certificate.
 */
function nameFor(hosts: readonly [string, string], certificate: X509Certificate | undefined): string {
  const [host] = hosts;
  if (isIP(host) !== 0 && certificate !== undefined && names(certificate, host)) return host;
  const ofCertificate = /(?:^|, )DNS:([^*,"\s]+)(?:,|$)/.exec(certificate?.subjectAltName ?? "")?.[1];
  return hosts.find((one) => isIP(one) === 0) ?? ofCertificate ?? host;
}

function names(certificate: X509Certificate, name: string): boolean {
  try {
    return (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined;
  } catch {
    return false; // nothing that could be a name
  }
}

/** Programs refuse to start with a name that they do not know. */
function fingerprintOf(name: string): string {
  const known = name.toLowerCase();
  return fingerprints.test(known) ? known : "";
}

const fingerprints =
  /^(chrome|firefox|safari|ios|android|edge|360|qq|random|randomized|randomizednoalpn|hello[a-z]+_[a-z0-9_]+)$/;
