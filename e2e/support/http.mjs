// HTTP and WebSocket clients that find *.localhost on this machine, as browsers and curl do;
// not every system's resolver does.
import { Agent, fetch as undiciFetch } from 'undici';
import { WebSocket } from 'ws';

const loopback = (_hostname, options, found) =>
  options.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4);

const dispatcher = new Agent({ connect: { lookup: loopback }, headersTimeout: 0, bodyTimeout: 0 });

export function fetch(url, options) {
  return undiciFetch(url, { dispatcher, ...options });
}

export async function getJson(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response.json();
}

export function postJson(url, body, options) {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...options,
  });
}

export function socket(url, protocols, options) {
  return new WebSocket(url.replace(/^http/, 'ws'), protocols, { lookup: loopback, ...options });
}

/** The JSON events of an event stream, as they come. */
export async function* events(response) {
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    let end;
    while ((end = text.indexOf('\n\n')) >= 0) {
      const data = text.slice(0, end).replace(/^data: ?/, '');
      text = text.slice(end + 2);
      yield data === '[DONE]' ? { type: 'done' } : JSON.parse(data);
    }
  }
}
