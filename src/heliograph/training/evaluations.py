"""The words that say: this was measured by an evaluation, not by a step of the training.

    validate step: 10  loss:  5.98                  `spoken`, before what is measured
    eval_loss 2.5, loss/test 0.3                    `measured`, in a key
    [eval] step=500 loss=1.2                        `signed`, by the logger
    eval | step: 100 | loss: 2.5                    `named`, alone
    {"split": "valid", "loss": 2.5}                 WORD, as a member says it

No letter or digit stands beside such a word: `retrieval`, `latest`, `device` and `value` have none in
them. `std dev` is no evaluation; `test-node-7: ` is a host, and `[dev]` where a job runs.
"""

import re

_SURE = r"eval\w*|valid\w*"
_SHORT = r"val(?:sets?)?|test(?:s|ing|sets?)?"
_DEV = r"(?<!std[ _-])dev(?:sets?)?"
# Before a measure also what a model says that is not trained.
_BEFORE = rf"(?:{_SHORT}|{_DEV}|inference\w*|predict\w*)(?!-[\w.-]{{0,60}}\d(?::|\Z))"
WORD = rf"(?i:(?<![^\W_])(?:{_SURE}|{_SHORT}|{_DEV})(?![^\W_]))"
SPOKEN = rf"(?i:(?<![^\W_])(?:{_SURE}|{_BEFORE})(?![^\W_]))"

measured = re.compile(WORD).search
spoken = re.compile(SPOKEN).search
signed = re.compile(rf"(?i:\[(?:{_SURE}|{_SHORT})\])").search
named = re.compile(WORD).fullmatch
