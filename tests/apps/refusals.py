"""What the gate refuses, as each SDK's exception says it, plain and streamed: one JSON line for each."""

import json
import os

import anthropic
import langchain_anthropic
import langchain_openai
import openai

gate = f"http://{os.environ['GATE']}"
key = {"api_key": "unused"}
chat = [{"role": "user", "content": "What may I ask?"}]


def openai_chat(place, headers, stream):
    client = openai.OpenAI(base_url=f"{place}/v1", default_headers=headers, **key)
    return client.chat.completions.create(model="gpt-5-mini", messages=chat, stream=stream)


def openai_responses(place, headers, stream):
    client = openai.OpenAI(base_url=f"{place}/v1", default_headers=headers, **key)
    return client.responses.create(model="gpt-5-mini", input="What may I ask?", stream=stream)


def anthropic_messages(place, headers, stream):
    client = anthropic.Anthropic(base_url=place, default_headers=headers, **key)
    asked = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": chat}
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return list(events)


def langchain(model, stream):
    return list(model.stream("What may I ask?")) if stream else model.invoke("What may I ask?")


def langchain_of_openai(place, headers, stream):
    model = langchain_openai.ChatOpenAI(model="gpt-5-mini", base_url=f"{place}/v1", default_headers=headers, **key)
    return langchain(model, stream)


def langchain_of_anthropic(place, headers, stream):
    model = langchain_anthropic.ChatAnthropic(model="claude-sonnet-4-5", base_url=place, default_headers=headers, **key)
    return langchain(model, stream)


for call in (openai_chat, openai_responses, anthropic_messages, langchain_of_openai, langchain_of_anthropic):
    for place, headers in (
        (gate, {"wcp-data-label": "CONFIDENTIAL"}),
        (gate, {"wcp-data-label": "SECRETS"}),
        (f"{gate}/elsewhere", {}),
    ):
        for stream in (False, True):
            try:
                call(place, headers, stream)
                text = "it was answered"
            except Exception as refused:
                text = str(refused)
            print(json.dumps({"call": call.__name__, "stream": stream, "text": text}), flush=True)
