/** A link that opens an app, which then takes the subscription. */
export interface ImportLink {
  readonly app: string;
  readonly href: string;
}

/** How some apps are told to take a subscription. */
export function importLinks(url: string, title: string): ImportLink[] {
  const [address, name] = [url, title.toWellFormed()].map(encodeURIComponent);
  return [
    { app: "Hiddify", href: `hiddify://import/${url}#${name}` },
    // Older ones look for the name in the query, newer ones behind it.
    { app: "v2rayNG", href: `v2rayng://install-sub?name=${name}&url=${address}#${name}` },
    { app: "Happ", href: `happ://add/${url}` },
    { app: "Streisand", href: `streisand://import/${url}#${name}` },
    { app: "Clash", href: `clash://install-config?name=${name}&url=${address}` },
    { app: "sing-box", href: `sing-box://import-remote-profile?url=${address}#${name}` },
  ];
}
