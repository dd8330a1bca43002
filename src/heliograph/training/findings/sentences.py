"""The sentences by which trainers tell of checkpoints, as one search.

A sentence is named by its rule, and means an event type, the framework that says it so, and
attributes: see `saving`, which reads the rest of the line. Of several that begin at one character
the first of the list counts.
"""

import re
from typing import Any, NamedTuple

from heliograph.training import framework
from heliograph.training.findings.patterns import compiled

_START, _END, _LOAD = "checkpoint_save_start", "checkpoint_save_end", "checkpoint_load"
_ADJECTIVES = r"(?:the |an? )?(?:[\w.-]+ ){0,4}?"
_STATE = (
    r"(?:checkpoints?|ckpt|"
    r"(?:model|training|trainer|current|full|optimizer)(?: and \w+)? states?)"
)
_PLACE = r"(?:,? (?:to|in|under|(?:at|for) (?:step|iteration|epoch))[: ])"
# Where a sentence of torchtitan goes on.
_TITAN_ON = (
    r"\b(?=\s*(?:$|[.(]|in\d|(?:to|from|in|took|for step|at (?:iteration|step|last))\b))"
)
# Where a checkpoint is kept, as far as its name tells.
_KEPT = r"\S*(?:ckpt|checkpoint|global_step|step[-_=]?\d)"
# A part of DeepSpeed's that one rank writes.
_SHARD = r"\S*_(?:model|optim)_states\.pt\b"

# Megatron-LM's progress.txt, whose cells are parted by tabs.
CELLS = frozenset({"progress_async_save", "progress_async_save_end", "progress_save_end"})


class Meaning(NamedTuple):
    """What a sentence tells."""

    event_type: str
    framework: str
    attributes: dict[str, Any]


