// npm `ai` 7, as a `useChat` backend: streamText, UI message stream reply. See ../node/common.mjs.
import {
  convertToModelMessages,
  createIdGenerator,
  isStepCount,
  jsonSchema,
  pipeUIMessageStreamToResponse,
  streamText,
  tool,
  toUIMessageStream,
} from 'ai';
import { MockLanguageModelV4 } from 'ai/test';
import { z } from 'zod';
import { keep, partsFor, readPrompt, serve, streamOf, toolsFor } from '../node/common.mjs';

const usage = {
  inputTokens: { total: 3, noCache: 3, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 7, text: 7, reasoning: undefined },
};

const ofThisVersion = part =>
  part.type === 'finish'
    ? { type: 'finish', finishReason: { unified: part.reason, raw: undefined }, usage }
    : part;

const scriptedModel = log =>
  new MockLanguageModelV4({
    doStream: async ({ prompt, abortSignal }) => {
      const parts = partsFor(readPrompt(prompt), log).map(ofThisVersion);
      return { stream: streamOf(parts, log, abortSignal) };
    },
  });

const define = ({ description, parameters, execute }) =>
  tool({ description, inputSchema: parameters, execute });

// The tools that the client says it has: without execute, so that it answers their calls.
const toolsOf = body =>
  (body.tools ?? []).map(({ name, description, inputSchema }) => [
    name,
    tool({ description, inputSchema: jsonSchema(inputSchema) }),
  ]);

serve(async ({ body, response, log, abortSignal }) => {
  const tools = { ...toolsFor(log, define, z), ...Object.fromEntries(toolsOf(body)) };
  const result = streamText({
    model: scriptedModel(log),
    messages: await convertToModelMessages(body.messages, { tools }),
    tools,
    toolApproval: { deleteFile: 'user-approval' },
    stopWhen: isStepCount(5),
    abortSignal,
    onError: ({ error }) => log.seen.errors.push(error.message),
    onAbort: ({ reason }) => log.abort({ chatId: body.id, reason: reason?.message }),
  });

  await pipeUIMessageStreamToResponse({
    response,
    // Also so that the stream is read to its end after a disconnect.
    consumeSseStream: ({ stream }) => keep(body.id, stream),
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
});
