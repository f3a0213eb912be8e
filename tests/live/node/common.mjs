// What the Node servers of the live tests share: the scripted model, the log, the routes.
//
//   node server.mjs              prints {"port": N} once it listens on 127.0.0.1, ends with its stdin
//
//   POST   /api/chat             what a chat backend of that package does
//   GET    /api/chat/ID/stream   the running reply of a chat from its begin; 204 without one
//   GET    /log                  {requests, modelCalls, toolRuns, finishes, aborts, errors} so far
//   DELETE /log                  forgets all that; what is still running writes to the old log
//   GET    /wait-abort           answers when a reply has been aborted, with what is known of it
//   POST   /release              lets one word of a "slow" reply go, now or when it comes to it
//
// The text of the last user message chooses what the model does (`scripts` below); any other text
// is echoed. After a tool result the model quotes it. 'call NAME({...}) NAME()' calls those tools, and
// with "again and again" after each result too; "recall" quotes all results that there ever were. It imports no package: each server has its own.
import { createServer } from 'node:http';

globalThis.AI_SDK_LOG_WARNINGS = false;

// Characters that a line splitter, a UTF-8 decoder or a careless JSON reader breaks: line
// separators, a combining accent, CJK, a family of joined emoji, quotes, escapes, a BOM, a NUL.
export const ODD =
  'a\u2028b\u2029c\u0085d\u000be\u000cf\u001cg\r\nh\ri\n\nj e\u0301 \u00e9 \u65e5\u672c\u8a9e ' +
  '\u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u{1f600} "double" \'single\' \\back\\ \ufeff\u0000\u007f ' +
  'data: [DONE]\n\ndata: {"type":"error"} \u202eend';

// ------------------------------------------------------------------ the log
// A request keeps the log it began with: one that ends late never writes in the next test's.
class Log {
  seen = { requests: [], modelCalls: 0, toolRuns: [], finishes: [], aborts: [], errors: [] };
  #asking = []; // the responses of /wait-abort
  #released = 0; // words that may go
  #waiting = []; // words that wait

