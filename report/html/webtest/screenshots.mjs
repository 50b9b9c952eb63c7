// screenshots.mjs SITE OUT takes the pictures of docs/html.md, of a report of examples/filewatch:
//
//	WEBTEST_MODULES=build/webtest node report/html/webtest/screenshots.mjs bpfcov-out/html docs/img
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(path.resolve(process.env.WEBTEST_MODULES) + '/');
const { chromium } = require('playwright-core');
const [site, out] = process.argv.slice(2);
const shots = [
  { name: 'html-matrix', hash: '#/', width: 1280, height: 800 },
  { name: 'html-source', hash: '#/file/examples/filewatch/bpf/match.h?line=33', width: 1280, height: 760, dark: true },
  { name: 'html-programs', hash: '#/programs?open=open_fentry+Tracing', width: 1280, height: 560 },
  { name: 'html-phone', hash: '#/file/examples/filewatch/bpf/kernel.h?show=differs', width: 390, height: 760, phone: true },
];
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
for (const s of shots) {
  const page = await browser.newPage({ viewport: { width: s.width, height: s.height }, colorScheme: s.dark ? 'dark' : 'light', isMobile: Boolean(s.phone), hasTouch: Boolean(s.phone) });
  await page.goto(pathToFileURL(path.resolve(site, 'index.html')).href + s.hash);
  await page.waitForSelector('.strip, .spark');
  await page.waitForTimeout(300);
  // WebP is a fifth of PNG; the driver's own screenshots have no such format.
  const cdp = await page.context().newCDPSession(page);
  const { data } = await cdp.send('Page.captureScreenshot', { format: 'webp', quality: 74 });
  writeFileSync(path.join(out, s.name + '.webp'), Buffer.from(data, 'base64'));
  await page.close();
}
await browser.close();
