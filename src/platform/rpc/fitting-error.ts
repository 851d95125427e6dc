import { ConnectError } from "@connectrpc/connect";

// Percent-encoded. HTTP/2 libraries take trailers of 64 KiB in all, and reset a call that has more.
const maxBytes = 32 * 1024;

/**
 * An error as gRPC can tell it: it sends the sentence in a trailer. Of one that is too long the middle is left out,
 * since the beginning tells what went wrong and the end, mostly, why.
 */
export function fittingError(error: ConnectError): ConnectError {
  const { rawMessage, code, metadata, cause, details } = error;
  if (encodeURIComponent(rawMessage.toWellFormed()).length <= maxBytes) return error;
  const shortened = new ConnectError(withoutMiddle(rawMessage), code, metadata, undefined, cause);
  shortened.details = details;
  return shortened;
}

function withoutMiddle(text: string): string {
  const half = maxBytes / 2 - leftOut.length;
  const begin = fitting([...text.slice(0, half).toWellFormed()], half);
  const end = fitting([...text.slice(-half).toWellFormed()].reverse(), half).toReversed();
  return [...begin, leftOut, ...end].join("");
}

const leftOut = " [...] ";

/** As many of these characters, from the first on, as take so many bytes. */
function fitting(characters: readonly string[], bytes: number): readonly string[] {
  let left = bytes;
  const end = characters.findIndex((character) => {
    left -= encodeURIComponent(character).length;
    return left < 0;
  });
  return end < 0 ? characters : characters.slice(0, end);
}
