/** Ports on 127.0.0.1 that the config listens on. */
export interface Ports {
  /** `vless-in`: where users are put. */
  vless: number;
  /** `proxy-in`: an HTTP proxy that needs no user, so that any HTTP client makes traffic. */
  proxy: number;
}

/** A config for Xray, as JSON, that counts the traffic of inbounds and logs each request. */
export function xrayConfig({ vless, proxy }: Ports): string {
  return JSON.stringify({
    log: { loglevel: "info" },
    inbounds: [
      {
        tag: "vless-in",
        listen: "127.0.0.1",
        port: vless,
        protocol: "vless",
        settings: { clients: [], decryption: "none" },
      },
      { tag: "proxy-in", listen: "127.0.0.1", port: proxy, protocol: "http", settings: {} },
    ],
    // Later versions refuse targets on this machine without such a rule.
    outbounds: [{ tag: "direct", protocol: "freedom", settings: { finalRules: [{ action: "allow" }] } }],
    policy: { system: { statsInboundUplink: true, statsInboundDownlink: true } },
  });
}
