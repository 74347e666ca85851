"""A model API that answers as OpenAI's and Anthropic's do, plainly and in streams: enough of each for its own SDK."""

import json
import time

from upstream import CREDENTIAL, Upstream, serve

SENTENCE = "You may ask what the rules allow."
WORDS = [word + " " for word in SENTENCE.split()]
WORDS[-1] = WORDS[-1].rstrip()


def paced(pieces):
    """Tokens come one by one; a proxy that keeps a stream back is found out by it."""
    for piece in pieces:
        time.sleep(0.05)
        yield piece


class ModelApi(Upstream):
    def holds_credential(self):
        if self.path.startswith("/v1/messages"):
            return self.headers.get("x-api-key") == CREDENTIAL and "anthropic-version" in self.headers
        return super().holds_credential()

    def answer(self):
        asked = json.loads(self.body) if self.body else {}
        path = self.path.split("?")[0]
        if asked.get("model") == "slow":
            time.sleep(3)
        answer = {
            "/v1/chat/completions": self.chat,
            "/v1/responses": self.respond,
            "/v1/embeddings": self.embeddings,
            "/v1/models": self.models,
            "/v1/messages": self.messages,
        }.get(path)
        if answer is None:
            return self.say(404, {"error": {"message": f"there is no {path}"}})
        return answer(asked)

    def chat(self, asked):
        common = {"id": "chatcmpl-1", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": SENTENCE}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
            return self.say(200, {**common, "object": "chat.completion", "choices": [choice], "usage": usage})

        def chunks():
            chunk = {**common, "object": "chat.completion.chunk"}
            for word in paced(WORDS):
                yield None, {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}]}
            yield None, {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            yield None, "[DONE]"

        return self.stream(chunks())

    def respond(self, asked):
        text = {"type": "output_text", "text": SENTENCE, "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        response = {
            "id": "resp_1", "object": "response", "created_at": 1, "model": asked["model"], "status": "completed", "output": [item],
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        }
        if not asked.get("stream"):
            return self.say(200, response)

        def events():
            place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
            begun = {**response, "status": "in_progress", "output": []}
            yield "response.created", {"type": "response.created", "sequence_number": 0, "response": begun}
            for number, word in enumerate(paced(WORDS), 1):
                delta = {"type": "response.output_text.delta", "sequence_number": number, "delta": word, "logprobs": [], **place}
                yield "response.output_text.delta", delta
            yield "response.completed", {"type": "response.completed", "sequence_number": 99, "response": response}

        return self.stream(events())

    def embeddings(self, asked):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}]
        self.say(200, {"object": "list", "model": asked["model"], "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})

    def models(self, _):
        self.say(200, {"object": "list", "data": [{"id": "gpt-5-mini", "object": "model", "created": 1, "owned_by": "us"}]})

    def messages(self, asked):
        usage = {"input_tokens": 5, "output_tokens": 7}
        message = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "stop_sequence": None,
            "content": [{"type": "text", "text": SENTENCE}], "stop_reason": "end_turn", "usage": usage,
        }
        if not asked.get("stream"):
            return self.say(200, message, [("request-id", "req_1")])

        def events():
            def event(kind, **rest):
                return kind, {"type": kind, **rest}

            yield event("message_start", message={**message, "content": [], "stop_reason": None})
            yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            for word in paced(WORDS):
                yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
            yield event("content_block_stop", index=0)
            yield event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=usage)
            yield event("message_stop")

        return self.stream(events())


serve(ModelApi)