  abort(abort) {
    this.seen.aborts.push(abort);
    for (const response of this.#asking.splice(0)) sendJSON(response, 200, abort);
  }

  tellAbort(response) {
    if (this.seen.aborts.length > 0) sendJSON(response, 200, this.seen.aborts[0]);
    else this.#asking.push(response);
  }

  release() {
    const go = this.#waiting.shift();
    if (go === undefined) this.#released += 1;
    else go();
  }

  released() {
    if (this.#released === 0) return new Promise(go => this.#waiting.push(go));
    this.#released -= 1;
    return Promise.resolve();
  }
}
let log = new Log();

// ---------------------------------------------------------------- the model
// Cuts between UTF-16 units, as providers do: halves of surrogate pairs go over the wire.
function block(kind, id, text, size = 5) {
  const parts = [{ type: `${kind}-start`, id }];
  for (let at = 0; at < text.length; at += size) {
    parts.push({ type: `${kind}-delta`, id, delta: text.slice(at, at + size) });
  }
  return [...parts, { type: `${kind}-end`, id }];
}

function call(toolCallId, toolName, input) {
  const text = JSON.stringify(input);
  return [
    { type: 'tool-input-start', id: toolCallId, toolName },
    { type: 'tool-input-delta', id: toolCallId, delta: text.slice(0, 9) },
    { type: 'tool-input-delta', id: toolCallId, delta: text.slice(9) },
    { type: 'tool-input-end', id: toolCallId },
    { type: 'tool-call', toolCallId, toolName, input: text },
  ];
}

const finish = reason => ({ type: 'finish', reason });
const answer = (text, size) => [...block('text', 't1', text, size), finish('stop')];
const calls = (...parts) => [...parts.flat(), finish('tool-calls')];

// What the model streams, by the last user message's text. 'stall' as a part: nothing more;
// 'wait': until a word is released.
const scripts = {
  text: () => answer(ODD, 1),
  count: log => answer(`Answer ${log.seen.modelCalls}.`),
  reasoning: () => [...block('reasoning', 'r1', 'Let me think \u{1f914}.'), ...answer('Thought.')],
  'server tool': () =>
    calls(block('text', 't1', 'Looking it up.'), call('call-1', 'weather', { city: 'Osló' })),
  'failing tool': () => calls(call('call-1', 'weather', { city: 'Atlantis' })),
  'client tool': () => calls(call('call-1', 'location', { precise: true })),
  'two client tools': () =>
    calls(call('call-1', 'location', { precise: true }), call('call-2', 'location', { precise: false })),
  approval: () => calls(call('call-1', 'deleteFile', { path: 'a b.txt' })),
  error: () => [
    ...block('text', 't1', 'Half a sen', 10).slice(0, 2),
    { type: 'error', error: new Error('provider exploded') },
    finish('error'),
  ],
  stall: () => [...block('text', 't1', 'Once upon a time', 16).slice(0, 2), 'stall'],
  slow: () => {
    const words = 'One |two |three |four |five'.split('|');
    const deltas = words.map(delta => ({ type: 'text-delta', id: 't1', delta }));
    const text = deltas.flatMap(delta => ['wait', delta]);
    return [{ type: 'text-start', id: 't1' }, ...text, { type: 'text-end', id: 't1' }, finish('stop')];
  },
};

// The calls that a text names; their ids differ from those of the other answers.
function named(question, { seen }) {
  const found = [...question.matchAll(/([\w-]+)\((\{.*?\})?\)/g)];
  return found.map(([, name, input], at) =>
    call(`call-${seen.modelCalls}-${at}`, name, JSON.parse(input ?? '{}')),
  );
}

const quote = results => `The tool said ${JSON.stringify(results)}.`;

/// The parts of the model's answer: those of the packages' version 2 and later, but for `finish`.
/// question: the last user message's text; results: what tools gave, as {type: 'json', value}.
/// allResults: those of all the conversation.
export function partsFor({ length, question, results, allResults }, log) {
  log.seen.modelCalls += 1;
  const asksFor = question.startsWith('call ') ? named(question, log) : [];
  if (results.length > 0 && question.endsWith('again and again')) {
    return [...block('text', 't1', quote(results)), ...calls(...asksFor)];
  }
  if (results.length > 0) return answer(quote(results));
  if (asksFor.length > 0) return calls(...asksFor);
  if (question === 'recall') return answer(quote(allResults));
  const script = Object.hasOwn(scripts, question) ? scripts[question] : undefined;
  return script?.(log) ?? answer(`Message ${length}: ${question}`);
}

/// What `partsFor` needs of a prompt; outputOf: what a result part says.
export function readPrompt(prompt, outputOf = part => part.output) {
  const last = prompt.at(-1);
  const of = (message, type) => message.content.filter(part => part.type === type);
  const resultsOf = message => (message.role === 'tool' ? of(message, 'tool-result').map(outputOf) : []);
  const results = resultsOf(last);
  const allResults = prompt.flatMap(resultsOf);
  const asked = prompt.findLast(message => message.role === 'user');
  return { length: prompt.length, question: of(asked, 'text').map(part => part.text).join(''), results, allResults };
}

/// A provider's stream ends in an error when its request is aborted; so does this one.
export function streamOf(parts, log, abortSignal) {
  let at = 0;
  return new ReadableStream({
    start(controller) {
      abortSignal?.addEventListener('abort', () => controller.error(abortSignal.reason));
    },
    async pull(controller) {
      if (parts[at] === 'wait') {
        await log.released();
        at += 1;
      }
      if (at === parts.length) controller.close();
      else if (parts[at] === 'stall') await new Promise(() => {});
      else controller.enqueue(parts[at++]);
    },
  });
}

/// The tools: `define` makes one of {description, parameters, execute?, approval?}.
export function toolsFor(log, define, z) {
  const run = (name, work) => async input => {
    log.seen.toolRuns.push({ name, input });
    return work(input);
  };
  return {
    weather: define({
      description: 'Runs on the server.',
      parameters: z.object({ city: z.string() }),
      execute: run('weather', ({ city }) => {
        if (city === 'Atlantis') throw new Error('no such city');
        return { city, degrees: -3.5 };
      }),
    }),
    location: define({
      description: 'Runs in the client: no execute.',
      parameters: z.object({ precise: z.boolean() }),
    }),
    deleteFile: define({
      description: 'Runs on the server once the user has said yes.',
      parameters: z.object({ path: z.string() }),
      execute: run('deleteFile', ({ path }) => ({ deleted: path })),
      approval: true,
    }),
  };
}

// --------------------------------------------------------- replies that run
class Running {
  pieces = [];
  over = false;
  #waiting = [];

  async follow(stream) {
    try {
      for await (const piece of stream) this.#add(piece);
    } finally {
      this.over = true;
      this.#wake();
    }
  }

  #add(piece) {
    this.pieces.push(piece);
    this.#wake();
  }

  #wake() {
    for (const go of this.#waiting.splice(0)) go();
  }

  changed() {
    return new Promise(go => this.#waiting.push(go));
  }
}
const running = new Map();

/// Keeps a reply while it runs, so that it can be resumed; for `consumeSseStream`.
export async function keep(chatId, stream) {
  const reply = new Running();
  running.set(chatId, reply);
  try {
    await reply.follow(stream);
  } catch {
    // it was aborted: there is no more of it
  } finally {
    if (running.get(chatId) === reply) running.delete(chatId);
  }
}

async function resume(response, chatId) {
  const reply = running.get(chatId);
  if (reply === undefined) return response.writeHead(204).end();
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'x-vercel-ai-ui-message-stream': 'v1',
  });
  for (let at = 0; ; ) {
    while (at < reply.pieces.length) response.write(reply.pieces[at++]);
    if (reply.over) return response.end();
    await reply.changed();
  }
}