_MEGATRON, _TITAN, _ANY = framework.MEGATRON_LM, framework.TORCHTITAN, framework.UNKNOWN
MEANING = {
    "megatron_async_save": Meaning(_START, _MEGATRON, {"async": True}),
    "progress_async_save": Meaning(_START, _MEGATRON, {"async": True}),
    "progress_async_save_end": Meaning(_END, _MEGATRON, {"async": True}),
    "progress_save_end": Meaning(_END, _MEGATRON, {}),
    "async_save": Meaning(_START, _ANY, {"async": True}),
    "megatron_save_start": Meaning(_START, _MEGATRON, {}),
    "megatron_save_end": Meaning(_END, _MEGATRON, {}),
    "async_save_end": Meaning(_END, _ANY, {"async": True}),
    "titan_save_end": Meaning(_END, _TITAN, {}),
    "global_save_end": Meaning(_END, _MEGATRON, {}),
    "deepspeed_save_start": Meaning(_START, _ANY, {}),
    "deepspeed_save_end": Meaning(_END, _ANY, {}),
    "save_end": Meaning(_END, _ANY, {}),
    "titan_save_start": Meaning(_START, _TITAN, {}),
    "save_start": Meaning(_START, _ANY, {}),
    "titan_load_end": Meaning(_LOAD, _TITAN, {"phase": "end"}),
    "titan_load": Meaning(_LOAD, _TITAN, {"phase": "start"}),
    "megatron_load_end": Meaning(_LOAD, _MEGATRON, {"phase": "end"}),
    "load_end": Meaning(_LOAD, _ANY, {"phase": "end"}),
    "megatron_load": Meaning(_LOAD, _MEGATRON, {"phase": "start"}),
    "restore": Meaning(_LOAD, _ANY, {"phase": "start"}),
}
_SENTENCES: dict[str, tuple[str, ...]] = {
    "megatron_async_save": (r"scheduled an async checkpoint save(?= at iteration)",),
    "progress_async_save": (r"saving async checkpoint(?=\tIteration: \d)",),
    "progress_async_save_end": (r"saved async checkpoint(?=\tIteration: \d)",),
    "progress_save_end": (r"saved checkpoint(?=\tIteration: \d)",),
    "async_save": (
        r"scheduled async checkpoint save for",
        r"started an async(?:hronous)? checkpoint save(?= (?:for|at) step \d)",
        r"\[async\] started save checkpoint(?= @ )",
    ),
    "megatron_save_start": (r"saving (?:\w+ )?checkpoint(?= at iteration)",),
    "megatron_save_end": (r"successfully saved (?:\w+ )?checkpoint(?= (?:from|at) iteration)",),
    "async_save_end": (r"async checkpoint save for step \d+(?=.* finalized successfully)",),
    "titan_save_end": (r"finished saving the checkpoint" + _TITAN_ON,),
    "global_save_end": (r"global checkpoint save : rank : \d+ (?=: iteration : \d+)",),
    "deepspeed_save_start": (
        r"checkpoint(?= \S*global_step\d+\S* is about to be saved)",
        rf"saving(?= {_SHARD})",
    ),
    "deepspeed_save_end": (
        r"checkpoint(?= \S*global_step\d+\S* is ready now)",
        r"zero checkpoint saved(?= \S)",
        rf"saved(?= {_SHARD})",
    ),
    "save_end": (
        r"model (?:weights )?(?:successfully )?saved(?= (?:to|in) )",
        r"optimizer state saved(?= in )",
        r"successfully saved (?:\w+ ){0,2}(?:checkpoint|model)(?= (?:to|in) | @ \d|\s*[.!]?\s*\Z)",
        (
            rf"(?:finished |done |completed )(?:blocking |async )?sav(?:ing|e) {_ADJECTIVES}{_STATE}"
            r"(?=\s*(?:$|[.(])| (?:to|at|in|for|took)\b)"
        ),
        r"finished (?:async_save|(?:blocking|async|synchronous|asynchronous) save)\b",
        (
            r"saved (?:the |an? )?(?:[\w-]+ ){0,3}checkpoint"
            r"(?= (?:to|at|in|for step|for iteration) |: | \S+ \(epoch \d+ @ \d+ updates)"
        ),
        (
            r"(?:\w[\w-]* )?checkpoint (?:of size \S+ \w+ )?(?:was )?(?:successfully |locally )?saved"
            r"(?= (?:locally )?(?:to|at|in) |: \S*[/.]\w)"
        ),
        r"saving (?:the )?checkpoint took(?= \d)",
        r"(?:async(?:hronous)? )?checkpoint save (?:has )?(?:completed|finished)(?= (?:for|at|in) )",
        r"completed checkpoint save request(?= for )",
        rf"saved (?:model|optim|extra_state|hf_model)(?= to {_KEPT})",
    ),
    "titan_save_start": (
        r"saving (?:the|a full|a model(?: weights)? only) checkpoint" + _TITAN_ON,
    ),
    "save_start": (
        rf"saving {_ADJECTIVES}{_STATE}(?={_PLACE}|: \S|\.\.\.|\. This may)",
        r"saving (?:\w+ ){0,2}model(?= to ['\"]?\S*/)",
        r"preparing to save checkpoint(?= for )",
        r"saving item(?= to \S)",
        r"save checkpoint(?= of step=\d)",
        r"local_global_step_folder:",
        r"writing checkpoint(?= (?:to|at) )",
        r"(?:\[sync\] )?started save checkpoint(?= @ )",
    ),
    "titan_load_end": (r"finished loading the checkpoint" + _TITAN_ON,),
    "titan_load": (r"loading the checkpoint(?= (?:from|at step)\b)",),
    "megatron_load_end": (r"successfully loaded checkpoint(?= from )",),
    "load_end": (
        (
            r"(?:restored|loaded) (?:all states|model weights|all weights|model|training state)"
            r"(?= from (?:the )?checkpoint (?:at|from) )"
        ),
        (
            rf"(?:successfully )?(?:restored|loaded|resumed) {_ADJECTIVES}(?:checkpoint|ckpt)"
            r"(?= (?:from|at|step) |: \S| \S+ \(epoch)"
        ),
        rf"finished (?:restoring|loading) {_ADJECTIVES}{_STATE}(?=\s+(?:from|in|at)\b)",
        r"(?:successfully )?(?:resumed|restored)(?= from (?:the )?(?:checkpoint|step|iteration)\b)",
    ),
    "megatron_load": (
        r"loading (?:release |distributed |local |global )?checkpoint(?= from )",
    ),
    "restore": (
        r"restoring states from the checkpoint(?= path at )",
        (
            rf"(?:restoring|loading|reading) {_ADJECTIVES}(?:checkpoint|ckpt|states)"
            r"(?= (?:from|at step)[: ]| ['\"]\S*[/.]\w)"
        ),
        r"rank: \d+ loading checkpoint(?=: \S)",
        r"(?:load(?:ing)?|restoring)(?: model)? from checkpoint(?:[ -]folder)?(?=:? \S)",
        r"loading (?:best )?model(?= from \S*checkpoint-\d)",
        rf"(?:resuming|continuing)(?: training)?(?= from (?:the )?(?:latest )?{_KEPT})",
        r"(?:continuing training|restoring)(?= from (?:global|this run's directory) step \d)",
    ),
}
SENTENCE = compiled(
    "|".join(f"(?P<{rule}>{'|'.join(said)})" for rule, said in _SENTENCES.items()),
    re.IGNORECASE,
)
