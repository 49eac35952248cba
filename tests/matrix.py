"""Checks that hold for every area: outsiders learn nothing, nobody gets in without signing in."""

from collections.abc import Iterable

from django.test import Client


def assert_hidden(client: Client, urls: Iterable[str], posts: Iterable[str] = ()) -> None:
    """Every address answers 404 to this client, whether read (`urls`) or posted to (`posts`)."""
    answers = {f"GET {url}": client.get(url).status_code for url in urls}
    answers |= {f"POST {url}": client.post(url).status_code for url in posts}
    assert answers == dict.fromkeys(answers, 404)


def assert_needs_sign_in(urls: Iterable[str], posts: Iterable[str] = ()) -> None:
    """Without signing in: pages lead to the sign-in page, the API answers 401."""
    client = Client()
    for method, address in [*(("get", u) for u in urls), *(("post", u) for u in posts)]:
        answer = getattr(client, method)(address)
        if address.startswith("/api/"):
            assert answer.status_code == 401, address
        else:
            assert answer.status_code == 302, address
            assert answer["Location"].startswith("/login/?next="), address
