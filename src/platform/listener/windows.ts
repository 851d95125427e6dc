import type { ServerHttp2Session, Settings } from "node:http2";
import type { ListenerLimits, Windows } from "./limits.ts";

/** The settings that an HTTP/2 connection starts with. */
export function firstSettings(limits: ListenerLimits): Settings {
  return {
    initialWindowSize: limits.untrustedWindows.stream,
    maxConcurrentStreams: limits.maxStreams,
    maxHeaderListSize: limits.maxHeaderBytes,
    enablePush: false,
  };
}

/**
 * Sets the receive window of the connection, and that of its streams: of open ones too, as soon as the other end has
 * acknowledged it (RFC 9113 §6.9.2).
 */
export function setWindows(session: ServerHttp2Session, windows: Windows): void {
  if (session.destroyed) return;
  // Settings flush what is queued; the window of the connection alone would wait for the next frame.
  session.setLocalWindowSize(windows.connection);
  session.settings({ initialWindowSize: windows.stream });
}
