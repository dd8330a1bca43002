"""Lines that look like measures and yield nothing: what a site may want a pattern for.

acc@1 = 71.2 | throughput = 812.0 img/s         suspected
learning_rate: 1e-4 | global batch size: 32     settings: no measure among them
validation loss: 2.31 | ppl: 10.1               an evaluation: not meant to be read
"""

import re

from heliograph.training import evaluations

# Only so much of a line is looked at, and only lines that some reader was asked about.
LOOKED_AT_CHARS_MAX = 2000
PAIRS_MIN = 2

_PAIR = re.compile(
    r"\b(?:(?P<measure>loss|grad(?:ient)?[ _]?norm|throughput|[a-z]+/s(?:ec)?|tflops?|mfu|acc\w*"
    r"|reward|perplexity|ppl|step[ _]time|samples_per_sec\w*|tokens_per_sec\w*)"
    r"|lr|learning[ _]rate|step|iter(?:ation)?|epoch|tokens|samples|mem(?:ory)?\w*)"
    r"[^\w=:\n|]{0,8}\s{0,4}[=:]\s{0,8}-?\d",
    re.IGNORECASE,
)


def suspected(text: str) -> bool:
    """Whether *text*, a line that yields nothing, has two pairs of a trainer, one a measure."""
    text = text[:LOOKED_AT_CHARS_MAX]
    pairs = measures = 0
    for match in _PAIR.finditer(text):
        pairs += 1
        measures += match["measure"] is not None
    return pairs >= PAIRS_MIN and measures > 0 and not evaluations.measured(text)
