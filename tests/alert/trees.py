"""Random routing trees as alertmanager.yml writes them, and label sets that they tell apart.

    tree, receivers = random_tree(random.Random(7))
    {"receiver": "r0", "routes": [{"matchers": ['env=~"prod|test"'], "receiver": "r1", …}]}

Every route has a receiver of its own, so who is told says which routes were taken.
"""

NAMES = ("env", "team", "severity", "job", "absent")
VALUES = ("prod", "test", "ml", "a.b", "x y", 'say "hi"', "back\\slash", "größe", "", "1")
PATTERNS = (
    "prod|test",
    ".*",
    ".+",
    "p.*",
    "[a-m].*",
    "",
    "a\\.b",
    "(?i)PROD",
    "x\\sy",
    "[^p]*",
)


def random_tree(random, *, depth=4, width=4):
    """(route document, names of receivers)."""
    receivers = []

    def route(level):
        receivers.append(f"r{len(receivers)}")
        document = {"receiver": receivers[-1]}
        if level:
            document |= _matchers(random)
            if random.random() < 0.35:
                document["continue"] = True
        if level < depth and random.random() < 0.8:
            document["routes"] = [route(level + 1) for _ in range(random.randint(1, width))]
        return document

    return route(0), receivers


def random_labels(random):
    """A label set, with the values and names that trees ask about."""
    names = random.sample(NAMES[:4], random.randint(0, 4))
    return {name: random.choice([value for value in VALUES if value]) for name in names}


def _matchers(random):
    document = {}
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        name, form = random.choice(NAMES), random.choice(("match", "match_re", "new", "new"))
        if form == "match":
            document.setdefault("match", {})[name] = random.choice(VALUES)
        elif form == "match_re":
            document.setdefault("match_re", {})[name] = random.choice(PATTERNS)
        else:
            op = random.choice(("=", "!=", "=~", "!~"))
            value = random.choice(PATTERNS if "~" in op else VALUES)
            document.setdefault("matchers", []).append(f"{name}{op}{_quoted(value)}")
    return document


def _quoted(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
