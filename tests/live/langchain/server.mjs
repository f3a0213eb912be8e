// npm `@ai-sdk/langchain`: the stream of a LangGraph agent as a reply. See ../node/common.mjs.
import { toBaseMessages, toUIMessageStream } from '@ai-sdk/langchain';
import { BaseChatModel } from '@langchain/core/language_models/chat_models';
import { AIMessageChunk } from '@langchain/core/messages';
import { ChatGenerationChunk } from '@langchain/core/outputs';
import { tool } from '@langchain/core/tools';
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';
import { pipeUIMessageStreamToResponse } from 'ai';
import { z } from 'zod';
import { partsFor, serve, streamOf, toolsFor } from '../node/common.mjs';

const textOf = ({ content }) =>
  typeof content === 'string' ? content : content.map(part => part.text).join('');

const resultOf = message =>
  message.status === 'error'
    ? { type: 'error-text', value: textOf(message) }
    : { type: 'json', value: JSON.parse(textOf(message)) };

function readMessages(messages) {
  const asked = messages.findLastIndex(message => message.getType() === 'human');
  const results = messages
    .slice(asked)
    .filter(message => message.getType() === 'tool')
    .map(resultOf);
  return { length: messages.length, question: textOf(messages[asked]), results };
}

const chunkOfCall = call => new AIMessageChunk({ content: '', tool_call_chunks: [{ index: 0, ...call }] });

// A message's pieces have no begin and no end, and its calls are known by their index.
function ofThisPackage(part, log) {
  switch (part.type) {
    case 'error':
      log.seen.errors.push(part.error.message);
      throw new Error(`The server says: ${part.error.message}`);
    case 'text-delta':
      return new AIMessageChunk({ content: part.delta });
    case 'tool-input-start':
      return chunkOfCall({ id: part.id, name: part.toolName, args: '' });
    case 'tool-input-delta':
      return chunkOfCall({ args: part.delta });
  }
}

class ScriptedModel extends BaseChatModel {
  constructor(log, abortSignal) {
    super({ maxRetries: 0 });
    this.log = log;
    this.abortSignal = abortSignal;
  }

  _llmType() {
    return 'scripted';
  }

  async *_streamResponseChunks(messages, _, run) {
    const parts = partsFor(readMessages(messages), this.log);
    for await (const part of streamOf(parts, this.log, this.abortSignal)) {
      const message = ofThisPackage(part, this.log);
      if (message === undefined) continue;
      const chunk = new ChatGenerationChunk({ message, text: message.content });
      yield chunk;
      await run?.handleLLMNewToken(chunk.text, undefined, undefined, undefined, undefined, { chunk });
    }
  }
}

const define = ({ description, parameters, execute }) =>
  execute && (name => tool(execute, { name, description, schema: parameters }));

/// An agent: its model, and the tools that run here; a call of another one ends its turn.
function agent(log, abortSignal) {
  const made = Object.entries(toolsFor(log, define, z));
  const tools = made.flatMap(([name, make]) => (make ? [make(name)] : []));
  const model = new ScriptedModel(log, abortSignal);
  const next = ({ messages }) => {
    const calls = messages.at(-1).tool_calls ?? [];
    return calls.length > 0 && calls.every(({ name }) => tools.some(tool => tool.name === name))
      ? 'tools'
      : END;
  };
  return new StateGraph(MessagesAnnotation)
    .addNode('model', async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
    .addNode('tools', new ToolNode(tools))
    .addEdge(START, 'model')
    .addConditionalEdges('model', next, ['tools', END])
    .addEdge('tools', 'model')
    .compile();
}

serve(async ({ body, response, log, abortSignal }) => {
  abortSignal.addEventListener('abort', () => log.abort({ chatId: body.id }));
  const messages = await toBaseMessages(body.messages);
  const stream = await agent(log, abortSignal).stream(
    { messages },
    { streamMode: ['values', 'messages'], signal: abortSignal },
  );
  await pipeUIMessageStreamToResponse({ response, stream: toUIMessageStream(stream) });
});
