"""Rules of a draft moved, added and dropped, by the buttons of the form."""

from console.pages.routes.draft import MOST_RULES, Draft


def rearrange(draft: Draft, go: str) -> None:
    """Do what a button asks: `add-rule`, `up:2`, `down:2`, `drop:2`. Others change nothing."""
    rules = _taken(draft)
    word, _colon, number = go.partition(":")
    place = int(number) if number.isdecimal() and len(number) < 4 else -1
    if word == "add-rule" and len(rules) < MOST_RULES:
        rules.append({"name": "", "joined": "all", "to-0-weight": "100"})
    elif 0 <= place < len(rules):
        if word == "drop":
            del rules[place]
        elif word == "up" and place > 0:
            rules.insert(place - 1, rules.pop(place))
        elif word == "down" and place + 1 < len(rules):
            rules.insert(place + 1, rules.pop(place))
    for number_, rule in enumerate(rules):
        draft.fields |= {f"rule-{number_}-{name}": value for name, value in rule.items()}


def _taken(draft: Draft) -> list[dict[str, str]]:
    """The fields of each rule, taken out of the draft."""
    rules = []
    for number in draft.numbers("rule-", MOST_RULES):
        prefix = f"rule-{number}-"
        names = [name for name in draft.fields if name.startswith(prefix)]
        rules.append({name.removeprefix(prefix): draft.fields.pop(name) for name in names})
    return rules
