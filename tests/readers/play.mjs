// Opens a page that plays an avatar, as a file, in headless Chromium:
//   node play.mjs CHROMIUM PAGE.html FOLDER '{"size": [width, height], "times": [seconds, ...], "drag": [x, y]}'
// Writes FOLDER/0.png, 1.png, ... of the canvas at those times, FOLDER/dragged.png of it after a drag by so many pixels at
// the first time, and FOLDER/page.png of the whole page while it plays; prints what the browser said as JSON.
import path from "node:path";
import { pathToFileURL } from "node:url";
import { launch, watchedPage, writePicture } from "./browser.mjs";

const [browserPath, pagePath, folder, request] = process.argv.slice(2);
const { size, times, drag } = JSON.parse(request);
const browser = await launch(browserPath);
try {
  const viewport = { width: size[0] + 40, height: size[1] + 120 };
  const { page, complaints } = await watchedPage(browser, { viewport });
  const requests = [];
  page.on("request", (asked) => requests.push(asked.url().slice(0, 5)));
  await page.goto(pathToFileURL(pagePath).href);
  await page.waitForFunction(() => typeof avatar === "object");
  const shown = await page.locator("output").textContent();
  await page.waitForFunction((text) => document.querySelector("output").textContent !== text, shown);
  await page.screenshot({ path: path.join(folder, "page.png") });
  await page.click("button");
  async function draw(name, time) {
    const url = await page.evaluate(([[width, height], seconds]) => {
      Object.assign(canvas, { width, height });
      show(seconds);
      return canvas.toDataURL();
    }, [size, time]);
    await writePicture(path.join(folder, `${name}.png`), url);
  }
  for (const [index, time] of times.entries()) await draw(index, time);
  const { x, y } = await page.locator("canvas").boundingBox();
  await page.mouse.move(x + 100, y + 100);
  await page.mouse.down();
  await page.mouse.move(x + 100 + drag[0], y + 100 + drag[1]);
  await page.mouse.up();
  await draw("dragged", times[0]);
  console.log(JSON.stringify({ complaints, requests }));
} finally {
  await browser.close();
}
