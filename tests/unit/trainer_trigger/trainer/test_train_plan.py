"""The order of a run, and when it stops."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.training import EarlyStopping
from trainer_trigger.trainer.train_plan import batches, best_step, epoch_ends, evaluations, stops, valid_losses


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 20), st.integers(1, 4), st.integers(0, 9)
)
def test_every_epoch_has_every_example_once_and_begins_with_the_longest(
    lengths: list[int], size: int, epochs: int, seed: int
) -> None:
    planned = batches(lengths, size, epochs, seed)
    per_epoch = -(-len(lengths) // size)
    assert len(planned) == epochs * per_epoch
    for epoch in range(epochs):
        mine = planned[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(index for batch in mine for index in batch) == list(range(len(lengths)))
        assert max(lengths[index] for index in mine[0]) == max(lengths)
    assert planned == batches(lengths, size, epochs, seed)


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    planned = batches([1] * 100, 10, 2, seed=0)
    assert planned[:10] != planned[10:]
    assert planned != batches([1] * 100, 10, 2, seed=1)


def test_batches_of_like_length_need_little_padding() -> None:
    lengths = [10 + 37 * index % 400 for index in range(800)]
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches(lengths, 8, 1, seed=0))
    assert padded < 1.05 * sum(lengths)


def test_epochs_end_where_their_last_example_was_seen() -> None:
    assert epoch_ends(12, 3) == [4, 8, 12]
    assert epoch_ends(10, 3) == [4, 7, 10]
    assert evaluations(12, 3, often=False) == {4, 8, 12}
    assert evaluations(12, 3, often=True) == set(range(1, 13))
    assert evaluations(2, 1, often=True) == {1, 2}


def test_it_stops_after_so_many_evaluations_that_are_not_better() -> None:
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    assert not stops([], stopping)
    assert not stops([1.0, 0.95], stopping)
    assert stops([1.0, 0.95, 0.91], stopping)
    assert not stops([1.0, 0.95, 0.89], stopping)
    assert not stops([1.0, 0.95, 0.89, 0.85], stopping)
    assert stops([1.0, 0.95, 0.89, 0.85, 0.8], stopping)
    assert not stops([1.0] * 9, None)


def test_the_best_step_has_the_lowest_validation_loss() -> None:
    history = [{"step": 1, "loss": 0.1}, {"step": 2, "eval_loss": 0.5}, {"step": 4, "eval_loss": 0.4}]
    history += [{"step": 6, "eval_loss": 0.4}]
    assert best_step(valid_losses(history)) == 4
    assert best_step([]) is None
