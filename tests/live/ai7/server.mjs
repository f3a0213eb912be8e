// The AI SDK's own server half with a scripted model, for the live tests.
//
//   node server.mjs        prints {"port": N} once it listens on 127.0.0.1, ends with its stdin
//
//   POST   /api/chat       what a `useChat` backend does: streamText, UI message stream reply
//   GET    /log            {requests, modelCalls, toolRuns, finishes, aborts, errors} so far
//   DELETE /log            forgets all that; what is still running writes to the old log
//   GET    /wait-abort     answers when a reply has been aborted, with what is known of it
//
// The text of the last user message chooses what the model does (`scripts` below); any other
// text is echoed. After a tool result the model quotes it.
import { createServer } from 'node:http';
import {
  consumeStream,
  convertToModelMessages,
  createIdGenerator,
  isStepCount,
  pipeUIMessageStreamToResponse,
  streamText,
  tool,
  toUIMessageStream,
} from 'ai';
import { MockLanguageModelV4 } from 'ai/test';
import { z } from 'zod';

globalThis.AI_SDK_LOG_WARNINGS = false;

// ------------------------------------------------------------------ the log
// A request keeps the log it began with: one that ends late never writes in the next test's.
const newLog = () => ({
  seen: { requests: [], modelCalls: 0, toolRuns: [], finishes: [], aborts: [], errors: [] },
  waiting: [], // the responses of /wait-abort
});
let log = newLog();

function recordAbort(log, abort) {
  log.seen.aborts.push(abort);
  for (const response of log.waiting.splice(0)) sendJSON(response, 200, abort);
}

// ---------------------------------------------------------------- the model
// Characters that a line splitter, a UTF-8 decoder or a careless JSON reader breaks: line
// separators, a combining accent, CJK, a family of joined emoji, quotes, escapes, a BOM, a NUL.
const ODD =
  'a\u2028b\u2029c\u0085d\u000be\u000cf\u001cg\r\nh\ri\n\nj e\u0301 \u00e9 \u65e5\u672c\u8a9e ' +
  '\u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u{1f600} "double" \'single\' \\back\\ \ufeff\u0000\u007f ' +
  'data: [DONE]\n\ndata: {"type":"error"} \u202eend';

const usage = {
  inputTokens: { total: 3, noCache: 3, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 7, text: 7, reasoning: undefined },
};
const finish = unified => ({ type: 'finish', finishReason: { unified, raw: undefined }, usage });

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

const answer = (text, size) => [...block('text', 't1', text, size), finish('stop')];
const calls = (...parts) => [...parts.flat(), finish('tool-calls')];

// What the model streams, by the last user message's text. 'stall' as a part: nothing more.
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
};

const textOf = message =>
  message.content.filter(part => part.type === 'text').map(part => part.text).join('');

function partsFor(prompt, log) {
  const last = prompt.at(-1);
  if (last.role === 'tool') {
    const results = last.content.filter(part => part.type === 'tool-result');
    return answer(`The tool said ${JSON.stringify(results.map(part => part.output))}.`);
  }
  const text = textOf(prompt.findLast(message => message.role === 'user'));
  const script = Object.hasOwn(scripts, text) ? scripts[text] : undefined;
  return script?.(log) ?? answer(`Message ${prompt.length}: ${text}`);
}

// A provider's stream ends in an error when its request is aborted; so does this one.
function streamOf(parts, abortSignal) {
  let at = 0;
  return new ReadableStream({
    start(controller) {
      abortSignal?.addEventListener('abort', () => controller.error(abortSignal.reason));
    },
    pull(controller) {
      if (at === parts.length) controller.close();
      else if (parts[at] === 'stall') return new Promise(() => {});
      else controller.enqueue(parts[at++]);
    },
  });
}

const scriptedModel = log =>
  new MockLanguageModelV4({
    doStream: async ({ prompt, abortSignal }) => {
      log.seen.modelCalls += 1;
      return { stream: streamOf(partsFor(prompt, log), abortSignal) };
    },
  });

// ---------------------------------------------------------------- the tools
function toolsFor(log) {
  const run = (name, work) => input => {
    log.seen.toolRuns.push({ name, input });
    return work(input);
  };
  return {
    weather: tool({
      description: 'Runs on the server.',
      inputSchema: z.object({ city: z.string() }),
      execute: run('weather', ({ city }) => {
        if (city === 'Atlantis') throw new Error('no such city');
        return { city, degrees: -3.5 };
      }),
    }),
    location: tool({
      description: 'Runs in the client: no execute.',
      inputSchema: z.object({ precise: z.boolean() }),
    }),
    deleteFile: tool({
      description: 'Runs on the server once the user has said yes.',
      inputSchema: z.object({ path: z.string() }),
      execute: run('deleteFile', ({ path }) => ({ deleted: path })),
    }),
  };
}

// ----------------------------------------------------------------- the chat
async function chat(request, response, log) {
  const body = JSON.parse(await readText(request));
  log.seen.requests.push({ headers: request.headers, body });

  const aborting = new AbortController();
  response.on('close', () => {
    if (!response.writableFinished) aborting.abort(new DOMException('client left', 'AbortError'));
  });

  const tools = toolsFor(log);
  const result = streamText({
    model: scriptedModel(log),
    messages: await convertToModelMessages(body.messages, { tools }),
    tools,
    toolApproval: { deleteFile: 'user-approval' },
    stopWhen: isStepCount(5),
    abortSignal: aborting.signal,
    onError: ({ error }) => log.seen.errors.push(error.message),
    onAbort: ({ reason }) => recordAbort(log, { chatId: body.id, reason: reason?.message }),
  });

  await pipeUIMessageStreamToResponse({
    response,
    consumeSseStream: consumeStream, // so that the stream is read to its end after a disconnect
    stream: toUIMessageStream({
      stream: result.stream,
      tools,
      originalMessages: body.messages,
      generateMessageId: createIdGenerator({ prefix: 'msg', size: 16 }),
      messageMetadata: ({ part }) =>
        part.type === 'finish' ? { totalTokens: part.totalUsage.totalTokens } : undefined,
      onError: error => `The server says: ${error.message}`,
      onEnd: ({ finishReason, isAborted, isContinuation, responseMessage }) =>
        log.seen.finishes.push({ finishReason, isAborted, isContinuation, responseMessage }),
    }),
  });
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

function waitAbort(response, log) {
  if (log.seen.aborts.length > 0) sendJSON(response, 200, log.seen.aborts[0]);
  else log.waiting.push(response);
}

function resetLog(response) {
  log = newLog();
  response.writeHead(204).end();
}

const routes = {
  'POST /api/chat': (request, response) => chat(request, response, log),
  'GET /log': (_, response) => sendJSON(response, 200, log.seen),
  'DELETE /log': (_, response) => resetLog(response),
  'GET /wait-abort': (_, response) => waitAbort(response, log),
};

async function handle(request, response) {
  const route = routes[`${request.method} ${request.url}`];
  if (route === undefined) return sendJSON(response, 404, { error: 'no such route' });
  try {
    await route(request, response);
  } catch (error) {
    console.error(error); // a fault of this server: the fixture shows it
    if (response.headersSent) response.destroy();
    else sendJSON(response, 500, { error: String(error) });
  }
}

const server = createServer(handle);
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on('end', () => process.exit(0)); // whoever started it is gone
