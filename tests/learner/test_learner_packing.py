import pytest
import torch
from learner_samples import make_task, random_forest

from agentrl.errors import DataError
from agentrl.learner.packing import MicroBatch, lay_out, plan
from agentrl.learner.rows import Rows, rows
from agentrl.tree import Episode, Forest, StopReason, Tree, Writer

CPU = torch.device("cpu")


def pack(found: Rows, budget: int) -> list[MicroBatch]:
    width = found.batch.mask_BT.shape[1]
    parts = plan(found, range(len(found.rows)), budget)
    return [lay_out(found, part, width, CPU) for part in parts]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("budget", [1, 20, 40, 100, 10_000])
def test_each_row_is_packed_once_and_within_the_budget(seed: int, budget: int) -> None:
    found = rows(random_forest(seed))
    micros = pack(found, budget)
    packed = torch.cat([micro.rows_B for micro in micros]).tolist()
    assert sorted(packed) == list(range(len(found.rows)))
    for micro in micros:
        assert len(micro.ids_N) <= budget or len(micro.rows_B) == 1


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_following_the_runs_gives_back_every_sequence(seed: int, budget: int) -> None:
    found = rows(random_forest(seed))
    for micro in pack(found, budget):
        above: list[list[int]] = []
        path_of: dict[int, list[int]] = {}
        for run in micro.runs:
            start = [] if run.parent is None else above[run.parent]
            above.append(start + list(range(run.start, run.stop)))
            for place in range(run.start, run.stop):
                path_of[place] = start + list(range(run.start, place + 1))
        for number, index in enumerate(micro.rows_B.tolist()):
            row = found.rows[index]
            whole = found.trees[row.tree].ids(row.last)
            trained = [token for node in found.spans(row) for token in node.ids]
            for place, token in zip(micro.gather_BT[number].tolist(), trained, strict=False):
                assert micro.targets_M[place] == token
                path = path_of[int(micro.predictors_M[place])]
                assert micro.ids_N[path].tolist() == whole[: len(path)]
                assert whole[len(path)] == token
                assert micro.positions_N[path].tolist() == list(range(len(path)))


def test_runs_merge_chains_and_leave_out_what_no_row_needs() -> None:
    tree = Tree(id="t", task=make_task())
    prompt = tree.add(None, Writer.ENVIRONMENT, [1, 2])
    for stop in (StopReason.TERMINATED, StopReason.TERMINATED, StopReason.ENV_ERROR):
        act = tree.add(prompt.id, Writer.MODEL, [3], logprobs=[-1.0])
        look = tree.add(act.id, Writer.ENVIRONMENT, [4, 5])
        again = tree.add(look.id, Writer.MODEL, [6], logprobs=[-1.0])
        end = tree.add(again.id, Writer.ENVIRONMENT, [7, 8, 9])
        tree.episodes.append(Episode(id=len(tree.episodes), sequences=[end.id], stop=stop))
    (micro,) = pack(rows(Forest([tree])), 100)
    spans = [(run.parent, run.start, run.stop, run.subtree_stop) for run in micro.runs]
    assert spans == [(None, 0, 2, 10), (0, 2, 6, 6), (0, 6, 10, 10)]
    assert micro.ids_N.tolist() == [1, 2, 3, 4, 5, 6, 3, 4, 5, 6]
    assert micro.predictors_M.tolist() == [1, 4, 1, 8]
    assert micro.separate_tokens == 12


def test_a_tree_that_fits_is_not_cut() -> None:
    found = rows(random_forest(3, trees=6))
    for part in plan(found, range(len(found.rows)), 80):
        for tree in {found.rows[index].tree for index in part}:
            own = [i for i, row in enumerate(found.rows) if row.tree == tree]
            unique = {
                node.id: len(node.ids)
                for i in own
                for node in found.trees[tree].path(found.rows[i].last)
            }
            if sum(unique.values()) <= 80:
                assert set(own) <= set(part)


def test_a_sampled_token_without_anything_before_it_is_refused() -> None:
    tree = Tree(id="t", task=make_task())
    tree.add(None, Writer.MODEL, [3], logprobs=[-1.0])
    tree.episodes = [Episode(id=0, sequences=[0], stop=StopReason.TERMINATED)]
    with pytest.raises(DataError, match="at least one token before it"):
        pack(rows(Forest([tree])), 10)
