// What the readers that run in headless Chromium share.
import { writeFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const SWITCHES = [
  "--no-sandbox",
  "--use-gl=angle",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

export function launch(executablePath) {
  return chromium.launch({ executablePath, args: SWITCHES });
}

// A page, and a list that grows with each warning and error in it.
export async function watchedPage(browser, options = {}) {
  const page = await browser.newPage(options);
  const complaints = [];
  page.on("console", (message) => {
    if (["warning", "error"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return { page, complaints };
}

// Writes the picture of a data: address.
export async function writePicture(file, address) {
  await writeFile(file, Buffer.from(address.split(",")[1], "base64"));
}
