"""What the pages say about retries and time: the SDKs wait as the gate says, and a slow model is waited for.

The gate lets one request in two seconds through, and takes a caller for gone that is silent for a second while it sends.
"""

import os
import sys

import anthropic
import openai

key = "unused"
gate = f"http://{os.environ['GATE']}"
question = {"model": sys.argv[1], "messages": [{"role": "user", "content": "What may I ask?"}]}

chatgpt = openai.OpenAI(base_url=f"{gate}/v1", api_key=key)
claude = anthropic.Anthropic(base_url=gate, api_key=key)

for _ in range(2):
    assert chatgpt.chat.completions.create(**question).choices[0].message.content.startswith("You may")
    assert claude.messages.create(**question, max_tokens=9).content[0].text.startswith("You may")

# Who may not try again sees it.
quick = openai.OpenAI(base_url=f"{gate}/v1", api_key=key, max_retries=0)
if question["model"] == "gpt-5-mini":
    try:
        for _ in range(3):
            quick.chat.completions.create(**question)
        raise SystemExit("nothing was over the rate")
    except openai.RateLimitError as over:
        assert over.body["code"] == "DENY_RATE_LIMITED" and int(over.response.headers["retry-after"]) >= 1, over.body
print("all seen")
