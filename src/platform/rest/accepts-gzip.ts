/** Whether a caller takes an answer that is compressed with gzip, by the `Accept-Encoding` of its request. */
export function acceptsGzip(header: Pick<Headers, "get">): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(header.get("accept-encoding") ?? "");
}