// --------------------------------------------------------------------- HTTP
async function readText(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function sendJSON(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

/// A signal for the model that its client has left; a slow reply goes on without one.
function leaving(response, body) {
  const aborting = new AbortController();
  const isSlow = JSON.stringify(body.messages.at(-1)).includes('"slow"');
  response.on('close', () => {
    if (response.writableFinished || isSlow) return;
    aborting.abort(new DOMException('client left', 'AbortError'));
  });
  return aborting.signal;
}

function resetLog(response) {
  log = new Log();
  response.writeHead(204).end();
}

function release(response) {
  log.release();
  response.writeHead(204).end();
}

const STREAM = /^GET \/api\/chat\/([^/?]+)\/stream$/;

/// Serves a chat: `chat({body, response, log, abortSignal})` answers a request.
export function serve(chat) {
  async function answerChat(request, response, log) {
    const body = JSON.parse(await readText(request));
    log.seen.requests.push({ headers: request.headers, body });
    await chat({ body, response, log, abortSignal: leaving(response, body) });
  }

  const routes = {
    'POST /api/chat': (request, response) => answerChat(request, response, log),
    'GET /log': (_, response) => sendJSON(response, 200, log.seen),
    'DELETE /log': (_, response) => resetLog(response),
    'GET /wait-abort': (_, response) => log.tellAbort(response),
    'POST /release': (_, response) => release(response),
  };

  async function handle(request, response) {
    const asked = `${request.method} ${request.url}`;
    const stream = STREAM.exec(asked);
    if (stream !== null) return resume(response, decodeURIComponent(stream[1]));
    if (routes[asked] === undefined) return sendJSON(response, 404, { error: 'no such route' });
    try {
      await routes[asked](request, response);
    } catch (error) {
      console.error(error); // a fault of this server: the fixture shows it
      if (response.headersSent) response.destroy();
      else sendJSON(response, 500, { error: String(error) });
    }
  }

  const server = createServer(handle);
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
  process.stdin.resume().on('end', () => process.exit(0)); // whoever started it is gone
}
