// Renders a GLB with three.js in headless Chromium:
//   node render.mjs CHROMIUM HEAD.glb FOLDER '{"centre": [x, y, z], "width": metres, "poses": {"name": {"jawOpen": 1}}}'
// Writes FOLDER/name.png for each pose and prints what three.js found in the file as JSON; with "times", seconds into
// the file's animation, also where its vertices are then.
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { launch, watchedPage, writePicture } from "../browser.mjs";

const [browserPath, headPath, folder, request] = process.argv.slice(2);
const { centre, width, poses, times = [] } = JSON.parse(request);
const here = fileURLToPath(new URL(".", import.meta.url));
const types = { ".html": "text/html", ".js": "text/javascript", ".glb": "model/gltf-binary" };

function serve(request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  const file =
    pathname === "/head.glb" ? headPath
    : pathname.startsWith("/three/") ? path.join(here, "../node_modules", pathname)
    : path.join(here, pathname);
  if (!existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": types[path.extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
}

const server = createServer(serve);
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const browser = await launch(browserPath);
try {
  const { page, complaints } = await watchedPage(browser);
  await page.goto(`http://127.0.0.1:${server.address().port}/viewer.html`);
  await page.waitForFunction(() => window.render);
  for (const [name, weights] of Object.entries(poses)) {
    const url = await page.evaluate(([w, c, s]) => window.render(w, c, s), [weights, centre, width]);
    await writePicture(path.join(folder, `${name}.png`), url);
  }
  const played = [];
  for (const time of times) played.push(await page.evaluate((t) => window.play(t), time));
  console.log(JSON.stringify({ ...(await page.evaluate(() => window.describe())), played, complaints }));
} finally {
  await browser.close();
  server.close();
}
