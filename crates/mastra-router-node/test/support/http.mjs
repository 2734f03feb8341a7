// An HTTP client that finds *.localhost on this machine, as browsers and curl do; not every system's resolver does.
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

import { within } from './waiting.mjs';

export const loopback = (_hostname, options, found) =>
  options.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4);

/** Sends a request, and gives the answer once its head is there. Each request has a connection of its own. */
export async function open(url, { body, ...options } = {}) {
  const client = url.startsWith('https:') ? https : http;
  const request = client.request(url, { agent: false, lookup: loopback, ...options });
  request.end(body);
  const [answer] = await within(`an answer from ${url}`, once(request, 'response'));
  answer.setEncoding('utf8');
  // Who ends an answer half-way finds out by reading it.
  request.on('error', () => {});
  return answer;
}

/** Sends a request, and reads all of the answer. */
export async function ask(url, options) {
  const answer = await open(url, options);
  return { status: answer.statusCode, headers: answer.headers, body: await within(`the end of ${url}`, text(answer)) };
}

async function text(answer) {
  let all = '';
  for await (const chunk of answer) all += chunk;
  return all;
}

/** Reads from an answer until it has sent `wanted`. */
export async function readUntil(answer, wanted) {
  let all = '';
  await within(`"${wanted}"`, (async () => {
    while (!all.includes(wanted)) {
      const chunk = answer.read();
      if (chunk !== null) all += chunk;
      else if (answer.readableEnded || answer.destroyed) throw new Error(`the answer ended after ${JSON.stringify(all)}`);
      else await Promise.race([once(answer, 'readable'), once(answer, 'end'), once(answer, 'close')]);
    }
  })());
  return all;
}
