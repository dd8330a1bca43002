"""What sources said of a framework, in both engines: the newest word of each stays."""

import pytest

from heliograph.core.errors import Refused
from heliograph.store.state import frameworks
from heliograph.store.state.frameworks import Said
from heliograph.store.state.lanes import Lane


def put(state, uid, word):
    state.write(lambda tx: frameworks.put(tx, uid, word), lane=Lane.CONTROL).result()


def test_the_newest_word_of_each_source_stays(state):
    newest = Said("wandb", 5, {"base": "jax", "nan": float("inf"), "a\x00": "\ud800"})
    for word in (Said("wandb", 3, {"base": "megatron"}), newest, Said("wandb", 4, {})):
        put(state, "w", word)
    put(state, "w", Said("image", 1, {}))
    put(state, "v", Said("wandb", 9, {}))
    assert state.read(lambda tx: frameworks.of(tx, "w")) == [Said("image", 1, {}), newest]
    gone = state.write(lambda tx: frameworks.prune(tx, 5), lane=Lane.RETENTION).result()
    assert gone == 1
    assert state.read(lambda tx: frameworks.of(tx, "w")) == [newest]


def test_a_word_has_a_bound(state):
    with pytest.raises(Refused) as refused:
        put(state, "w", Said("wandb", 1, {"a": "x" * frameworks.SAID_BYTES_MAX}))
    assert refused.value.field == "evidence"
