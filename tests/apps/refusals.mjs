// What the gate refuses, as each SDK's error says it, plain and streamed: one JSON line for each.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { ChatAnthropic } from "@langchain/anthropic";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, streamText } from "ai";
import OpenAI from "openai";

const gate = `http://${process.env.GATE}`;
const apiKey = "unused";
const asked = "What may I ask?";
const messages = [{ role: "user", content: asked }];
const claude = { model: "claude-sonnet-4-5", max_tokens: 9, messages };

async function drain(stream) {
  for await (const _ of stream);
}

async function vercel(model, stream) {
  if (!stream) return generateText({ model, prompt: asked });
  // The stream itself ends well; what went wrong is told beside it.
  let wrong;
  const { textStream } = streamText({ model, prompt: asked, onError: ({ error }) => (wrong = error) });
  await drain(textStream);
  if (wrong) throw wrong;
}

const langchain = async (model, stream) => (stream ? drain(await model.stream(asked)) : model.invoke(asked));

const calls = {
  openaiChat(place, defaultHeaders, stream) {
    const client = new OpenAI({ baseURL: `${place}/v1`, apiKey, defaultHeaders });
    return client.chat.completions.create({ model: "gpt-5-mini", messages, stream });
  },
  openaiResponses(place, defaultHeaders, stream) {
    const client = new OpenAI({ baseURL: `${place}/v1`, apiKey, defaultHeaders });
    return client.responses.create({ model: "gpt-5-mini", input: asked, stream });
  },
  anthropic(place, defaultHeaders, stream) {
    const client = new Anthropic({ baseURL: place, apiKey, defaultHeaders });
    return stream ? drain(client.messages.stream(claude)) : client.messages.create(claude);
  },
  vercelOpenai: (place, headers, stream) =>
    vercel(createOpenAI({ baseURL: `${place}/v1`, apiKey, headers })("gpt-5-mini"), stream),
  vercelChat: (place, headers, stream) =>
    vercel(createOpenAI({ baseURL: `${place}/v1`, apiKey, headers }).chat("gpt-5-mini"), stream),
  vercelCompatible: (place, headers, stream) =>
    vercel(createOpenAICompatible({ name: "gate", baseURL: `${place}/v1`, apiKey, headers })("gpt-5-mini"), stream),
  vercelAnthropic: (place, headers, stream) =>
    vercel(createAnthropic({ baseURL: `${place}/v1`, apiKey, headers })("claude-sonnet-4-5"), stream),
  langchainOpenai: (place, defaultHeaders, stream) =>
    langchain(new ChatOpenAI({ model: "gpt-5-mini", apiKey, configuration: { baseURL: `${place}/v1`, defaultHeaders } }), stream),
  langchainAnthropic: (place, defaultHeaders, stream) =>
    langchain(
      new ChatAnthropic({ model: "claude-sonnet-4-5", apiKey, anthropicApiUrl: place, clientOptions: { defaultHeaders } }),
      stream,
    ),
};

for (const [call, ask] of Object.entries(calls)) {
  for (const [place, headers] of [
    [gate, { "wcp-data-label": "CONFIDENTIAL" }],
    [gate, { "wcp-data-label": "SECRETS" }],
    [`${gate}/elsewhere`, {}],
  ]) {
    for (const stream of [false, true]) {
      const text = await ask(place, headers, stream).then(() => "it was answered", (refused) => refused.message);
      console.log(JSON.stringify({ call, stream, text }));
    }
  }
}
