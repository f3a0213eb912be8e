// npm `ai` 6, as a `useChat` backend. See ../node/common.mjs.
import { convertToModelMessages, createIdGenerator, stepCountIs, streamText, tool } from 'ai';
import { MockLanguageModelV3 } from 'ai/test';
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
  new MockLanguageModelV3({
    doStream: async ({ prompt, abortSignal }) => {
      const parts = partsFor(readPrompt(prompt), log).map(ofThisVersion);
      return { stream: streamOf(parts, log, abortSignal) };
    },
  });

const define = ({ description, parameters, execute, approval }) =>
  tool({ description, inputSchema: parameters, execute, needsApproval: approval });

serve(async ({ body, response, log, abortSignal }) => {
  const tools = toolsFor(log, define, z);
  const result = streamText({
    model: scriptedModel(log),
    messages: await convertToModelMessages(body.messages, { tools }),
    tools,
    stopWhen: stepCountIs(5),
    abortSignal,
    onError: ({ error }) => log.seen.errors.push(error.message),
    onAbort: () => log.abort({ chatId: body.id }),
  });

  result.pipeUIMessageStreamToResponse(response, {
    consumeSseStream: ({ stream }) => keep(body.id, stream),
    originalMessages: body.messages,
    generateMessageId: createIdGenerator({ prefix: 'msg', size: 16 }),
    messageMetadata: ({ part }) => (part.type === 'finish' ? { usage: part.totalUsage } : undefined),
    onError: error => `The server says: ${error.message}`,
  });
});
