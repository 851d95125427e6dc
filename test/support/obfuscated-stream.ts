import { type Cipheriv, createCipheriv, createDecipheriv, createHash, type Decipheriv, randomBytes } from "node:crypto";

/** The two directions of a connection of MTProto's obfuscated transport, at one of its ends. */
export interface ObfuscatedStream {
  /** What this end sends. */
  readonly encrypt: Cipheriv;
  /** What it receives. */
  readonly decrypt: Decipheriv;
}

/** The length of what opens a connection. */
export const openingBytes = 64;

/** Opens a connection to a data centre: these bytes are sent first. To a proxy with its secret, 32 hex digits. */
export function openObfuscated(dc: number, secret?: string): ObfuscatedStream & { readonly opening: Buffer } {
  const plain = randomBytes(openingBytes);
  // Neither like TLS or HTTP, nor like another transport.
  plain[0] = 0x10;
  plain.writeUInt32LE(0x01020304, 4);
  plain.fill(0xdd, 56, 60);
  plain.writeInt16LE(dc, 60);
  const [out, back] = keysOf(plain, secret);
  const encrypt = createCipheriv("aes-256-ctr", ...out);
  const encrypted = encrypt.update(plain);
  return {
    opening: Buffer.concat([plain.subarray(0, 56), encrypted.subarray(56)]),
    encrypt,
    decrypt: createDecipheriv("aes-256-ctr", ...back),
  };
}

/** The other end of what opens a connection. Undefined when it was not meant for this secret. */
export function acceptObfuscated(
  opening: Buffer,
  secret?: string,
): (ObfuscatedStream & { readonly dc: number; readonly transport: number }) | undefined {
  const [out, back] = keysOf(opening, secret);
  const decrypt = createDecipheriv("aes-256-ctr", ...out);
  const plain = decrypt.update(opening);
  const transport = plain.readUInt32LE(56);
  if (![0xdddddddd, 0xeeeeeeee, 0xefefefef].includes(transport)) return undefined;
  return { dc: plain.readInt16LE(60), transport, decrypt, encrypt: createCipheriv("aes-256-ctr", ...back) };
}

/** Key and initial vector of either direction: they stand in the opening, forwards and backwards. */
function keysOf(opening: Buffer, secret: string | undefined): [[Buffer, Buffer], [Buffer, Buffer]] {
  const forwards = Buffer.from(opening.subarray(8, 56));
  const backwards = Buffer.from(forwards).reverse();
  const keyOf = (bytes: Buffer): [Buffer, Buffer] => [mix(bytes.subarray(0, 32), secret), bytes.subarray(32, 48)];
  return [keyOf(forwards), keyOf(backwards)];
}

function mix(key: Buffer, secret: string | undefined): Buffer {
  if (secret === undefined) return key;
  return createHash("sha256").update(key).update(Buffer.from(secret, "hex")).digest();
}
