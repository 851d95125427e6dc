import type { Transport } from "@connectrpc/connect";

/** A transport whose calls carry a key, as `Authorization: Bearer`. */
export function withKey(transport: Transport, key: string): Transport {
  const add = (header: ConstructorParameters<typeof Headers>[0]) => {
    const headers = new Headers(header);
    headers.set("authorization", `Bearer ${key}`);
    return headers;
  };
  return {
    unary: (method, signal, timeoutMs, header, input, values) =>
      transport.unary(method, signal, timeoutMs, add(header), input, values),
    stream: (method, signal, timeoutMs, header, input, values) =>
      transport.stream(method, signal, timeoutMs, add(header), input, values),
  };
}
