"""The special tokens that our own tokenizers know, and the chat format built from them."""

from collections.abc import Mapping, Sequence
from typing import Any

END_OF_TEXT = "<|endoftext|>"
UNKNOWN = "<unk>"
ROLES = ("system", "user", "assistant")
ROLE_MARKERS = tuple(f"<|{role}|>" for role in ROLES)

# The end of text follows every answer, so that generation stops where the answer does.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{- raise_exception('Roles are system, user and assistant.') -}}"
    "{%- endif -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] -}}"
    "{%- if message['role'] == 'assistant' -%}{{- eos_token -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def conversation_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Write a conversation as our chat template does; raises ValueError on a bad message."""
    parts = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role not in ROLES or not isinstance(content, str):
            raise ValueError("every message needs a role (system, user, assistant) and a text")
        parts.append(f"<|{role}|>{content}")
        if role == "assistant":
            parts.append(END_OF_TEXT)
    return "".join(parts).removesuffix(END_OF_TEXT)
