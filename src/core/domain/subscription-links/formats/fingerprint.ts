/** The name by which sing-box and Mihomo know a fingerprint of Xray's; empty stays empty. */
export function commonFingerprint(fingerprint: string): string {
  if (fingerprint === "" || common.has(fingerprint)) return fingerprint;
  return fingerprint.startsWith("randomized") ? "randomized" : "chrome";
}

const common = new Set([
  ...["chrome", "firefox", "safari", "ios", "android", "edge", "360", "qq", "random", "randomized"],
]);
