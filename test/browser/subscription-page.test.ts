import jsqr from "jsqr";
import { type Browser, type BrowserContext, chromium, type Locator } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type MadeSubscription, openSubscriptionScene, type SubscriptionScene } from "../core/subscription-scene.ts";

// Of a user and of a node, written where the API would not let them pass, too.
const evilTitle = `"'><script>document.title="pwned"</script>\n<b>: # & &amp; 🚀 %s`;
const evilName = `</code></details><img src=x onerror="document.title='pwned'">\n"': #1 & <i> 🇩🇪`;

describe("the page of a subscription, in a real browser", () => {
  let scene: SubscriptionScene;
  let made: MadeSubscription;
  let browser: Browser;
  let phone: BrowserContext;

  beforeAll(async () => {
    scene = await openSubscriptionScene("sqlite");
    made = await scene.subscribe({ quotaBytes: 100n * 1024n ** 3n, name: "x" });
    const { db } = scene.core.database;
    const used = { name: evilTitle, period_bytes: 37n * 1024n ** 3n, expires_at: scene.clock.now + 14.5 * 86_400_000 };
    await db.updateTable("subscription").set(used).where("id", "=", Number(made.id)).execute();
    await db.updateTable("node_protocol").set({ remark: evilName }).where("protocol", "=", "vless").execute();
    browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--disable-gpu", "--no-first-run"] });
    phone = await browser.newContext({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 });
  });
  afterAll(async () => {
    await browser?.close();
    await scene?.close();
  });

  const open = async (colorScheme: "light" | "dark") => {
    const page = await phone.newPage();
    await page.emulateMedia({ colorScheme });
    const complaints: string[] = [];
    const asked: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => asked.push(request.url()));
    const response = await page.goto(scene.core.url + made.path);
    expect(response?.headers()["content-type"]).toBe("text/html; charset=utf-8");
    return { page, complaints, asked };
  };

  test("shows names as they are, and runs nothing that is in them", async () => {
    const { page, complaints, asked } = await open("light");
    const flat = (text: string) => text.replaceAll("\n", " ");
    expect(await page.title()).toBe(flat(evilTitle));
    expect(await page.locator("h1").textContent()).toBe(evilTitle);
    expect(await page.locator("summary bdi").first().textContent()).toBe(flat(evilName));
    expect(await page.locator("script, img, b, i, iframe, [onerror]").count()).toBe(0);
    expect(await page.locator("body > *, main > *").count()).toBe(5); // main, and in it the title and three parts
    expect(complaints).toEqual([]);
    expect(asked).toEqual([scene.core.url + made.path]);
    await page.close();
  });

  test("tells traffic and end, and fits a phone, light and dark", async () => {
    for (const scheme of ["light", "dark"] as const) {
      const { page } = await open(scheme);
      expect(await page.locator("dd").allInnerTexts()).toEqual([
        "37.0 GiB of 100 GiB",
        "63.0 GiB",
        "6 December 2026, in 14 days",
      ]);
      for (const summary of await page.locator("summary").all()) await summary.click();
      const [width, ground, ink] = await page.evaluate<[number, string, string]>(`(() => {
        const { backgroundColor, color } = getComputedStyle(document.body);
        return [document.documentElement.scrollWidth, backgroundColor, color];
      })()`);
      expect(width).toBe(360);
      const contrast = lightness(ground) - lightness(ink);
      expect(contrast * (scheme === "light" ? 1 : -1)).toBeGreaterThan(400);
      if (process.env.SCREENSHOTS)
        await page.screenshot({ path: `${process.env.SCREENSHOTS}/${scheme}.png`, fullPage: true });
      await page.close();
    }
  });

  test("has a QR code of each link that reads as the link does", async () => {
    const { page } = await open("dark");
    for (const summary of await page.locator("summary").all()) await summary.click();
    const codes = await page.locator(".qr").all();
    const links = await page.locator(".link").allInnerTexts();
    expect(links).toHaveLength(6);
    expect(links[0]).toBe(made.url);
    expect(links[4]).toMatch(/^tg:\/\/proxy\?server=/);
    expect(links[5]).toMatch(/^\[Interface\]\nPrivateKey = /);
    const texts = await decode(codes);
    expect(texts.map((text) => text?.trimEnd())).toEqual(links.map((link) => link.trimEnd()));
    await page.close();
  });

  test("gives the config of WireGuard as the file that its code is", async () => {
    const { page, complaints } = await open("light");
    const wireGuard = page.locator("details", { hasText: "wireguard" });
    await wireGuard.locator("summary").click();
    const started = page.waitForEvent("download");
    await wireGuard.getByRole("link", { name: /^Download/ }).click();
    const download = await started;
    expect(download.suggestedFilename()).toBe("fra-1-wg0.conf");
    const file = Buffer.concat(await Array.fromAsync(await download.createReadStream())).toString();
    expect(await decode([wireGuard.locator(".qr")])).toEqual([file]);
    expect(complaints).toEqual([]);
    await page.close();
  });

  test("selects a whole link by a click, and leads to apps", async () => {
    const { page } = await open("light");
    await page.locator(".link").first().click();
    expect(await page.evaluate("getSelection().toString()")).toBe(made.url);
    const hrefs = await page
      .locator(".apps a")
      .evaluateAll((apps) => apps.map((app) => app.getAttribute("href") ?? ""));
    expect(hrefs.map((href) => href.slice(0, href.indexOf(":")))).toEqual([
      ...["hiddify", "v2rayng", "happ", "streisand", "clash", "sing-box"],
    ]);
    const { searchParams: named, hash } = new URL(hrefs[1] ?? "");
    expect(named.get("url")).toBe(made.url);
    expect(named.get("name")).toBe(evilTitle);
    expect(decodeURIComponent(hash)).toBe(`#${evilTitle}`);
    await page.close();
  });
});

function lightness(color: string): number {
  return (color.match(/\d+/g) ?? []).reduce((sum, part) => sum + Number(part), 0);
}

/** Reads codes from what is seen of them. */
async function decode(codes: readonly Locator[]): Promise<(string | undefined)[]> {
  const texts: (string | undefined)[] = [];
  for (const code of codes) {
    const png = (await code.screenshot()).toString("base64");
    // In another page: the one with the codes loads no images.
    const other = await code.page().context().newPage();
    const { width, dark } = await other.evaluate<{ width: number; dark: string }>(`(async () => {
      const image = await createImageBitmap(await (await fetch("data:image/png;base64,${png}")).blob());
      const { width, height } = image;
      const context = new OffscreenCanvas(width, height).getContext("2d");
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, width, height);
      return { width, dark: Array.from({ length: width * height }, (_, at) => Number(data[4 * at] < 128)).join("") };
    })()`);
    await other.close();
    const pixels = Uint8ClampedArray.from([...dark].flatMap((is) => [...Array(3).fill(is === "1" ? 0 : 255), 255]));
    texts.push(jsqr.default(pixels, width, dark.length / width)?.data);
  }
  return texts;
}
