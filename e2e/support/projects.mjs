// Projects as people have them, to be started by the command: files, the command of a person, and what has to be seen.
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { buildDesk, copyDesk } from './desk.mjs';
import { events, fetch, postJson, socket } from './http.mjs';
import { waitFor } from './process.mjs';

/**
 * The table. Each project has
 * - `files`, by path, or `prepare`, which makes it in a directory and gives `{ directory }`,
 * - `command`, the words that a person types,
 * - `page` and `shows`: where it is asked through the router, and what it answers,
 * - `live`: opens what stays open (a stream, the socket of hot reloading), sees it work, and gives `{ ended }`, a promise,
 * - `codes`: how it may end when it is interrupted,
 * - `skip`: why it cannot be tried on this machine.
 */
export const projects = [
  {
    name: 'mastra-built',
    prepare: async parent => {
      const desk = await copyDesk(parent);
      await buildDesk(desk.directory);
      return desk;
    },
    command: ['npm', 'start'],
    page: '/api/agents',
    shows: /Support desk/,
    live: mastraStream,
    codes: [0, 130],
  },
  {
    name: 'next',
    files: {
      'package.json': json({ private: true, scripts: { dev: 'next dev' } }),
      'app/layout.js':
        'export default function Layout({ children }) {\n  return <html lang="en"><body>{children}</body></html>;\n}\n',
      'app/page.js': nextPage('First words'),
    },
    command: ['npm', 'run', 'dev'],
    page: '/',
    shows: /First words/,
    live: nextUpdates,
    codes: [0, 130],
  },
  {
    name: 'vite',
    files: {
      'package.json': json({ private: true, type: 'module', scripts: { dev: 'vite' } }),
      'index.html': '<!doctype html><title>Shop</title><script type="module" src="/main.js"></script>\n',
      'main.js': "import { text } from './words.js';\ndocument.title = text;\nimport.meta.hot.accept('./words.js', () => {});\n",
      'words.js': "export const text = 'First words';\n",
    },
    command: ['npm', 'run', 'dev'],
    page: '/words.js',
    shows: /First words/,
    live: viteUpdates,
    codes: [130],
  },
  {
    name: 'mastra-dev',
    prepare: copyDesk,
    command: ['npm', 'run', 'dev'],
    page: '/api/agents',
    shows: /Support desk/,
    live: mastraStream,
    codes: [0, 130],
  },
  {
    name: 'fastapi',
    skip: process.env.E2E_PYTHON ? false : 'there is no E2E_PYTHON, with FastAPI and uvicorn',
    files: { 'main.py': fastapi() },
    command: [process.env.E2E_PYTHON || 'python3', '-m', 'uvicorn', 'main:app', '--reload'],
    page: '/orders/7',
    shows: /"order":7/,
    live: site => openStream(fetch(site.at('/events'))),
    codes: [0, 130],
  },
  {
    name: 'hono',
    files: { 'package.json': json({ private: true, type: 'module' }), 'server.js': hono() },
    command: ['node', 'server.js'],
    page: '/orders/7',
    shows: /"order":"7"/,
    live: site => openStream(fetch(site.at('/events'))),
    codes: [130],
  },
  {
    name: 'files',
    files: { 'hello.txt': 'hello\n' },
    command: ['python3', '-m', 'http.server'],
    page: '/hello.txt',
    shows: /^hello\n$/,
    codes: [0, 130],
  },
  {
    name: 'script-that-goes-on',
    files: {
      'package.json': json({ private: true, type: 'module' }),
      'server.js': hono(),
      'dev.sh': '#!/bin/sh\nnode server.js &\necho "it is started"\nwhile :; do sleep 0.1; done\n',
    },
    command: ['./dev.sh'],
    page: '/orders/7',
    shows: /"order":"7"/,
    live: site => openStream(fetch(site.at('/events'))),
    codes: [130],
  },
  {
    name: 'script-that-leaves',
    files: {
      'package.json': json({ private: true, type: 'module' }),
      'server.js': hono(),
      'dev.sh': '#!/bin/sh\nnode server.js &\necho "it is started"\n',
    },
    command: ['./dev.sh'],
    page: '/orders/7',
    shows: /"order":"7"/,
    live: site => openStream(fetch(site.at('/events'))),
    // That of the script, which has ended well.
    codes: [0],
  },
];

/** Variables for programs that would ask the internet for news, or colour what is read here. */
export const quiet = { MASTRA_TELEMETRY_DISABLED: '1', NEXT_TELEMETRY_DISABLED: '1', NO_COLOR: '1' };

/** A new directory below the tests' packages, as those of a person lie below theirs. */
export async function scratch(name) {
  const parent = new URL('../scratch/', import.meta.url).pathname;
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(path.join(parent, `${name}-`));
  return { directory, remove: () => rm(directory, { recursive: true, force: true }) };
}

