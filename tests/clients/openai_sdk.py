"""The OpenAI SDK with nothing changed but its base URL: plain, streamed, and refused."""

import os
import time

import openai

# The key is the app's own idea: the gate replaces it with the upstream's credential.
client = openai.OpenAI(base_url=os.environ["GATE"] + "/v1", api_key="whatever-the-app-has", max_retries=0)
question = {"model": "sample-1", "messages": [{"role": "user", "content": "What may I do?"}]}

plain = client.chat.completions.create(**question)
assert "What may I do?" in plain.choices[0].message.content, plain
assert plain.choices[0].finish_reason == "stop", plain

raw = client.chat.completions.with_raw_response.create(**question)
assert len(raw.headers["wcp-decision-id"]) == 36 and len(raw.headers["wcp-receipt"]) == 64, raw.headers

began = time.monotonic()
pieces, arrived = [], []
for chunk in client.chat.completions.create(**question, stream=True):
    if chunk.choices and chunk.choices[0].delta.content:
        pieces.append(chunk.choices[0].delta.content)
        arrived.append(time.monotonic() - began)
assert "".join(pieces) == plain.choices[0].message.content, pieces
# The upstream pauses between tokens; had the gate kept the stream back, all would come at its end.
assert len(pieces) > 5 and arrived[-1] - arrived[0] > 0.2, arrived

assert [model.id for model in client.models.list()] == ["sample-1"]

try:
    client.chat.completions.create(**question, extra_headers={"wcp-data-label": "RESTRICTED"})
    raise SystemExit("a model call with RESTRICTED data went through")
except openai.PermissionDeniedError as denied:
    problem = denied.response.json()
    assert problem["code"] == "DENY_NO_MATCHING_RULE" and problem["denied"] is True, problem
    assert denied.response.headers["content-type"] == "application/problem+json"

# A refusal does not cost the connection: the pool goes on.
assert client.chat.completions.create(**question).id
print("all seen")
