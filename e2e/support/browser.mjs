// Headless Chromium, and screenshots in e2e/shots.
import { mkdir } from 'node:fs/promises';

import { chromium } from 'playwright-core';

const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser; with `home` that of the user who has it, and so with what that user trusts. */
export function launchBrowser({ home } = {}) {
  const env = home ? { ...process.env, HOME: home } : process.env;
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags, env });
}

/** A page that ends with the test and complains in the test's output. */
export async function openPage(t, browser) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on('pageerror', error => t.diagnostic(`page error: ${error.message}`));
  return page;
}

export async function shot(page, name) {
  const directory = new URL('../shots/', import.meta.url);
  await mkdir(directory, { recursive: true });
  await page.screenshot({ path: new URL(`${name}.png`, directory).pathname });
}
