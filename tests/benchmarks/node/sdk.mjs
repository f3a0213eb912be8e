// The SDK's chat as a contender: a job a line on stdin, its marks a line on stdout.
//
//   node sdk.mjs FOLDER    (whose node_modules has `ai`)
//
// A job is {"url", "messages"?, "only"?: "request"}; a mark is [wall, cpu] in seconds.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const folder = join(process.argv[2], 'node_modules', 'ai');
const { exports, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
const entry = exports['.'].import ?? exports['.'].default;
const file = typeof entry === 'string' ? entry : entry.default;
globalThis.AI_SDK_LOG_WARNINGS = false;
const { AbstractChat, DefaultChatTransport } = await import(pathToFileURL(join(folder, file)).href);

const now = () => {
  const { user, system } = process.cpuUsage();
  return [performance.now() / 1000, (user + system) / 1e6];
};

// What the SDK asks of its host: a list that is replaced, and a listener, which counts. The copies
// are those of its React binding (@ai-sdk/react 4.0.177): the list, the message and its parts.
class State {
  status = 'ready';
  error = undefined;
  experimental_queuedMessages = [];
  changes = 0;
  first = undefined;

  constructor(messages) {
    this.messages = messages;
  }

  snapshot = message =>
    Array.isArray(message?.parts)
      ? { ...message, parts: message.parts.map(part => ({ ...part })) }
      : message;

  #changed(messages) {
    this.messages = messages;
    this.changes++;
    if (messages.at(-1)?.role === 'assistant') this.first ??= now();
  }

  pushMessage = message => this.#changed(this.messages.concat(message));
  popMessage = () => this.#changed(this.messages.slice(0, -1));
  replaceMessage = (index, message) =>
    this.#changed([
      ...this.messages.slice(0, index),
      this.snapshot(message),
      ...this.messages.slice(index + 1),
    ]);
}

class Chat extends AbstractChat {
  constructor(init) {
    super(init);
    this.kept = init.state;
  }
}

async function run({ url, messages = [], only }) {
  const marks = {};
  const init = { api: url };
  if (only === 'request') {
    init.fetch = async () => {
      marks.end = now();
      return new Response('data: {"type":"start"}\n\ndata: {"type":"finish"}\n\n');
    };
  }
  const state = new State(messages);
  const chat = new Chat({
    state,
    transport: new DefaultChatTransport(init),
    onError: error => {
      throw error;
    },
  });
  // No collection is forced here: V8 then forgets what it has compiled, and runs at half the speed.
  marks.send = now();
  await chat.sendMessage({ text: 'Hi' });
  marks.end ??= now();
  marks.first = state.first;
  const parts = chat.messages.at(-1).parts ?? [];
  const text = parts.filter(part => part.type === 'text').map(part => part.text).join('');
  const input = parts.find(part => part.type.startsWith('tool-'))?.input;
  return { marks, status: chat.status, length: text.length, input };
}

console.log(JSON.stringify({ version, node: process.version }));
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  console.log(JSON.stringify(await run(JSON.parse(line))));
}
