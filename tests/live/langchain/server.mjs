// npm `@ai-sdk/langchain`: the stream of a LangChain model as a reply. See ../node/common.mjs.
import { toBaseMessages, toUIMessageStream } from '@ai-sdk/langchain';
import { AIMessageChunk } from '@langchain/core/messages';
import { pipeUIMessageStreamToResponse } from 'ai';
import { partsFor, serve, streamOf } from '../node/common.mjs';

// What the scripted model says, as a LangChain model streams it.
async function* stream(messages, log, abortSignal) {
  const asked = messages.findLast(message => message.getType() === 'human');
  const { content } = asked;
  const question = typeof content === 'string' ? content : content.map(part => part.text).join('');
  const parts = partsFor({ length: messages.length, question, results: [] }, log);
  for await (const part of streamOf(parts, log, abortSignal)) {
    if (part.type === 'error') throw new Error(`The server says: ${part.error.message}`);
    if (part.type === 'text-delta') yield new AIMessageChunk({ id: 'run-1', content: part.delta });
  }
}

serve(async ({ body, response, log, abortSignal }) => {
  abortSignal.addEventListener('abort', () => log.abort({ chatId: body.id }));
  const messages = await toBaseMessages(body.messages);
  const model = ReadableStream.from(stream(messages, log, abortSignal));
  await pipeUIMessageStreamToResponse({ response, stream: toUIMessageStream(model) });
});
