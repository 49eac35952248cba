"""What a person reads in the answer to a form, and whether there is English left in it."""

import re

from django.contrib.messages import get_messages
from django.http import HttpResponse

#: Three words in a row are a piece of a sentence; names and commands are shorter.
RUN = re.compile(r"[A-Za-z]{2,}(?: [a-z]+){2,}")


def english_in(text: str) -> list[str]:
    """Pieces of English sentences in a text."""
    return RUN.findall(text)


def told(answer: HttpResponse) -> list[str]:
    """Flash messages, errors beside fields, and the text of an error page."""
    found = [str(message) for message in get_messages(answer.wsgi_request)]
    context = answer.context or {}
    for errors in (getattr(context.get("form"), "errors", None), context.get("errors")):
        for texts in (errors or {}).values():
            found += [str(text) for text in texts]
    if context.get("error") is not None:
        found.append(context["error"].message)
    return found
