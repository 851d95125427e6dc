/** Networks of one's own, which are reached as without a proxy, by family. */
export const ownNetworks = {
  ipv4: ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "224.0.0.0/4"],
  ipv6: ["::1/128", "fc00::/7", "fe80::/10"],
} as const;

/** What programs ask for to find out which way is the fastest. */
export const probeUrl = "https://www.gstatic.com/generate_204";
