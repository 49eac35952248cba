"""The special tokens that our own tokenizers know, and the chat format built from them."""

from collections.abc import Mapping, Sequence
from typing import Any

END_OF_TEXT = "<|endoftext|>"
UNKNOWN = "<unk>"
ROLES = ("system", "user", "assistant")
#: Who may speak in a dataset; our own chat template has no place for tools.
SPEAKERS = (*ROLES, "tool")
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
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), message.get("content")
        if problem := message_problem(message):
            known = ", ".join(SPEAKERS)
            raise ValueError(
                f"every message needs a role ({known}) and a text as content; message {number} "
                f"{problem}"
            )
        parts.append(f"<|{role}|>{content}")
        if role == "assistant":
            parts.append(END_OF_TEXT)
    return "".join(parts).removesuffix(END_OF_TEXT)


def message_problem(message: Any) -> str:
    """What is wrong with a message of a conversation, such as `has the unknown role 'bot'`."""
    if not isinstance(message, Mapping):
        return "is no object with role and content"
    role = message.get("role")
    if not isinstance(role, str) or role not in SPEAKERS:
        said = "no role" if role is None else f"the unknown role {str(role)[:40]!r}"
        return f"has {said}"
    if not isinstance(message.get("content"), str):
        return "has no text as content"
    return ""
