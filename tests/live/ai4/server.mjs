// npm `ai` 4, as a backend of that version's `useChat`: the data stream. See ../node/common.mjs.
import { convertToCoreMessages, streamText, tool } from 'ai';
import { MockLanguageModelV1 } from 'ai/test';
import { z } from 'zod';
import { partsFor, readPrompt, serve, streamOf, toolsFor } from '../node/common.mjs';

const usage = { promptTokens: 3, completionTokens: 7 };
const toolCallType = 'function';

// Version 1 of a model has no parts that begin and end.
function ofThisVersion(names) {
  return part => {
    switch (part.type) {
      case 'text-delta':
        return [{ type: 'text-delta', textDelta: part.delta }];
      case 'reasoning-delta':
        return [{ type: 'reasoning', textDelta: part.delta }];
      case 'tool-input-start':
        names.set(part.id, part.toolName);
        return [];
      case 'tool-input-delta':
        return [
          {
            type: 'tool-call-delta',
            toolCallType,
            toolCallId: part.id,
            toolName: names.get(part.id),
            argsTextDelta: part.delta,
          },
        ];
      case 'tool-call':
        return [{ type: 'tool-call', toolCallType, args: part.input, ...called(part) }];
      case 'finish':
        return [{ type: 'finish', finishReason: part.reason, usage }];
      case 'text-start':
      case 'text-end':
      case 'reasoning-start':
      case 'reasoning-end':
      case 'tool-input-end':
        return [];
      default:
        return [part];
    }
  };
}

const called = ({ toolCallId, toolName }) => ({ toolCallId, toolName });

const scriptedModel = log =>
  new MockLanguageModelV1({
    doStream: async ({ prompt, abortSignal }) => {
      const asked = readPrompt(prompt, part => ({ type: 'json', value: part.result }));
      const parts = partsFor(asked, log).flatMap(ofThisVersion(new Map()));
      return {
        stream: streamOf(parts, log, abortSignal),
        rawCall: { rawPrompt: null, rawSettings: {} },
      };
    },
  });

const define = ({ description, parameters, execute }) => tool({ description, parameters, execute });

// Its own promises reject unheard where a client leaves; Next.js lets that pass too.
process.on('unhandledRejection', error => {
  if (error?.name !== 'AbortError') throw error;
});

serve(async ({ body, response, log, abortSignal }) => {
  const tools = toolsFor(log, define, z);
  abortSignal.addEventListener('abort', () => log.abort({ chatId: body.id }));
  const result = streamText({
    model: scriptedModel(log),
    messages: convertToCoreMessages(body.messages, { tools }),
    tools,
    toolCallStreaming: true,
    maxSteps: 5,
    abortSignal,
    onError: ({ error }) => log.seen.errors.push(error.message),
  });
  result.pipeDataStreamToResponse(response, {
    sendReasoning: true,
    getErrorMessage: error => `The server says: ${error.message}`,
  });
});