/** Writes a project into a directory of its own in `parent`, and gives that. */
export async function write(project, parent) {
  if (project.prepare) return (await project.prepare(parent)).directory;
  const directory = path.join(parent, project.name);
  for (const [name, text] of Object.entries(project.files)) {
    const file = path.join(directory, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
    if (name.endsWith('.sh')) await chmod(file, 0o755);
  }
  return directory;
}

/** Asks the page of a project until it is its own. */
export async function answer(project, site) {
  await waitFor(`${project.name} at ${site.at(project.page)}`, async () => {
    // What has ended does not answer any more.
    if (site.hasEnded()) return true;
    const response = await fetch(site.at(project.page));
    const text = await response.text();
    if (!response.ok || !project.shows.test(text)) throw new Error(`${response.status}: ${text.slice(0, 500)}`);
    return true;
  });
  if (site.hasEnded()) throw new Error(`${project.name} ended: ${site.shown()}`);
}

/** A stream of which the first event has come. */
async function openStream(answer) {
  const response = await answer;
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  const stream = events(response);
  const { done } = await stream.next();
  if (done) throw new Error('the stream ended before its first event');
  const ended = (async () => {
    try {
      for await (const _ of stream);
    } catch {
      // It was cut off, which is an end as well.
    }
  })();
  return { ended };
}

/** An answer of the agent, whose next word waits for a request that does not come. */
function mastraStream(site) {
  return openStream(postJson(site.at('/api/agents/support/stream'), { messages: 'a (held) reply' }));
}

async function viteUpdates(site) {
  const client = await (await fetch(site.at('/@vite/client'))).text();
  const token = client.match(/wsToken = "([^"]+)"/)[1];
  await (await fetch(site.at('/main.js'))).text();
  const open = openSocket(site, `/?token=${token}`, 'vite-hmr');
  await open.message(/"connected"/);
  await edited(open, path.join(site.directory, 'words.js'), n => `export const text = 'First words, ${n}';\n`, /"(update|full-reload)"/);
  return open;
}

async function nextUpdates(site) {
  const open = openSocket(site, '/_next/hmr');
  await open.message(/"turbopack-connected"/);
  await edited(open, path.join(site.directory, 'app/page.js'), n => nextPage(`First words, ${n}`), /"serverComponentChanges"/);
  return open;
}

/** Saves a file until a message says that it was seen: watchers let changes pass that come soon after another. */
async function edited(open, file, text, message) {
  const seen = open.message(message);
  let arrived = false;
  seen.then(
    () => (arrived = true),
    () => {},
  );
  let n = 0;
  await waitFor(`a message after ${file} was saved`, async () => {
    if (arrived) return true;
    await writeFile(file, text((n += 1)));
    await Promise.race([seen, new Promise(resolve => setTimeout(resolve, 500))]);
    return arrived;
  });
}

/** A socket as a page of the site opens it. */
function openSocket(site, where, protocol) {
  const opened = socket(site.at(where), protocol, { origin: new URL(site.at('/')).origin });
  const messages = [];
  opened.on('message', data => {
    messages.push(data.toString());
    opened.emit('heard');
  });
  let failed;
  const fail = error => {
    failed = error;
    opened.emit('heard');
  };
  opened.on('error', fail);
  opened.on('close', () => fail(new Error(`the socket at ${site.at(where)} was closed`)));
  return {
    ended: new Promise(resolve => opened.once('close', resolve)),
    /** The next message that matches, of those that no one asked for yet. */
    async message(wanted) {
      const late = setTimeout(() => fail(new Error(`no message ${wanted} came at ${site.at(where)}`)), 60_000);
      try {
        for (;;) {
          const found = messages.splice(0).find(text => wanted.test(text));
          if (found) return found;
          if (failed) throw failed;
          await once(opened, 'heard');
        }
      } finally {
        clearTimeout(late);
      }
    },
  };
}

function json(value) {
  return `${JSON.stringify(value)}\n`;
}

function nextPage(text) {
  return `export default function Page() {\n  return <p>${text}</p>;\n}\n`;
}

function hono() {
  return `import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';

const app = new Hono();
app.get('/orders/:order', c => c.json({ order: c.req.param('order') }));
app.get('/events', c =>
  streamSSE(c, async stream => {
    for (;;) {
      await stream.writeSSE({ data: '{}' });
      await stream.sleep(50);
    }
  }),
);
serve({ fetch: app.fetch, port: Number(process.env.PORT), hostname: process.env.HOST });
`;
}

function fastapi() {
  return `import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/orders/{order}")
def order(order: int):
    return {"order": order}


@app.get("/events")
def events():
    async def forever():
        while True:
            yield "data: {}\\n\\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(forever(), media_type="text/event-stream")
`;
}
