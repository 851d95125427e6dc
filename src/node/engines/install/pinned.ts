/** A program that `garrison engines install` can bring, pinned to one version. */
export interface PinnedEngine {
  readonly name: EngineName;
  readonly about: string;
  readonly version: string;
  /** The file name of the program. */
  readonly program: string;
  /** What makes the program print its version, and stands before it in the first line of that. */
  readonly versionArgument: string;
  readonly versionPrefix: string;
  readonly source: GoSource;
  readonly release?: Release;
}

/** The names of the engines that can be installed. */
export const engineNames = ["xray", "wireguard", "sing-box", "mihomo"] as const;
/** The name of an engine that can be installed. */
export type EngineName = (typeof engineNames)[number];

/** A module of the Go module proxy. */
export interface GoSource {
  readonly module: string;
  readonly version: string;
  /** The module's checksum as in go.sum. The module's own go.sum then pins all that it needs. */
  readonly sum: string;
  /** The package within the module. */
  readonly package: string;
  readonly tags?: string;
  readonly ldflags: string;
}

/** Archives that the engine's project publishes. */
export interface Release {
  /** Where they are, unless `GARRISON_XRAY_MIRROR` says otherwise: `<mirror>/<tag>/<archive>`. */
  readonly mirror: string;
  readonly tag: string;
  /** Archives by `process.platform`-`process.arch`. */
  readonly archives: Readonly<Record<string, Archive>>;
  /** What is taken out of an archive; the first is the program, the others may be missing. */
  readonly files: readonly [string, ...string[]];
}

/** A zip archive with a program for one kind of machine. */
export interface Archive {
  readonly name: string;
  /** Lower-case hex. Without it the archive is used only when `--sha256` names its digest. */
  readonly sha256?: string;
}

/** The engines that can be installed, by name. */
export const pinnedEngines: Readonly<Record<EngineName, PinnedEngine>> = {
  xray: {
    name: "xray",
    about: "the proxy engine of the node",
    version: "26.3.27",
    program: "xray",
    versionArgument: "version",
    versionPrefix: "Xray ",
    source: {
      module: "github.com/xtls/xray-core",
      version: "v1.260327.0",
      sum: "h1:g4TzxMwyPrxslZh6uD+FiG3lXKTrnNO+b4ky2OhogHE=",
      package: "./main",
      ldflags: "-s -w -buildid=",
    },
    release: {
      mirror: "https://github.com/XTLS/Xray-core/releases/download",
      tag: "v26.3.27",
      // No digests yet: each is added once somebody has checked it against what the project signs.
      archives: {
        "linux-x64": { name: "Xray-linux-64.zip" },
        "linux-arm64": { name: "Xray-linux-arm64-v8a.zip" },
        "linux-arm": { name: "Xray-linux-arm32-v7a.zip" },
        "linux-riscv64": { name: "Xray-linux-riscv64.zip" },
        "darwin-x64": { name: "Xray-macos-64.zip" },
        "darwin-arm64": { name: "Xray-macos-arm64-v8a.zip" },
      },
      files: ["xray", "geoip.dat", "geosite.dat"],
    },
  },
  wireguard: {
    name: "wireguard",
    about: "WireGuard as a process, for kernels without it",
    version: "0.0.20250522",
    program: "wireguard-go",
    versionArgument: "--version",
    versionPrefix: "wireguard-go v",
    source: {
      module: "golang.zx2c4.com/wireguard",
      version: "v0.0.0-20260522210424-ecfc5a8d5446",
      sum: "h1:cqHQ3AycTHvM2R7ikgyX57D+XvtcSnGylsLkOVhta/w=",
      package: ".",
      ldflags: "-s -w -buildid=",
    },
  },
  "sing-box": {
    name: "sing-box",
    about: "an independent client, which the tests check the node with",
    version: "1.14.1",
    program: "sing-box",
    versionArgument: "version",
    versionPrefix: "sing-box version ",
    source: {
      module: "github.com/sagernet/sing-box",
      version: "v1.14.1",
      sum: "h1:LumpcrArE3cxXYxoKhNN4yOQq1TeaEEuKWHCokodO9M=",
      package: "./cmd/sing-box",
      tags: "with_quic,with_utls",
      ldflags: "-s -w -buildid= -X github.com/sagernet/sing-box/constant.Version=1.14.1",
    },
  },
  mihomo: {
    name: "mihomo",
    about: "a third client, for which the tests have Core write subscriptions",
    version: "1.19.23",
    program: "mihomo",
    versionArgument: "-v",
    versionPrefix: "Mihomo Meta ",
    source: {
      module: "github.com/metacubex/mihomo",
      version: "v1.19.23",
      sum: "h1:yHxEyIwu1XstpUFw7SqHBCWO//KrQYkhG18XB86y0Ns=",
      package: ".",
      // Without it Mihomo has no WireGuard.
      tags: "with_gvisor",
      ldflags: "-s -w -buildid= -X github.com/metacubex/mihomo/constant.Version=1.19.23",
    },
  },
};
