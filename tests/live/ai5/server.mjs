// npm `ai` 5, as a `useChat` backend. See ../node/common.mjs.
import { convertToModelMessages, createIdGenerator, stepCountIs, streamText, tool } from 'ai';
import { MockLanguageModelV2 } from 'ai/test';
import { z } from 'zod';
import { keep, partsFor, readPrompt, serve, streamOf, toolsFor } from '../node/common.mjs';

const usage = { inputTokens: 3, outputTokens: 7, totalTokens: 10 };

const ofThisVersion = part =>
  part.type === 'finish' ? { type: 'finish', finishReason: part.reason, usage } : part;

const scriptedModel = log =>
  new MockLanguageModelV2({
    doStream: async ({ prompt, abortSignal }) => {
      const parts = partsFor(readPrompt(prompt), log).map(ofThisVersion);
      return { stream: streamOf(parts, log, abortSignal) };
    },
  });

const define = ({ description, parameters, execute }) =>
  tool({ description, inputSchema: parameters, execute });

serve(async ({ body, response, log, abortSignal }) => {
  const tools = toolsFor(log, define, z);
  const result = streamText({
    model: scriptedModel(log),
    messages: convertToModelMessages(body.messages, { tools }),
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
