/**
 * The support desk's language model: rules instead of weights, so that the application
 * runs without a provider and without a network.
 *
 * An order number in the question makes it call the `orderStatus` tool and answer with what
 * the tool said; anything else gets a standard reply that names the question.
 */
import { ReadableStream } from 'node:stream/web';

import { nextRelease } from './hold';

type Part = { type: string; text?: string; output?: { value?: any } };
type Message = { role: string; content: string | Part[] };
type Reply = { say: string; held: boolean } | { lookUp: string };

const pauseMs = Number(process.env.DESK_WORD_MS ?? 15);

export const deskModel: any = {
  specificationVersion: 'v2',
  provider: 'desk',
  modelId: 'desk-rules',
  supportedUrls: {},

  async doGenerate({ prompt }: { prompt: Message[] }) {
    const reply = decide(prompt);
    if ('lookUp' in reply) {
      return { content: [toolCall(reply.lookUp)], finishReason: 'tool-calls', usage: usage(1), warnings: [] };
    }
    return {
      content: [{ type: 'text', text: reply.say }],
      finishReason: 'stop',
      usage: usage(reply.say.split(' ').length),
      warnings: [],
    };
  },

  async doStream({ prompt }: { prompt: Message[] }) {
    return { stream: ReadableStream.from(parts(decide(prompt))) };
  },
};

async function* parts(reply: Reply) {
  yield { type: 'stream-start', warnings: [] };
  if ('lookUp' in reply) {
    yield toolCall(reply.lookUp);
    yield { type: 'finish', finishReason: 'tool-calls', usage: usage(1) };
    return;
  }
  const words = reply.say.split(' ');
  yield { type: 'text-start', id: 'reply' };
  for (const word of words) {
    yield { type: 'text-delta', id: 'reply', delta: `${word} ` };
    await (reply.held ? nextRelease() : new Promise(resolve => setTimeout(resolve, pauseMs)));
  }
  yield { type: 'text-end', id: 'reply' };
  yield { type: 'finish', finishReason: 'stop', usage: usage(words.length) };
}

function decide(prompt: Message[]): Reply {
  const last = prompt.at(-1);
  if (last?.role === 'tool' && Array.isArray(last.content)) {
    const { order, status } = last.content[0]?.output?.value ?? {};
    return { say: `Order ${order} is ${status}.`, held: false };
  }
  const question = textOf(prompt.findLast(message => message.role === 'user'));
  const order = question.match(/\b[A-Z]-\d+\b/)?.[0];
  if (order) return { lookUp: order };
  return { say: `Thank you, we will look into "${question}" today.`, held: question.includes('(held)') };
}

function textOf(message: Message | undefined): string {
  if (!message) return '';
  if (typeof message.content === 'string') return message.content;
  return message.content.map(part => part.text ?? '').join('');
}

function toolCall(order: string) {
  return {
    type: 'tool-call',
    toolCallId: crypto.randomUUID(),
    toolName: 'orderStatus',
    input: JSON.stringify({ order }),
  };
}

function usage(outputTokens: number) {
  return { inputTokens: 1, outputTokens, totalTokens: outputTokens + 1 };
}
